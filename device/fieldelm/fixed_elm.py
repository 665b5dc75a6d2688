"""The autoencoder of ``elm`` on the fixed-point kernels: a step takes a Pico 0.4 ms instead of 11.

Inputs are int16 with ``x_bits`` binary places, beta and P int32 with common exponents. Formats, bounds and what the score
loses by them: docs/explanation/kernels.md.
"""

from array import array
from math import sqrt

from micropython import const

from fieldelm import defaults, kernels

_X_BITS = const(11)  # inputs from -16 to 16, in steps of 0.0005: logarithms of amplitude, or standard deviations
_ROWS = const(15)  # word of a model: rows learned since P was opened
_mean = array("f", (0.0,))


def square(a, b):
    """Mean square of the difference of two rows of as many float32, both within +-16: what lies beyond is cut."""
    kernels.fixed_square(a, b, _mean)
    return _mean[0]


class FixedElm:
    """The autoencoder; everything is allocated here.

    Visible buffers, all float32: ``e`` (n, residuals of the row scored last), ``weight`` (n, factor of each squared residual
    in the score: 1 / its held-back variance), ``out`` (what was found in that row: mean, largest, its index, second
    largest, its index). ``rows`` counts the rows learned. An input of 1 is 2^x_bits; beyond int16 it is cut.
    """

    MAGIC = b"FEX2"  # of what is stored

    def __init__(
        self,
        n,
        h,
        seed,
        delta=defaults.RIDGE,
        forgetting_factor=defaults.FORGETTING_FACTOR,
        x_bits=_X_BITS,
        explained=True,
    ):
        self.n = n
        self.h = h
        self.seed = seed
        self.delta = delta
        self.out = array("f", bytes(20))
        self._x_bits = x_bits
        self._model = array("i", bytes(4 * kernels.fixed_size(0, n, h)))
        self._work = array("i", bytes(4 * kernels.fixed_size(1, n, h)))
        self._e = array("f", bytes(4 * n))
        self._weight = array("f", bytes(4 * n))
        self._count = array("I", (0,))
        self._params = array("f", (defaults.INPUT_GAIN / sqrt(n), defaults.BIAS_SCALE, 1 / delta, forgetting_factor))
        self._variance = array("f", (0.0,))
        self._explainer = array("i", bytes(4 * kernels.fixed_size(3, n, h))) if explained else None
        self.reset()

    def reset(self):
        """Forget everything: P = I / delta, beta = 0, weights 1."""
        kernels.fixed_init(self._model, self.n, self.h, self.seed, self._x_bits, self._params)
        for i in range(self.n):
            self._weight[i] = 1.0
        self._weighed = True  # whether the model has the weights as they are in `_weight`
        self._known = False  # whether `_e` has the residuals of the row scored last
        self._fresh = 0  # rows that may be learned until the explainer is renewed
        self.rows = 0

    def reopen(self, variance):
        """P += variance I: what was learned may have changed, so the next rows count for more.

        The process noise of a Kalman filter whose state is beta (S. Haykin, Adaptive Filter Theory, chapter on
        recursive least squares and Kalman filters).
        """
        self._variance[0] = variance
        kernels.fixed_reopen(self._model, self._variance)
        self._fresh = 0

    @property
    def e(self):
        """Residuals of the row scored last."""
        if not self._known:
            kernels.fixed_residuals(self._model, self._work, self._e)
            self._known = True
        return self._e

    @property
    def weight(self):
        """Factors of the squared residuals, to be read or changed; who changes them asks for them anew after the next row."""
        self._weighed = False
        return self._weight

    def score_row(self, x):
        """Reconstruct ``x`` (n float32) and return its score: mean scaled squared residual plus a part of the largest one.

        The mean alone hides one band among 64.
        """
        if not self._weighed:
            kernels.fixed_weights(self._model, self._weight)
            self._weighed = True
        self._known = False
        explainer = self._explainer
        if explainer is None:
            kernels.fixed_score(self._model, self._work, x, self.out)
        else:
            if self._fresh <= 0:
                rows = self._model[_ROWS]
                # of rows that are forgotten P counts the newest 1 / (1 - lambda)
                forgotten = max(rows * (1 - self._params[3]), 1)
                self._variance[0] = defaults.VARIANCE_FLOOR * defaults.VARIANCE_FLOOR / forgotten
                kernels.fixed_invert(self._model, self._variance, explainer)
                # a row moves beta by about 1 / rows, and the score by the square of that
                self._fresh = max(min(rows >> 4, (rows >> 9) ** 2), 1)
            kernels.fixed_explain(self._model, self._work, x, explainer, self.out)
        return self._sum()

    def _sum(self):
        return self.out[0] + defaults.WORST_WEIGHT * self.out[1]

    def rescore(self):
        """The score of the row scored last, with the weights as they are now."""
        kernels.fixed_weights(self._model, self._weight)
        kernels.fixed_rescore(self._model, self._work, self.out)
        return self._sum()

    def learn_row(self, x):
        """Learn ``x``, whatever its score."""
        kernels.fixed_score(self._model, self._work, x, self.out)
        self._learn()

    def learn_scored(self):
        """Learn the row that was scored last; False if the weights of the output would leave their range."""
        if self._explainer is not None:
            kernels.fixed_predict(self._model, self._work)
        return self._learn()

    def _learn(self):
        learned = kernels.fixed_learn(self._model, self._work)
        self.rows += learned
        self._fresh -= learned
        self._known = False
        return learned

    def buffers(self):
        """What a restart needs: the model's words (int32), weights (float32) and the rows learned (uint32)."""
        self._count[0] = self.rows
        return (self._model, self._weight, self._count)

    def loaded(self):
        """The buffers were filled anew."""
        self.rows = self._count[0]
        self._weighed = False
        self._fresh = 0
