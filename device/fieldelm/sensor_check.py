"""Is it the sensor? Checked before anything is learned or judged.

| fault | how it shows in one window or row | kinds |
| --- | --- | --- |
| ``dead`` | no data, or not a number | all |
| ``stuck`` | no sample differs from another; a spectrum or row of values equals the one before | all |
| ``saturated`` | the mean, or the RMS about it, is near full scale | waveform of known full scale |
| ``clipped`` | a sample is at full scale | waveform of known full scale |
| ``detached`` | gravity points elsewhere and the vibration is gone | waveform of all three axes |
| ``gain`` | all loud bands have moved by the same: found by the detector, see ``change.py`` | waveform, spectrum |
| ``noisy`` | the bands have risen to one level: found by the detector, too | waveform, spectrum |
| ``rate`` | the spectrum is stretched: found by the detector, too | waveform, spectrum |

A fault is reported after ``SENSOR_ROWS`` bad rows one after
the other and ends after as many good ones. Memory: one row of inputs, but of a waveform.
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
        self._last = floats(features.n if features.kind != "waveform" else 0)
        self._hangs = floats(5)  # gravity on each axis, vibration, rows that have shown them
        self.reset()

    def reset(self):
        """Forget how the sensor hangs and what it last said."""
        self.fault = None
        self.seen = None  # what the last row looked like
        self._rows = 0
        self._good = 0
        self._same = 0
        self._hangs[4] = 0.0

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
        same = True
        for i in range(features.n):
            if features.x[i] != self._last[i]:
                same = False
        self._last[:] = features.x
        self._same = self._same + 1 if same else 0
        if features.kind == "features":
            return "stuck" if self._same >= defaults.STUCK_VALUES_ROWS else None
        return "stuck" if same else None

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
        if len(chosen) == 3 and self._hangs[4] and self._fell_off(stats):
            return "detached"
        return None

    def _fell_off(self, stats):
        dot = length = learned = variance = 0.0
        for i in range(3):
            dot += stats[i][0] * self._hangs[i]
            length += stats[i][0] ** 2
            learned += self._hangs[i] ** 2
            variance += stats[i][1]
        if sqrt(learned) * self._g_per_count < 0.5:  # the sensor feels no gravity: nothing to compare
            return False
        return dot < defaults.TILTED * sqrt(length * learned) and sqrt(variance) < defaults.DETACHED * self._hangs[3]

    def learn(self):
        """Remember how the sensor hangs and vibrates; call it for rows that are trained on."""
        features = self._features
        if features.kind != "waveform" or len(features.chosen) != 3:
            return
        hangs = self._hangs
        hangs[4] = min(hangs[4] + 1, 64)
        variance = 0.0
        for i in range(3):
            hangs[i] += (features.stats[i][0] - hangs[i]) / hangs[4]
            variance += features.stats[i][1]
        hangs[3] += (sqrt(variance) - hangs[3]) / hangs[4]

    def buffers(self):
        """What a restart needs: how the sensor hangs (float32)."""
        return (self._hangs,)

    def loaded(self):
        """The buffer was filled anew."""
