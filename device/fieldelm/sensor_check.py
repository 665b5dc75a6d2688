"""Is it the sensor? Checked before anything is learned or judged.

| fault | how it shows in one window or row | kinds |
| --- | --- | --- |
| ``dead`` | no data, or not a number | all |
| ``stuck`` | no sample differs from another; a spectrum equals the one before; a value, or all of them, stands still | all |
| ``saturated`` | the mean, or the RMS about it, is near full scale | waveform of known full scale |
| ``clipped`` | a sample is at full scale | waveform of known full scale |
| ``detached`` | gravity points elsewhere and the vibration is gone | waveform of all three axes |
| ``gain`` | all loud bands have moved by the same: found by the detector, see ``change.py`` | waveform, spectrum |
| ``noisy`` | the bands have risen to one level: found by the detector, too | waveform, spectrum |
| ``rate`` | the spectrum is stretched: found by the detector, too | waveform, spectrum |

A fault is reported after ``SENSOR_ROWS`` bad rows one after the other and ends after as many good ones.

A sensor value may stand still for long: a thermometer at night. It is stuck after ``STUCK_GROWTH`` times the longest run of
equal values that it has shown while it was learned, and ``STUCK_VALUES_ROWS`` rows at least. Of a single value only rows
count in which another one moves, and one that stood still for more than one part in ``STUCK_PART`` of the rows learned is
not known to move. Memory: one row of inputs, but of a waveform, and of sensor values two numbers each.
"""

from math import sqrt

from fieldelm import defaults
from fieldelm.elm import floats


BY_SHIFT = ("gain", "noisy", "rate")  # faults that the detector finds, and that end when the score is normal again


class SensorCheck:
    """``fault`` is the name of the fault that stands, or None."""

    def __init__(self, features, full_scale, g_per_count):
        self._features = features
        self._full_scale = full_scale
        self._g_per_count = g_per_count
        values = features.kind == "features"
        self._last = floats(features.inputs if values else features.n if features.kind == "spectrum" else 0)
        # gravity on each axis, vibration, rows that have shown them; or the longest run of each value, of all, and rows
        self._learned = floats(features.inputs + 2 if values else 5)
        self._runs = floats(features.inputs + 1) if values else self._learned
        self.reset()

    def reset(self):
        """Forget how the sensor hangs and what it last said."""
        self.fault = None
        self.seen = None  # what the last row looked like
        self._rows = 0
        self._good = 0
        for buffer in (self._learned, self._runs):
            for i in range(len(buffer)):
                buffer[i] = 0.0

    def judge(self, got):
        """Judge the row that was measured and extracted last; ``got`` is False if there was none. True while no fault stands."""
        seen = self._look() if got else "dead"
        if seen is None:
            self._rows = 0
            self._good += 1
            if self._good >= defaults.SENSOR_ROWS and self.fault not in BY_SHIFT:
                self.fault = None
        else:
            self._rows = self._rows + 1 if seen == self.seen else 1
            self._good = 0
            if self._rows >= defaults.SENSOR_ROWS:
                self.fault = seen
        self.seen = seen
        return self.fault is None

    def _look(self):
        features = self._features
        if not -1e9 < sum(features.x) < 1e9:  # false for NaN, too
            return "dead"
        if features.kind == "waveform":
            return self._look_at_counts(features.stats, features.chosen)
        x = features.x
        last = self._last
        n = len(last)
        moved = 0
        for i in range(n):
            moved += x[i] != last[i]
        if features.kind == "features":
            stuck = self._count_runs(x, moved)
        else:
            stuck = not moved
        for i in range(n):
            last[i] = x[i]
        return "stuck" if stuck else None

    def _count_runs(self, x, moved):
        # the runs of equal values end or grow; True if one of them is too long
        runs = self._runs
        longest = self._learned
        n = len(self._last)
        runs[n] = 0 if moved else runs[n] + 1
        stuck = self._too_long(n)
        for i in range(n):
            if x[i] != self._last[i] or abs(x[i]) >= defaults.STANDARD_LIMIT:  # there it is cut
                runs[i] = 0
            elif moved:
                runs[i] += 1
            if longest[i] * defaults.STUCK_PART < longest[n + 1] and self._too_long(i):
                stuck = True
        return stuck

    def _too_long(self, i):
        return self._runs[i] >= max(defaults.STUCK_VALUES_ROWS, defaults.STUCK_GROWTH * self._learned[i])

    def _look_at_counts(self, stats, chosen):
        full = self._full_scale
        still = True
        for channel in chosen:
            mean, variance, low, high = stats[channel]
            if high > low:
                still = False
            if full:
                if abs(mean) >= defaults.SATURATED * full or variance >= (defaults.SATURATED * full) ** 2:
                    return "saturated"
                if high >= full or low <= -full:
                    return "clipped"
        if still:
            return "stuck"
        if len(chosen) == 3 and self._learned[4] and self._fell_off(stats):
            return "detached"
        return None

    def _fell_off(self, stats):
        dot = length = learned = variance = 0.0
        for i in range(3):
            dot += stats[i][0] * self._learned[i]
            length += stats[i][0] ** 2
            learned += self._learned[i] ** 2
            variance += stats[i][1]
        if sqrt(learned) * self._g_per_count < 0.5:  # the sensor feels no gravity: nothing to compare
            return False
        return dot < defaults.TILTED * sqrt(length * learned) and sqrt(variance) < defaults.DETACHED * self._learned[3]

    def learn(self):
        """Remember how the sensor hangs and vibrates, or how long values stand still; call it for rows that are trained on."""
        features = self._features
        if features.kind == "features":
            for i in range(len(self._runs)):
                self._learned[i] = max(self._learned[i], self._runs[i])
            self._learned[features.inputs + 1] += 1
        if features.kind != "waveform" or len(features.chosen) != 3:
            return
        learned = self._learned
        learned[4] = min(learned[4] + 1, 64)
        variance = 0.0
        for i in range(3):
            learned[i] += (features.stats[i][0] - learned[i]) / learned[4]
            variance += features.stats[i][1]
        learned[3] += (sqrt(variance) - learned[3]) / learned[4]

    def buffers(self):
        """What a restart needs: how the sensor hangs, or how long its values stand still (float32)."""
        return (self._learned,)

    def loaded(self):
        """The buffer was filled anew."""
