"""Slow wear: one band that rises so slowly that no row is an anomaly.

A mean over 64 bands buries one band, and a model that follows what is normal follows wear, too. So each band has a
control chart of its own: its level, an exponentially weighted mean (S. W. Roberts, Technometrics 1(3), 1959) of the
deviation from the centre of the current condition, over blocks of ``WEAR_BLOCK`` rows, in standard deviations of one
row. Four things keep it quiet:

- The first ``WEAR_SETTLE`` rows after commissioning set each band's zero: a machine that was just started is still warming.
- A step of more than ``WEAR_JUMP`` from block to block moves the band's zero. What comes at once is another session,
  another condition or a fault, and those are the detector's business; wear comes in small steps.
- Weather and load move many bands, wear few: levels count in units of their root mean square over the other bands.
- A rise that was told and came back by itself was no wear: from then on that band counts as one that varies so much.
  Nobody can tell the first evening from wear.
"""

from math import sqrt

from fieldelm import defaults
from fieldelm.elm import floats


class Wear:
    """Charts of ``n`` inputs. ``highest``: the largest level, ``band``: whose. Memory: 4 n float32.

    ``sum`` (float32, n) may be used by others from the last ``step`` until ``pause``, ``reset`` or ``loaded``.
    """

    def __init__(self, n):
        self.n = n
        # rows that have shown the variances; those of them while watching; stored: highest, peak, band, band told
        self._shown = floats(6)
        self._variance = floats(n)
        self._zero = floats(n)
        self.sum = floats(n)  # of the block
        self._level = floats(n)
        self.reset()

    def reset(self):
        """Forget everything."""
        self._shown[0] = self._shown[1] = 0.0
        for i in range(self.n):
            self._variance[i] = self._zero[i] = self._level[i] = 0.0
        self.highest = self._peak = 0.0
        self.band = self._told = 0
        self.pause()

    def pause(self):
        """The next rows do not continue those before: their block begins anew."""
        self._rows = 0
        for i in range(self.n):
            self.sum[i] = 0.0

    def learn(self, x, center):
        """A row of a known condition shows how much rows vary."""
        self._shown[0] += 1
        rate = 1 / self._shown[0]
        variance = self._variance
        zero = self._zero
        for i in range(self.n):
            d = x[i] - center[i] - zero[i]
            variance[i] += (d * d - variance[i]) * rate

    def step(self, x, center):
        """One row that is no anomaly; True while a band has risen too far."""
        if self._shown[1] < defaults.WEAR_SETTLE:
            self._shown[1] += 1
            self.learn(x, center)
            for i in range(self.n):
                self._zero[i] += (x[i] - center[i] - self._zero[i]) / self._shown[1]
            return False
        total = self.sum
        for i in range(self.n):
            total[i] += x[i] - center[i]
        self._rows += 1
        if self._rows == defaults.WEAR_BLOCK:
            self._end_block()
        return self.highest > defaults.WEAR_LIMIT

    def _end_block(self):
        level = self._level
        least = defaults.WEAR_FLOOR * defaults.WEAR_FLOOR
        squares = 0.0
        highest = 0
        for i in range(self.n):
            sigma = sqrt(self._variance[i] + least)
            step = (self.sum[i] / self._rows - self._zero[i]) / sigma - level[i]
            if -defaults.WEAR_JUMP < step < defaults.WEAR_JUMP:
                level[i] += step / 2
            else:
                self._zero[i] += step * sigma
            squares += level[i] * level[i]
            if level[i] > level[highest]:
                highest = i
        squares -= level[highest] * level[highest]
        self.band = highest
        self.highest = level[highest] / max(sqrt(squares / max(self.n - 1, 1)), 1.0)
        self._peak = max(self._peak, self.highest)
        self.pause()

    def tell(self):
        """The rise in ``band`` becomes an alarm."""
        self._told = self.band

    @property
    def gone(self):
        """True when the rise that was told has come back."""
        return self._level[self._told] < defaults.WEAR_LIMIT / 2

    def forgive(self):
        """It came back by itself: the band varies more than was known."""
        more = defaults.WEAR_WIDEN * self._peak / defaults.WEAR_LIMIT
        self._variance[self._told] = (self._variance[self._told] + defaults.WEAR_FLOOR**2) * more * more
        self._level[self._told] /= more
        self._peak = 0.0

    def buffers(self):
        """What a restart needs (float32)."""
        shown = self._shown
        shown[2] = self.highest
        shown[3] = self._peak
        shown[4] = self.band
        shown[5] = self._told
        return (shown, self._variance, self._zero, self._level)

    def loaded(self):
        """The buffers were filled anew."""
        _, _, self.highest, self._peak, band, told = self._shown
        self.band = int(band)
        self._told = int(told)
        self.pause()
