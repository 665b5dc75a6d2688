"""Slow wear: one band that rises so slowly that no row is an anomaly.

A mean over 64 bands buries one band, and a model that follows what is normal follows wear, too. So each band has a
control chart of its own: its level, an exponentially weighted mean (S. W. Roberts, Technometrics 1(3), 1959) of the
deviation from the centre of the current condition, over blocks of ``WEAR_BLOCK`` rows, in standard deviations of one
row. There are two limits: one for the level of a block, high, since an evening may lift a band as well, and one for the mean
level of a whole day, low, since what day and night do cancels in it. Five things keep the chart quiet:

- The first ``WEAR_SETTLE`` rows after commissioning set each band's zero: a machine that was just started is still warming.
- The first day moves it up to its mean level, unless that rose all day long.
- A step of more than ``WEAR_JUMP`` from block to block moves the band's zero. What comes at once is another session,
  another condition or a fault, and those are the detector's business; wear comes in small steps. After a step down a step may
  lead up again to where it came from: a stop takes no wear away.
- Weather and load move many bands, wear few: levels count in units of their root mean square over the other bands.
- A rise that was told and came back by itself was no wear: from then on that band counts as one that varies so much.
  Nobody can tell the first evening from wear.
"""

from math import sqrt

from fieldelm import defaults
from fieldelm.elm import floats


class Wear:
    """Charts of ``n`` inputs. ``highest``: the largest level, 1 is its limit; ``band``: whose. Memory: 5 n float32, 2 n bytes.

    ``sum`` (float32, n) may be used by others from the last ``step`` until ``pause``, ``reset`` or ``loaded``.
    """

    def __init__(self, n):
        self.n = n
        # rows that have shown the variances; those of them while watching, one more after a day; stored: highest, peak, band,
        # band told, the mean level of its last day
        self._shown = floats(7)
        self._variance = floats(n)
        self._zero = floats(n)
        self.sum = floats(n)  # of the block
        self._level = floats(n)
        self._half = floats(n)  # sum of the levels of this half of a day
        # mean of those of the half before, in steps of 1/8, 128 is 0; then the level before a step down or a pause, in steps of
        # 1/16: so far a step may lead up again
        self._before = bytearray(2 * n)
        self.reset()

    def reset(self):
        """Forget everything."""
        self._shown[0] = self._shown[1] = 0.0
        for i in range(self.n):
            self._variance[i] = self._zero[i] = self._level[i] = 0.0
            self._before[self.n + i] = 0
        self.highest = self._peak = 0.0
        self.band = self._told = 0
        self.pause()

    def pause(self):
        """The next rows do not continue those before: their block and their day begin anew."""
        for i in range(self.n):
            self._park(i)
        self._begin_block()
        self._begin_half()
        self._halves = 0  # 1: one is complete
        self._day = 0.0  # largest mean level of the last day, 1 is its limit
        self._told_day = 0.0  # mean level of the band told
        self._day_band = 0

    def _park(self, i):
        parked = min(int(16 * max(self._level[i], 0.0)), 255)
        self._before[self.n + i] = max(self._before[self.n + i], parked)

    def _begin_block(self):
        self._rows = 0
        for i in range(self.n):
            self.sum[i] = 0.0

    def _begin_half(self):
        self._blocks = 0
        for i in range(self.n):
            self._half[i] = 0.0

    def learn(self, x, center):
        """A row of a known condition shows how much rows vary."""
        self._shown[0] += 1
        rate = 1 / self._shown[0]
        variance = self._variance
        zero = self._zero
        for i in range(self.n):
            d = x[i] - center[i] - zero[i]
            variance[i] += (d * d - variance[i]) * rate

    def step(self, x, center, now_ms):
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
            self._end_block(now_ms)
        return self.highest > 1

    def _sigma(self, i):
        return sqrt(self._variance[i] + defaults.WEAR_FLOOR * defaults.WEAR_FLOOR)

    def _end_block(self, now_ms):
        level = self._level
        half = self._half
        for i in range(self.n):
            sigma = self._sigma(i)
            step = (self.sum[i] / self._rows - self._zero[i]) / sigma - level[i]
            if -defaults.WEAR_JUMP < step < defaults.WEAR_JUMP:
                level[i] += step / 2
            else:  # down with it, and up to where it came down from; what is left of a jump up moves the zero
                if step < 0:
                    self._park(i)
                left = max(level[i] + step - max(level[i], self._before[self.n + i] / 16), 0.0)
                level[i] += step - left
                self._zero[i] += left * sigma
            half[i] += level[i]
        self.band, self.highest = self._highest(level, defaults.WEAR_LIMIT)
        if self._day > self.highest:
            self.band, self.highest = self._day_band, self._day
        self._peak = max(self._peak, self.highest)
        self._begin_block()
        if not self._blocks:
            self._since_ms = now_ms
        self._blocks += 1
        if now_ms - self._since_ms >= defaults.WEAR_HALF_DAY_MS:
            self._end_half()

    def _highest(self, level, limit):
        # how high is the highest, in units of its limit?
        highest = 0
        squares = 0.0
        for i in range(self.n):
            squares += level[i] * level[i]
            if level[i] > level[highest]:
                highest = i
        squares -= level[highest] * level[highest]
        return highest, level[highest] / max(sqrt(squares / max(self.n - 1, 1)), 1.0) / limit

    def _end_half(self):
        level = self._level
        half = self._half
        before = self._before
        whole = self._halves
        for i in range(self.n):
            sigma = self._sigma(i)
            mean = half[i] / self._blocks
            day = (mean + (before[i] - 128) / 8) / 2
            shift = 0.0
            if whole and not self._based:
                shift = max(day - max(level[i], 0.0), 0.0)  # what has risen and not come back is no part of a day
            self._zero[i] += shift * sigma
            level[i] -= shift
            half[i] = day - shift
            before[i] = int(min(max(8 * (mean - shift), -128), 127) + 128.5)
        if whole:
            if self._based:
                self._day_band, self._day = self._highest(half, defaults.WEAR_DAY_LIMIT)
                self._told_day = half[self._told]
            self._shown[1] = defaults.WEAR_SETTLE + 1
        self._halves = 1
        self._begin_half()

    def tell(self):
        """The rise in ``band`` becomes an alarm."""
        self._told = self.band
        self._told_day = self._day * defaults.WEAR_DAY_LIMIT if self.band == self._day_band else 0.0

    @property
    def _based(self):
        # the first day has moved the zero
        return self._shown[1] > defaults.WEAR_SETTLE

    @property
    def gone(self):
        """True when the rise that was told has come back."""
        return self._level[self._told] < defaults.WEAR_LIMIT / 2 and self._told_day < defaults.WEAR_DAY_LIMIT / 2

    def forgive(self):
        """It came back by itself: the band varies more than was known."""
        more = max(defaults.WEAR_WIDEN * self._peak, 1.0)
        self._variance[self._told] = (self._variance[self._told] + defaults.WEAR_FLOOR**2) * more * more
        self._level[self._told] /= more
        self._begin_anew()

    def accept(self):
        """Somebody has looked: what the band told has risen to is its zero from now on."""
        band = self._told
        self._zero[band] += self._level[band] * self._sigma(band)
        self._level[band] = self._told_day = 0.0
        self._begin_anew()

    def _begin_anew(self):
        self._before[self.n + self._told] = 0
        self.highest = self._peak = 0.0  # until the next block ends
        self.pause()

    def buffers(self):
        """What a restart needs (float32)."""
        shown = self._shown
        shown[2] = self.highest
        shown[3] = self._peak
        shown[4] = self.band
        shown[5] = self._told
        shown[6] = self._told_day
        return (shown, self._variance, self._zero, self._level)

    def loaded(self):
        """The buffers were filled anew."""
        self.pause()
        _, _, self.highest, self._peak, band, told, self._told_day = self._shown
        self.band = int(band)
        self._told = int(told)
