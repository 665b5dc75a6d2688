"""The conditions a machine was learned in: speeds, idle, off.

A mode is the centre of rows that look alike, found without labels: a row further from every centre than rows of one
condition are from each other begins a new one, the others move their centre (leader clustering, J. A. Hartigan,
Clustering Algorithms, 1975, chapter 3). Memory is bounded: when all places are taken the two nearest centres merge.

Modes are not the model. They answer what the model cannot: which condition is the nearest to what is seen now, and in
which bands does it differ.
"""

from math import exp, log, sqrt

from fieldelm import defaults
from fieldelm.elm import floats, square


class Modes:
    """Centres of at most ``capacity`` conditions of ``n`` inputs.

    ``count`` are in use; ``distance`` is that of the last ``nearest``.
    """

    def __init__(self, n, capacity=defaults.MODES):
        self.n = n
        self.capacity = capacity
        self.centers = [floats(n) for _ in range(capacity)]
        self.source = floats(n)  # power that the last change of environment added to every mode
        self._last = floats(n)
        self.numbers = floats(capacity + 4)  # rows of each mode; count, noise (mean square), rows, stale
        self.drift = floats(capacity)  # of the mean log score of each mode since its calibration
        self.count = 0
        self.stale = 0  # bit mask of the modes that were not met since the environment changed
        self.distance = 0.0

    def reset(self):
        """Forget all conditions."""
        self.count = 0
        self.stale = 0
        for i in range(len(self.numbers)):
            self.numbers[i] = 0.0
        for i in range(self.n):
            self.source[i] = 0.0
        self.forget_drift()

    def forget_drift(self):
        """The scores were calibrated anew."""
        for mode in range(self.capacity):
            self.drift[mode] = 0.0

    def square(self, a, b):
        """Mean square of the difference of two rows."""
        return square(a, b)

    @property
    def noise(self):
        """RMS difference of a row from its condition's centre."""
        return sqrt(self.numbers[self.capacity + 1])

    @property
    def radius(self):
        """RMS distance from the nearest centre that makes a new mode."""
        return max(defaults.MODE_DISTANCE, defaults.MODE_NOISE * self.noise)

    def expect_noise(self, square, rows):
        """Rows differ from their condition's centre by this mean square, as so many rows have shown."""
        self.numbers[self.capacity + 1] = square
        self.numbers[self.capacity + 2] = rows

    def nearest(self, x):
        """Index of the mode nearest to ``x``, 0 if there is none yet; ``distance`` is the RMS over the inputs."""
        best, found = None, 0
        for mode in range(self.count):
            d = self.square(x, self.centers[mode])
            if best is None or d < best:
                best, found = d, mode
        self.distance = sqrt(best) if best is not None else 0.0
        return found

    def learn(self, x):
        """Let a normal row move its mode's centre or begin a mode; return the mode."""
        numbers = self.numbers
        mode = self.nearest(x)
        if numbers[self.capacity + 2]:
            # rows of one condition differ from each other by twice their variance; a change of condition is cut
            noise = numbers[self.capacity + 1]
            d = min(self.square(x, self._last) / 2, self.distance * self.distance)
            if noise:
                d = min(d, 4 * noise)
            numbers[self.capacity + 1] = noise + (d - noise) / min(numbers[self.capacity + 2], defaults.NOISE_ROWS)
        numbers[self.capacity + 2] += 1
        self._last[:] = x
        if not self.count or self.distance > self.radius:
            mode = self.add(x, 0)
        self.stale &= ~(1 << mode)
        numbers[mode] += 1
        rate = 1 / min(numbers[mode], defaults.MODE_ROWS)
        center = self.centers[mode]
        for i in range(self.n):
            center[i] += (x[i] - center[i]) * rate
        numbers[self.capacity] = self.count
        return mode

    def environment_changed(self, mode, x, level):
        """Rows of ``mode`` look like ``x`` from now on. The other modes are stale until they are met again.

        What the environment adds to one mode it adds to all, as power. It is seen where the mode is quiet: in its
        louder half of the bands the machine masks it, and a tone that moved there must not be taken for it. ``level(i,
        x)`` is the logarithm of the amplitude of input i.
        """
        center = self.centers[mode]
        self.stale = 0
        apart = (defaults.MODE_APART * self.radius) ** 2
        for other in range(self.count):
            if self.square(self.centers[other], center) > apart:  # else a fragment of the same condition
                self.stale |= 1 << other
        source = self.source
        for i in range(self.n):
            source[i] = level(i, center[i])
        middle = sorted(source)[self.n // 2]
        for i in range(self.n):
            before = source[i]
            seen = before < middle and x[i] > center[i]
            source[i] = exp(2 * level(i, x[i])) - exp(2 * before) if seen else 0.0

    def expected(self, mode, level, out):
        """Fill ``out`` with what rows of ``mode`` should look like now: its centre, with the new source added if it is stale."""
        center = self.centers[mode]
        stale = self.stale >> mode & 1
        for i in range(self.n):
            out[i] = center[i]
            if stale and self.source[i]:
                before = level(i, center[i])
                out[i] += log(exp(2 * before) + self.source[i]) / 2 - before

    def add(self, x, rows):
        """Begin a mode at ``x`` that weighs ``rows`` rows; return it."""
        if self.count == self.capacity:
            self._merge()
        mode = self.count
        self.count += 1
        self.numbers[mode] = rows
        self.drift[mode] = 0.0
        self.centers[mode][:] = x
        return mode

    def _merge(self):
        best, a, b = None, 0, 1
        for j in range(self.count):
            for i in range(j):
                d = self.square(self.centers[i], self.centers[j])
                if best is None or d < best:
                    best, a, b = d, i, j
        numbers = self.numbers
        share = numbers[b] / (numbers[a] + numbers[b])
        keep, drop = self.centers[a], self.centers[b]
        for i in range(self.n):
            keep[i] += (drop[i] - keep[i]) * share
        self.drift[a] += (self.drift[b] - self.drift[a]) * share
        numbers[a] += numbers[b]
        self.count -= 1
        low = (1 << b) - 1  # of the mask: modes above b move down by one
        self.stale = self.stale & low | self.stale >> 1 & ~low
        for mode in range(b, self.count):  # close the gap, keep the buffers
            numbers[mode] = numbers[mode + 1]
            self.drift[mode] = self.drift[mode + 1]
            self.centers[mode][:] = self.centers[mode + 1]

    def buffers(self):
        """What a restart needs: all centres, the numbers, the drifts and the new source (float32)."""
        self.numbers[self.capacity + 3] = self.stale
        return self.centers + [self.numbers, self.drift, self.source]

    def loaded(self):
        """The buffers were filled anew."""
        self.count = int(self.numbers[self.capacity])
        self.stale = int(self.numbers[self.capacity + 3])
