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
    residuals of the row scored last), ``weight`` (n, factor of each squared residual in the score: 1 / its held-back
    variance), ``out`` (what ``kernels_py.score`` found in that row: mean, largest, its index, second largest, its index).
    ``rows`` counts the rows learned. ``x_bits`` is for the fixed-point one.
    """

    MAGIC = b"FEM1"  # of what is stored

    def __init__(self, n, h, seed, delta=defaults.RIDGE, forgetting_factor=defaults.FORGETTING_FACTOR, x_bits=None):
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
        self._count = array("I", (0,))
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
        self.reopen(1 / self.delta)
        self.rows = 0

    def reopen(self, variance):
        """P += variance I: what was learned may have changed, so the next rows count for more.

        The process noise of a Kalman filter whose state is beta (S. Haykin, Adaptive Filter Theory, chapter on
        recursive least squares and Kalman filters).
        """
        i = 0
        for j in range(self.h):
            self.p[i] += variance
            i += j + 2

    def score_row(self, x):
        """Reconstruct ``x`` (n float32) and return its score: mean scaled squared residual plus a part of the largest one.

        The mean alone hides one band among 64.
        """
        kernels.hidden(x, self.seed, self._input, self.a)
        kernels.residuals(x, self.a, self.beta, self.e)
        return self.rescore()

    def rescore(self):
        """The score of the row scored last, with the weights as they are now."""
        kernels.score(self.e, self.weight, self.out)
        return self.out[0] + defaults.WORST_WEIGHT * self.out[1]

    def learn_row(self, x):
        """Score ``x``, then learn it; returns the score before learning."""
        score = self.score_row(x)
        self.learn_scored()
        return score

    def learn_scored(self):
        """Learn the row that was scored last; False if it was refused because a number in it is not finite."""
        learned = kernels.update(self.p, self.beta, self.a, self.e, self._forgetting, self._u)
        self.rows += learned
        return learned

    def buffers(self):
        """What a restart needs: beta, P, weights (float32) and the rows learned (uint32)."""
        self._count[0] = self.rows
        return (self.beta, self.p, self.weight, self._count)

    def loaded(self):
        """The buffers were filled anew."""
        self.rows = self._count[0]
