"""Learning a place: commissioning from nothing, or relearning on the spot after a change.

Training rows are learned; calibration rows are held back, and give the variance of each residual and the threshold.
Both fail where there is nothing to learn: rows that the model cannot reconstruct better than pure noise, or rows that
disagree. Rows are held and compared with each other first (``sift.py``); strangers among them are neither learned nor
calibrated with.

Relearning keeps beta and reopens P, so few rows suffice: by a little where the machine stopped, or 18 rows of a still machine
bend what days have taught about the running one, which will come back as it was. The other known conditions are rehearsed,
as they should look in the new environment, so that they are neither forgotten nor strange when they are met again (A.
Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science 7(2), 1995).
"""

from math import log, sqrt

from fieldelm import defaults
from fieldelm.elm import floats
from fieldelm.sift import MARKS, Sift


class Place:
    """Trains and calibrates ``model``, ``threshold``, ``modes`` and ``wear``; ``level`` as in ``features.Features``.

    ``spectral`` is False for plain sensor values; ``room`` are bytes that are free while a place is learned from nothing.
    ``fresh`` is False while relearning on the spot. ``training`` is True until the first rows are calibrated with.
    """

    def __init__(self, model, threshold, modes, wear, level, spectral, room, scratch):
        self._model = model
        self._threshold = threshold
        self._modes = modes
        self._wear = wear
        self._level = level
        self._spectral = spectral
        # squares of the residuals of the calibration rows, variances before the change, a held row
        self._squares, self._prior, self._row = scratch
        self._residuals = floats(2)  # of their mean squares: mean of the logarithms, squares of the distances from it
        self._at_first = Sift(model.n, room)
        spot = defaults.RELEARN_TRAIN_ROWS + defaults.RELEARN_CALIBRATION_ROWS
        self._on_the_spot = Sift(model.n, bytearray(spot * (model.n + MARKS)))  # the old model is in the other room
        self.fresh = True

    def set_on_wait(self, on_wait):
        """``on_wait()`` is called again and again in a step that takes seconds."""
        self._at_first.on_wait = self._on_the_spot.on_wait = on_wait

    def begin(self, train_rows, calibration_rows, fresh, reopened=1.0):
        """Learn ``train_rows`` rows, then calibrate with ``calibration_rows``; from nothing if ``fresh``.

        ``reopened``: by how much P is, 1 is as far as before the first row.
        """
        self.fresh = fresh
        self.training = True
        self._to_train = train_rows
        self._to_calibrate = calibration_rows
        self._sift = self._at_first if fresh else self._on_the_spot
        self._sift.rows = 0
        self._again = defaults.SIFT_AGAIN
        self._calibrated = 0
        self._rehearsed = 0
        self._seen = 0
        self._strangers = 0
        self._residuals[0] = self._residuals[1] = 0.0
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
            self._model.reopen(reopened / self._model.delta)
            self._threshold.value = value  # what is reported until the new one is known

    def settle(self):
        """A training row was spent on floor and scale."""
        self._to_train -= 1

    def take(self, x):
        """Hold the row ``x``, and learn or calibrate with those that are held once they are enough to tell strangers.

        True when that was all.
        """
        sift = self._sift
        if not sift.rows:
            left = self._to_train if self.training else self._to_calibrate
            if not self.fresh:  # both at once: few rows
                left += self._to_calibrate
            self._part = -(-left // -(-left // sift.most))  # in parts that are alike
        sift.hold(x)
        if sift.rows < self._part:
            return False
        strangers = sift.judge() if self._spectral else 0
        if self._spectral and self.fresh and not self._seen:
            self._modes.expect_noise(sift.noise, sift.rows)
        if not self.fresh and strangers > defaults.SIFT_SPARE * sift.rows and self._again:
            self._again -= 1
            sift.drop_strangers()
            return False
        self._seen += sift.rows
        self._strangers += strangers
        to_learn = sift.rows if self.training else 0
        if not self.fresh:
            to_learn = (sift.rows - strangers) * self._to_train // sift.rows
        for row in range(sift.rows):
            if sift.on_wait is not None:
                sift.on_wait()
            if not (self._spectral and sift.stranger(row)):
                sift.row(row, self._row)
                self._use(self._row, to_learn > 0)
                to_learn -= 1
        part, sift.rows = sift.rows, 0
        if self.training and self.fresh:
            self._to_train -= part
            self.training = self._to_train > 0
            return False
        self._to_calibrate -= part
        return self._to_calibrate <= 0

    def _use(self, x, learn):
        modes = self._modes
        if learn:
            self._model.learn_row(x)
            mode = modes.learn(x)
        else:
            self._model.score_row(x)
            self._calibrate()
            mode = modes.nearest(x)
        if not self.fresh:
            if learn:
                self._rehearse(mode)
        elif modes.numbers[mode] >= defaults.MODE_KNOWN:
            self._wear.learn(x, modes.centers[mode])

    def _rehearse(self, current):
        for _ in range(defaults.REHEARSE):
            self._rehearsed = (self._rehearsed + 1) % self._modes.count
            if self._rehearsed != current:
                self._modes.expected(self._rehearsed, self._level, self._row)
                self._model.learn_row(self._row)

    def _calibrate(self):
        # the row that the model scored last takes part in variances and threshold
        e = self._model.e
        n = len(e)
        squares = self._squares
        weight = self._model.weight
        if self._calibrated >= 4:  # with weights that this row had no part in
            self._threshold.calibrate(self._model.rescore())
        self._calibrated += 1
        total = row = 0.0
        for i in range(n):
            square = e[i] * e[i]
            row += square
            squares[i] += square
            total += squares[i]
        k = self._calibrated
        # with growing variances the score of a condition that was never trained on soon is like any other's
        row = log(max(row / n, 1e-12)) - self._residuals[0]
        self._residuals[0] += row / k
        self._residuals[1] += row * row * (k - 1) / k
        mean = total / n / k
        prior = defaults.VARIANCE_PRIOR_ROWS if self.fresh else defaults.RELEARN_PRIOR_ROWS
        least = defaults.VARIANCE_FLOOR * defaults.VARIANCE_FLOOR
        for i in range(n):
            weight[i] = 1 / ((squares[i] + prior * (self._prior[i] or mean)) / (k + prior) + least)

    def finish(self):
        """Set the threshold; False if the place could not be learned."""
        threshold = self._threshold
        if not self._calibrated or self._strangers > defaults.SIFT_FAILED * self._seen:
            return False
        # the logarithm of a mean of n squares varies by about sqrt(2 / n) of itself
        apart = sqrt(self._residuals[1] / max(self._calibrated - 1, 1)) if self._spectral else threshold.sigma
        roughness = sqrt(sum(self._squares) / self._model.n / self._calibrated)
        roughest = defaults.ROUGHEST if self._spectral else defaults.STANDARD_LIMIT
        if not (roughness < roughest and apart < defaults.DISAGREE + sqrt(2 / self._model.n)):
            return False
        threshold.finish(self._sigma)
        self._modes.forget_drift()
        return True
