"""Learning a place: commissioning from nothing, or relearning on the spot after a change.

Training rows are learned; calibration rows are held back, and give the variance of each residual and the threshold.
Both fail where there is nothing to learn: rows that the model cannot reconstruct better than pure noise, or rows that
disagree.

Relearning keeps beta and reopens P, so few rows suffice. Two things protect it: a row unlike the rows relearned so far
is not learned, and the other known conditions are rehearsed, as they should look in the new environment, so that they
are neither forgotten nor strange when they are met again (A. Robins, "Catastrophic forgetting, rehearsal and
pseudorehearsal", Connection Science 7(2), 1995).
"""

from math import log, sqrt

from fieldelm import defaults
from fieldelm.elm import floats


class Place:
    """Trains and calibrates ``model``, ``threshold`` and ``modes``; ``level`` as in ``features.Features``.

    ``spectral`` is False for plain sensor values. ``fresh`` is False while relearning on the spot.
    """

    def __init__(self, model, threshold, modes, level, spectral):
        self._model = model
        self._threshold = threshold
        self._modes = modes
        self._level = level
        self._roughest = defaults.ROUGHEST if spectral else defaults.STANDARD_LIMIT
        self._squares = floats(model.n)  # of the residuals of the calibration rows
        self._prior = floats(model.n)  # variances before the change
        self._rehearsal = floats(model.n)
        self.fresh = True

    def begin(self, train_rows, calibration_rows, fresh):
        """Learn ``train_rows`` rows, then calibrate with ``calibration_rows``; from nothing if ``fresh``."""
        self.fresh = fresh
        self.to_train = train_rows
        self.to_calibrate = calibration_rows
        self._calibrated = 0
        self._trained = 0
        self._rehearsed = 0
        self._left_out = 0
        self._log_score = 0.0
        self._sigma = 0.0 if fresh else self._threshold.calibrated_sigma
        for i in range(self._model.n):
            self._squares[i] = 0.0
            self._prior[i] = 0.0 if fresh else 1 / self._model.weight[i]
        value = self._threshold.value
        self._threshold.reset()
        if fresh:
            self._model.reset()
            self._modes.reset()
        else:
            self._model.reopen(1 / self._model.delta)
            self._threshold.value = value  # what is reported until the new one is known

    def strange(self, x, center):
        """While relearning: True for a row that is not of the condition around ``center``, and must not take part.

        The centre follows, but no row can pull it far (P. J. Huber, Annals of Mathematical Statistics 35(1), 1964). A
        place that has more than one condition is learned as it is: only so many rows are left out.
        """
        modes = self._modes
        limit = defaults.RELEARN_RADIUS * max(modes.noise, defaults.VARIANCE_FLOOR)
        far = modes.square(x, center) > limit * limit
        for i in range(modes.n):
            center[i] += min(max(x[i] - center[i], -limit), limit) / 8
        if far and self._left_out < defaults.RELEARN_TRAIN_ROWS:
            self._left_out += 1
            return True
        return False

    def train(self, x, score):
        """Learn the row ``x`` that the model scored last; True unless it was left out."""
        self.to_train -= 1
        if not self.fresh:
            value = log(max(score, 1e-12))
            if self._trained >= defaults.RELEARN_TRAIN_ROWS // 3 and value > self._log_score + defaults.RELEARN_GATE:
                return False
            self._trained += 1
            self._log_score += (value - self._log_score) / min(self._trained, 4)
        self._model.learn_scored()
        mode = self._modes.learn(x)
        if not self.fresh:
            self._rehearse(mode)
        return True

    def _rehearse(self, current):
        for _ in range(defaults.REHEARSE):
            self._rehearsed = (self._rehearsed + 1) % self._modes.count
            if self._rehearsed != current:
                self._modes.expected(self._rehearsed, self._level, self._rehearsal)
                self._model.learn_row(self._rehearsal)

    def calibrate(self):
        """Let the row that the model scored last, which is not learned, take part in variances and threshold."""
        self.to_calibrate -= 1
        e = self._model.e
        n = len(e)
        squares = self._squares
        weight = self._model.weight
        if self._calibrated >= 4:  # with weights that this row had no part in
            self._threshold.calibrate(self._model.rescore())
        self._calibrated += 1
        total = 0.0
        for i in range(n):
            squares[i] += e[i] * e[i]
            total += squares[i]
        k = self._calibrated
        mean = total / n / k
        prior = defaults.VARIANCE_PRIOR_ROWS if self.fresh else defaults.RELEARN_PRIOR_ROWS
        least = defaults.VARIANCE_FLOOR * defaults.VARIANCE_FLOOR
        for i in range(n):
            weight[i] = 1 / ((squares[i] + prior * (self._prior[i] or mean)) / (k + prior) + least)
        self._roughness = sqrt(mean)

    def finish(self):
        """Set the threshold; False if the place could not be learned."""
        threshold = self._threshold
        # the logarithm of a mean of n squares varies by about sqrt(2 / n) of itself
        if not (self._roughness < self._roughest and threshold.sigma < defaults.DISAGREE + sqrt(2 / self._model.n)):
            return False
        threshold.finish(self._sigma)
        return True
