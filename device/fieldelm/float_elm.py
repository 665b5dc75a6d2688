"""The autoencoder of ``elm`` in float32, on the kernels in Python: what runs where there is no native module.

The random layer is that of ``kernels_py.hidden``; P[i][j] = p[i (i + 1) / 2 + j] for j <= i.
"""

from array import array
from math import sqrt

from fieldelm import defaults
from fieldelm import kernels_py as kernels


def _floats(count):
    return array("f", bytes(4 * count))


def square(a, b):
    """Mean square of the difference of two rows of as many float32."""
    total = 0.0
    for i in range(len(a)):
        d = a[i] - b[i]
        total += d * d
    return total / len(a)


class FloatElm:
    """The autoencoder; everything is allocated here.

    Visible buffers, all float32: ``beta`` (h x n, row-major), ``p`` (h (h + 1) / 2, packed), ``a`` (h), ``e`` (n,
    residuals of the row scored last, if ``explained`` by the activations that explain it best), ``weight`` (n, factor of
    each squared residual in the score: 1 / its held-back variance), ``out`` (what ``kernels_py.score`` found in that row:
    mean, largest, its index, second largest, its index). ``rows`` counts the rows learned. ``x_bits`` is for the
    fixed-point one.
    """

    MAGIC = b"FEM2"  # of what is stored

    def __init__(
        self,
        n,
        h,
        seed,
        delta=defaults.RIDGE,
        forgetting_factor=defaults.FORGETTING_FACTOR,
        x_bits=None,
        explained=True,
    ):
        if n < 1 or h < 1:
            raise ValueError("the model needs at least one input and one hidden unit")
        if not (delta > 0 and 0 < forgetting_factor <= 1):
            raise ValueError("delta must be above 0 and the forgetting factor above 0 and at most 1")
        self.n = n
        self.h = h
        self.seed = seed
        self.delta = delta
        self.beta = _floats(n * h)
        self.p = _floats(h * (h + 1) // 2)
        self.a = _floats(h)
        self.e = _floats(n)
        self.weight = _floats(n)
        self.out = _floats(5)
        self._u = _floats(h)
        self._own = _floats(n) if explained else self.e  # residuals by the row's own activations
        self._factor = _floats(h * (h + 1) // 2) if explained else None  # L D L'
        self._c = _floats(h)
        self._count = array("I", (0, 0))  # rows learned, and those since P was opened
        self._input = array("f", (defaults.INPUT_GAIN / sqrt(n), defaults.BIAS_SCALE))
        self._forgetting = array("f", (forgetting_factor,))
        self.reset()

    def reset(self):
        """Forget everything: P = I / delta, beta = 0, weights 1."""
        for part in (self.beta, self.p):
            for i in range(len(part)):
                part[i] = 0.0
        for i in range(self.n):
            self.weight[i] = 1.0
        self.rows = 0
        self.reopen(1 / self.delta)

    def reopen(self, variance):
        """P += variance I: what was learned may have changed, so the next rows count for more.

        The process noise of a Kalman filter whose state is beta (S. Haykin, Adaptive Filter Theory, chapter on
        recursive least squares and Kalman filters).
        """
        i = 0
        for j in range(self.h):
            self.p[i] += variance
            i += j + 2
        self._since = 0
        self._fresh = 0  # rows that may be learned until the factor is renewed

    def score_row(self, x):
        """Reconstruct ``x`` (n float32) and return its score: mean scaled squared residual plus a part of the largest one.

        The mean alone hides one band among 64.
        """
        self._forward(x)
        if self._factor is not None:
            if self._fresh <= 0:
                self._make_factor()
                self._fresh = max(min(self._since >> 4, (self._since >> 9) ** 2), 1)  # as in fixed_elm
            self._explain(x)
        return self.rescore()

    def _forward(self, x):
        kernels.hidden(x, self.seed, self._input, self.a)
        kernels.residuals(x, self.a, self.beta, self._own)

    def _make_factor(self):
        # L D L' of beta beta' + variance rows P: L below the diagonal, 1 / D on it
        n = self.n
        beta = self.beta
        factor = self._factor
        rows = max(self._since, 1)
        rows /= max(rows * (1 - self._forgetting[0]), 1)  # as in fixed_elm
        prior = defaults.VARIANCE_FLOOR * defaults.VARIANCE_FLOOR * rows
        row = 0
        for j in range(self.h):
            other = 0
            for k in range(j + 1):
                value = prior * self.p[row + k]
                for i in range(n):
                    value += beta[j * n + i] * beta[k * n + i]
                if k < j:
                    for i in range(k):
                        value -= factor[row + i] * factor[other + i]
                    factor[row + k] = value
                other += k + 1
            least = max(1e-6 * value, 1e-20)
            for k in range(j):
                below = factor[row + k]
                factor[row + k] = below * factor[k * (k + 3) // 2]
                value -= below * factor[row + k]
            factor[row + j] = 1 / max(value, least)
            row += j + 1

    def _explain(self, x):
        n = self.n
        h = self.h
        c = self._c
        factor = self._factor
        row = 0
        for j in range(h):
            value = 0.0
            for i in range(n):
                value += self.beta[j * n + i] * x[i]
            for i in range(j):
                value -= factor[row + i] * c[i]
            c[j] = value
            row += j + 1
        for j in range(h - 1, -1, -1):
            row -= j + 1
            value = c[j] * factor[row + j]
            for i in range(j + 1, h):
                value -= factor[i * (i + 1) // 2 + j] * c[i]
            c[j] = value
        kernels.residuals(x, c, self.beta, self.e)

    def rescore(self):
        """The score of the row scored last, with the weights as they are now."""
        kernels.score(self.e, self.weight, self.out)
        return self.out[0] + defaults.WORST_WEIGHT * self.out[1]

    def learn_row(self, x):
        """Learn ``x``, whatever its score."""
        self._forward(x)
        self.learn_scored()

    def learn_scored(self):
        """Learn the row that was scored last; False if it was refused because a number in it is not finite."""
        learned = kernels.update(self.p, self.beta, self.a, self._own, self._forgetting, self._u)
        self.rows += learned
        self._since += learned
        self._fresh -= learned
        return learned

    def buffers(self):
        """What a restart needs: beta, P, weights (float32), the rows learned and those since P was opened (uint32)."""
        self._count[0] = self.rows
        self._count[1] = self._since
        return (self.beta, self.p, self.weight, self._count)

    def loaded(self):
        """The buffers were filled anew."""
        self.rows, self._since = self._count
        self._fresh = 0
