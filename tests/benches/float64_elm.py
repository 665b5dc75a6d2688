# ruff: noqa: B905 (zip has no `strict` in MicroPython)
"""The autoencoder of ``fixed_elm`` in float64, for MicroPython: same signs, same interface, nothing rounded.

It is what the kernels in fixed point are measured by, so it is written from docs/reference/kernels.md and the equations of
``fieldelm.elm``, not from the C code. Slow, and only for a build of MicroPython whose floats have 64 bits.
"""

from array import array
from math import exp

from fieldelm import defaults, kernels
from fieldelm.fixed_elm import FixedElm
from fieldelm.kernels_py import _next as next_word, _register as register

assert 1 + 2**-40 > 1  # float64


def _odd(number):
    odd = 0
    while number:
        odd ^= number & 1
        number >>= 1
    return odd


def layer(n, h, seed, gain, bias_scale):
    """Hidden layer: signs of the inputs, weights (h rows) of their sums into as many places, biases."""
    size = 64
    while size < n or size < 2 * h:
        size *= 2
    while size > 64 and (size > n or size >= 4 * h) and size // 2 >= 2 * h:
        size //= 2
    first, word = register(seed)
    signs = []
    for i in range(n):
        if i % 16 == 0:
            first, word = next_word(first, word)
            bits = word
        signs.append(1 if bits & 1 else -1)
        bits >>= 1
    weights, biases = [], []
    for j in range(h):
        row = j * (2 * (size // (2 * h)) + 1) % size
        weights.append([-gain if _odd(row & i) else gain for i in range(size)])
        first, word = next_word(first, word)
        biases.append(bias_scale * (word - 32768) / 32768)
    return signs, weights, biases


class Float64Elm(FixedElm):
    """See ``FixedElm``; ``_model`` is there to show that the signs are the same ones (``check``)."""

    def reset(self):
        """Forget everything: P = I / delta, beta = 0, weights 1."""
        super().reset()
        gain, bias_scale, variance, self._forgetting = self._params
        self._layer = layer(self.n, self.h, self.seed, gain, bias_scale)
        self._beta = [[0.0] * self.n for _ in range(self.h)]
        self._p = [[variance * (i == j) for j in range(self.h)] for i in range(self.h)]
        self._since = 0
        self._inverse = None
        self._checked = False

    def reopen(self, variance):
        """P += variance I."""
        self._since = 0
        self._inverse = None
        for i in range(self.h):
            self._p[i][i] += variance

    def _check(self, x):
        # the kernels' activations of the first row, in units of 2^-11, are these
        kernels.fixed_score(self._model, self._work, x, self.out)
        size = 64
        while size < self.n or size < self.h:
            size *= 2
        at = 2 + 2 * self.h + size
        for a, b in zip(self._a, self._work[at : at + self.h]):
            assert abs(a - b / 2048) < 2e-3, (a, b / 2048)
        self._checked = True

    def score_row(self, x):
        """Reconstruct ``x`` and return its score."""
        self._forward(list(x))
        self._own = self._residuals
        if self._explainer is not None:
            self._explain(list(x))
        return self.rescore()

    def learn_row(self, x):
        """Learn ``x``, whatever its score."""
        self._forward(list(x))
        self._own = self._residuals
        self.learn_scored()

    def _explain(self, x):
        # (beta beta' + variance rows P) c = beta x
        beta, h = self._beta, self.h
        if self._inverse is None:
            self._inverse = self._invert()
        b = [sum([a * value for a, value in zip(row, x)]) for row in beta]
        for i in range(h):
            c = sum([a * value for a, value in zip(self._inverse[i], b)])
            x = [value - c * a for value, a in zip(x, beta[i])]
        self._residuals = x

    def _invert(self):
        # by Gauss and Jordan
        beta, h = self._beta, self.h
        prior = max(self._since, 1) * defaults.VARIANCE_FLOOR**2
        lines = [[0.0] * h + [1.0 * (i == j) for j in range(h)] for i in range(h)]
        for i in range(h):
            for j in range(i + 1):
                value = sum([a * b for a, b in zip(beta[i], beta[j])]) + prior * self._p[i][j]
                lines[i][j] = lines[j][i] = value
        for i in range(h):
            pivot = lines[i][i]
            lines[i] = line = [a / pivot for a in lines[i]]
            for j in range(h):
                if j != i:
                    part = lines[j][i]
                    lines[j] = [a - part * b for a, b in zip(lines[j], line)]
        return [line[h:] for line in lines]

    def _forward(self, x):
        given = x
        self._a = []
        signs, rows, biases = self._layer
        sums = [0.0] * len(rows[0])
        for i, value in enumerate(x):
            sums[i % len(sums)] += signs[i] * value
        for weights, bias in zip(rows, biases):
            z = bias
            for w, value in zip(weights, sums):
                z += w * value
            self._a.append(1 / (1 + exp(-min(max(z, -30), 30))))
        if not self._checked:
            self._check(array("f", given))
        for a, beta in zip(self._a, self._beta):
            x = [value - a * b for value, b in zip(x, beta)]
        self._residuals = x

    def rescore(self):
        """The score of that row with the weights as they are now."""
        squares = [w * e * e for w, e in zip(self._weight, self._residuals)]
        first = max(range(self.n), key=lambda i: squares[i])
        second = max(range(self.n), key=lambda i: -1 if i == first else squares[i])
        mean = sum(squares) / self.n
        self.out[:] = array("f", (mean, squares[first], first, squares[second], second))
        return mean + defaults.WORST_WEIGHT * squares[first]

    @property
    def e(self):
        """Residuals of the row scored last."""
        self._e[:] = array("f", self._residuals)
        return self._e

    def learn_scored(self):
        """Learn the row that was scored last."""
        a, p, forgetting = self._a, self._p, self._forgetting
        u = [sum([b * c for b, c in zip(row, a)]) for row in p]
        d = forgetting + sum([b * c for b, c in zip(a, u)])
        for i in range(self.h):
            k = u[i] / d
            self._beta[i] = [b + k * e for b, e in zip(self._beta[i], self._own)]
            p[i] = [(b - k * c) / forgetting for b, c in zip(p[i], u)]
        self.rows += 1
        self._since += 1
        self._inverse = None
        return True
