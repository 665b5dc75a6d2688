"""OS-ELM autoencoder: a network with one random hidden layer whose output weights are learned row by row.

Input x of n numbers, h hidden units, target = input, one row at a time, no matrix inverse:

    a  = G(x A + b)                       hidden activations, G the sigmoid
    u  = P a ;  k = u / (lambda + a' u)   gain of recursive least squares
    e  = x - a' beta                      residuals
    beta += k e' ;  P = (P - k u') / lambda       start: P = I / delta, beta = 0

N.-Y. Liang et al., "A Fast and Accurate Online Sequential Learning Algorithm for Feedforward Networks", IEEE Trans.
Neural Networks 17(6), 2006, equations 22 to 24 for chunks of one row, which turn the inverse into a division. M.
Tsukada, M. Kondo, H. Matsutani, "A Neural Network-Based On-device Learning Anomaly Detector for Edge Devices",
arXiv:1907.10147: the autoencoder and its forgetting rate a; here lambda = a^2. With lambda = 1 and the start above the
weights are those of ridge regression on all rows so far, beta = (H'H + delta I)^-1 H'X, so there is no initial batch.

The random A is +-1 times gain / sqrt(n), and it and b come from a shift register in ``kernels.hidden``: they take no
memory. P is symmetric and packed, P[i][j] = p[i (i + 1) / 2 + j] for j <= i; unpacked it loses its symmetry and, with
lambda < 1, blows up within months.
"""

from array import array
from math import sqrt

from fieldelm import defaults, kernels


def floats(count):
    """A buffer of ``count`` float32, all zero."""
    return array("f", bytes(4 * count))


def raw(buffer):
    """The bytes of an array of 4-byte numbers, not copied."""
    view = memoryview(buffer)
    if hasattr(view, "cast"):
        return view.cast("B")
    import uctypes

    return uctypes.bytearray_at(uctypes.addressof(buffer), 4 * len(buffer))


class OsElm:
    """The autoencoder; everything is allocated here.

    Visible buffers, all float32: ``beta`` (h x n, row-major), ``p`` (h (h + 1) / 2, packed), ``a`` (h), ``e`` (n,
    residuals of the row scored last), ``weight`` (n, factor of each squared residual in the score: 1 / its held-back
    variance), ``out`` (what ``kernels.score`` found in that row: mean, largest, its index, second largest, its index).
    ``rows`` counts the rows learned.
    """

    def __init__(self, n, h, seed, delta=defaults.RIDGE, forgetting_factor=defaults.FORGETTING_FACTOR):
        if n < 1 or h < 1:
            raise ValueError("the model needs at least one input and one hidden unit")
        if not (delta > 0 and 0 < forgetting_factor <= 1):
            raise ValueError("delta must be above 0 and the forgetting factor above 0 and at most 1")
        self.n = n
        self.h = h
        self.seed = seed
        self.delta = delta
        self.beta = floats(n * h)
        self.p = floats(h * (h + 1) // 2)
        self.a = floats(h)
        self.e = floats(n)
        self.weight = floats(n)
        self.out = floats(5)
        self._u = floats(h)
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
