"""What has changed? A decision from the mean shift of each band against the nearest learned condition.

No algorithm can be sure: a blade that breaks is as abrupt and as stationary as a new neighbour. But a neighbour is a
*source that is added*: power adds, so it lifts bands that were quiet, in which the machine says little, by far more
than the machine's own bands, and it lowers none. A fault changes what the machine itself says: tones that were strong
get stronger, weaker or move, and little appears where nothing was. So the test for a new environment is: much of the
quieter half of the bands has risen, the strongest of the new energy is far above what was there, it is broad, and
hardly any band has fallen. Or the source is so loud that it drowns the machine, and nearly all bands have risen by far.
The mirror image, bands that fall while none rises, is a source that went away or a machine that stopped. Where the test
fails the node alarms.

A broken sensor is told by the same shifts: a gain that changed moves all loud bands by the same and nothing by more; electronic
noise is white, as nothing is that comes through a structure; a sampling rate that changed stretches the whole spectrum,
tones, resonances and hum alike, where another speed moves the tones only.
"""

from math import sqrt

from micropython import const

from fieldelm import defaults
from fieldelm.elm import floats

_TOP = const(4)  # bands


def _sort(values, count):
    # the first `count` of a float buffer, in place: a list would take five times its memory just when it is scarce
    for i in range(1, count):
        value = values[i]
        j = i
        while j and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


class Change:
    """Mean of the anomalous rows since the change began. ``shift`` (float32, n) is valid just after ``classify``.

    ``origin``: lower edge of the first band, in widths of a band from 0 Hz. ``scratch``: three
    float32 buffers of length n that others may use in between.
    """

    def __init__(self, n, origin, scratch):
        self.n = n
        self._origin = origin
        self.mean = floats(n)
        self._levels, self._sorted, self.shift = scratch
        self.on_wait = None  # is called by every classification, which takes most of a second on a Pico
        self.reset()

    def reset(self):
        """No change under way."""
        self.rows = 0

    def add(self, x):
        """One more anomalous row."""
        self.rows += 1
        rate = 1 / self.rows
        mean = self.mean
        if self.rows == 1:
            mean[:] = x
            return
        for i in range(self.n):
            mean[i] += (x[i] - mean[i]) * rate

    def classify(self, reference, level, noise):
        """``"environment"``, ``"quieter"``, ``"gain"``, ``"noisy"``, ``"rate"`` or ``"machine"``.

        ``reference``: centre of the nearest mode (n inputs); ``level(i, x)``: logarithm of the amplitude of input i;
        ``noise``: RMS by which single rows differ from their mode's centre.
        """
        if self.on_wait is not None:
            self.on_wait()
        n = self.n
        shift = self.shift
        for i in range(n):
            shift[i] = self.mean[i] - reference[i]
        sensor = self._sensor(reference, level, noise)
        if sensor:
            return sensor
        if self._source_added(reference, level, 1, defaults.QUIET_RISEN, defaults.BROAD_RISE):
            return "environment"
        if self._source_added(self.mean, level, -1, defaults.GONE_QUIET_RISEN, defaults.GONE_BROAD_RISE) or (
            self.fallen >= defaults.STOPPED_FALLEN and self.risen <= defaults.STOPPED_RISEN
        ):
            return "quieter"
        return "machine"

    def _sensor(self, reference, level, noise):
        # "gain", "noisy" or None
        n = self.n
        if n < 8:
            return None
        shift = self.shift
        error = 0.05 + defaults.GAIN_SPREAD * noise / sqrt(self.rows)
        ordered = self._sorted
        for i in range(n):
            ordered[i] = level(i, self.mean[i])
        _sort(ordered, n)
        range_after = ordered[n * 9 // 10] - ordered[n // 10]
        for i in range(n):
            ordered[i] = level(i, reference[i])
        _sort(ordered, n)
        range_before = ordered[n * 9 // 10] - ordered[n // 10]
        loud_level = ordered[n - n // 4]
        count = 0
        for i in range(n):
            if level(i, reference[i]) >= loud_level:
                ordered[count] = shift[i]
                count += 1
        _sort(ordered, count)
        middle = ordered[count // 2]
        sign = 1 if middle > 0 else -1
        if (
            abs(middle) > defaults.SHIFT
            and (ordered[count * 9 // 10] - ordered[count // 10]) / 2 < error
            and -2 * error < min(sign * value for value in shift)
            and max(sign * value for value in shift) < abs(middle) + 2 * error
        ):
            return "gain"
        if (
            range_after / 2 < defaults.FLAT + error
            and range_before / 2 > 3 * defaults.FLAT
            and self.mean_shift() > defaults.SHIFT
        ):
            return "noisy"
        return "rate" if self._stretched(reference, level) else None

    def _stretched(self, reference, level):
        # is the new spectrum the old one on another scale of frequency?
        n = self.n
        total = sum(value * value for value in self.shift)
        best = 1.0
        for percent in range(defaults.RATE_LEAST, defaults.RATE_MOST, 2):
            if abs(percent - 100) < defaults.RATE_APART:
                continue
            rate = percent / 100
            left = before = 0.0
            for i in range(n):
                at = (i + 0.5 + self._origin) * rate - self._origin - 0.5
                if not 0 <= at <= n - 1:
                    continue
                k = min(int(at), n - 2)
                part = at - k
                expected = level(k, reference[k]) * (1 - part) + level(k + 1, reference[k + 1]) * part
                d = level(i, self.mean[i]) - expected
                left += d * d
                before += self.shift[i] * self.shift[i]
            if before > total / 3:
                best = min(best, left / before)
        return best < defaults.RATE_LEFT * defaults.RATE_LEFT

    def mean_shift(self):
        """Mean of the shift over the inputs."""
        return sum(self.shift) / self.n

    def _source_added(self, before, level, sign, least_quiet, least_broad):
        # the test of the module's text for sign 1; for -1 the same with time reversed
        n = self.n
        shift = self.shift
        levels = self._levels
        ordered = self._sorted
        for i in range(n):
            levels[i] = ordered[i] = level(i, before[i])
        _sort(ordered, n)
        middle = ordered[n // 2]
        risen = fallen = quiet = quiet_risen = 0
        loud = 0
        for i in range(n):
            rise = sign * shift[i] > defaults.SHIFT
            risen += rise
            fallen += sign * shift[i] < -defaults.SHIFT
            if levels[i] < middle:
                quiet += 1
                quiet_risen += rise
            else:
                ordered[loud] = sign * shift[i]
                loud += 1
        _sort(ordered, loud)
        loudest = max(ordered[loud // 2], 0.0)
        for i in range(n):
            ordered[i] = sign * shift[i]
        _sort(ordered, n)
        tops = min(_TOP, n)
        top = sum(ordered[i] for i in range(n - tops, n)) / tops
        width = max(n // defaults.BROAD_PART, 1)
        broad = max(sum(sign * shift[j] for j in range(i, i + width)) for i in range(n - width + 1)) / width
        strong = top - loudest
        broad -= max(ordered[n // 2], 0.0)
        quiet_risen /= max(quiet, 1)
        if sign > 0:
            self.risen, self.fallen = risen / n, fallen / n
            self.strong, self.broad, self.quiet_risen = strong, broad, quiet_risen
        if (
            ordered[n // 2] >= defaults.DROWNED
            and top >= defaults.STRONG_RISE
            and fallen <= defaults.DROWNED_FALLEN * n
        ):
            return True
        return (
            quiet_risen >= least_quiet
            and strong >= defaults.STRONG_RISE
            and broad >= least_broad
            and fallen <= defaults.FALLEN_LIMIT * n
        )
