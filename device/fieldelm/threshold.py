"""What score is too high: a margin above the mean of the logarithm of normal scores.

The score is a mean of squares, so its logarithm is nearly normal and its spread hardly depends on its level. The margin
is ``SIGMAS`` standard deviations of the calibration rows (held back from training), never less than
``SMALLEST_MARGIN``, since the next recording of the same machine differs more than the rows of one recording do among
themselves, and it is widened by (1 + WIDEN_ROWS / n) as long as it rests on few rows, and by an operator's factor. The
mean follows normal rows, slowly and within bounds: the lower of two, one over all rows and one over those of a row's own
condition, so a condition that changes does not make the node blind to another one.
"""

from math import exp, log, sqrt

from fieldelm import defaults
from fieldelm.elm import floats


class Threshold:
    """``value`` is the threshold; ``mean``, ``margin`` and ``calibrated_sigma`` are on the natural logarithm of the score."""

    def __init__(self, few=False):
        self._few = few
        self._saved = floats(4)
        self.factor = 1.0
        self.reset()

    def reset(self):
        """Forget the calibration."""
        self.rows = 0
        self.mean = 0.0
        self.drift = self._common = 0.0  # of the mean since the calibration: of the condition, and of all
        self._squares = 0.0
        self._calibrated = 0.0
        self.calibrated_sigma = 0.0
        self.margin = float("nan")
        self.value = float("nan")

    @property
    def sigma(self):
        """Standard deviation of the logarithm over the calibration rows so far."""
        return sqrt(self._squares / (self.rows - 1)) if self.rows > 1 else 0.0

    def scale(self, score):
        """The score on the scale on which it is nearly normal: its logarithm, or of few inputs three times its cube root."""
        return 3 * max(score, 0.0) ** (1 / 3) if self._few else log(max(score, 1e-12))

    def calibrate(self, score):
        """One held-back row's score."""
        value = self.scale(score)
        self.rows += 1
        before = value - self.mean
        self.mean += before / self.rows
        self._squares += before * (value - self.mean)

    def finish(self, known_sigma=0.0):
        """Set the threshold from the calibration rows.

        ``known_sigma``, the standard deviation before the place changed, counts as ``SIGMA_ROWS`` rows: a handful of
        rows tells a mean, but no spread.
        """
        self._calibrated = self.mean
        known = defaults.SIGMA_ROWS if known_sigma else 0
        freedom = max(self.rows - 1, 0)
        self.calibrated_sigma = sqrt((self._squares + known * known_sigma * known_sigma) / max(known + freedom, 1))
        self._set()

    def set_factor(self, factor):
        """Widen (or narrow) the margin by an operator's factor, which outlasts every calibration."""
        self.factor = factor
        if self.value == self.value:
            self._set()

    def _set(self):
        self.mean = self._calibrated + min(self.drift, self._common)
        widen = 1 + defaults.WIDEN_ROWS / max(self.rows, 1)
        self.margin = max(defaults.SIGMAS * self.calibrated_sigma, defaults.SMALLEST_MARGIN) * widen * self.factor
        limit = self.mean + self.margin
        self.value = (limit / 3) ** 3 if self._few else exp(limit)

    def turn_to(self, drift):
        """The next rows are of the condition whose mean has moved by ``drift`` since the calibration."""
        if drift != self.drift:
            self.drift = drift
            self._set()

    def excess(self, score):
        """How far a score is above the mean, in margins: 1 is the threshold."""
        return (self.scale(score) - self.mean) / self.margin

    def follow(self, score):
        """Let a normal row move the means, that of its condition and that of all, and count as evidence."""
        value = self.scale(score) - self._calibrated
        self._common = self._moved(self._common, value)
        self.drift = self._moved(self.drift, value)
        self.rows = min(self.rows + 1, 100000)
        self._set()

    @staticmethod
    def _moved(drift, value):
        drift += (value - drift) * defaults.MEAN_RATE
        return min(max(drift, -defaults.MEAN_DOWN), defaults.MEAN_UP)

    def buffers(self):
        """What a restart needs: rows, drift, calibrated mean and sigma (float32)."""
        saved = self._saved
        saved[0] = self.rows
        saved[1] = self._common
        saved[2] = self._calibrated
        saved[3] = self.calibrated_sigma
        return (saved,)

    def loaded(self):
        """The buffer was filled anew."""
        rows, self._common, self._calibrated, self.calibrated_sigma = self._saved
        self.rows = int(rows)
        self.drift = 0.0
        self._set()
