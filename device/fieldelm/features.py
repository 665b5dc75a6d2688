"""From a window or row of the sensor to the model's inputs.

    waveform   int16 counts → mean removed, Hann, FFT → power of one axis or the sum → bands → logarithm → centred
    spectrum   amplitudes, one a bin from bin 1 (no DC) → bands → logarithm → centred
    features   plain sensor values → standardised, with the rows before them (lags)

Bands are equally wide and defined in Hz, so that what was learned keeps its meaning when rate or length of the window
change. Their edges are rounded to bins. A band that would hold no bin gets one, at the cost of its neighbours; where
there are fewer bins than bands there are as many bands as bins. A band is the mean of its bins, and the input is the
natural logarithm of the band's *amplitude*, so power counts half: 1 is 8.7 dB.

The logarithm needs a floor, or an empty band would be minus infinity and quantisation noise would look like music. It
is scale-free: a fraction of the median band of the first rows, at least what rounding to whole counts adds; it is set
by ``settle`` at commissioning and stored with the model, and so are the centre of each input and, of sensor values, the
scale.
"""

from array import array
from binascii import crc32
from math import exp, log, sqrt

from micropython import const

from fieldelm import defaults, kernels
from fieldelm.elm import floats

if kernels.NAME == "native":
    from fieldelm.fixed_waveform import LARGEST
    from fieldelm.fixed_waveform import FixedWaveform as Waveform
else:
    from fieldelm.float_waveform import LARGEST
    from fieldelm.float_waveform import FloatWaveform as Waveform

NO_BAND = 255
_STANDARD_GRAVITY = const(9.80665)  # m/s^2
_LEAST = const(1e-30)  # argument of a logarithm
_NUMBER = const(1e9)  # what is not below is none


class FeatureError(ValueError):
    """Window and settings do not fit; the text says what to change."""


def band_edges(bands, low, high, first, count, width):
    """Bin indices (uint16, bands + 1) of ``bands`` equally wide bands from ``low`` to ``high`` Hz.

    Bin i of ``count`` lies at (first + i) ``width`` Hz. 0 for ``low`` or ``high`` means the first or the last bin;
    limits beyond the bins are cut. Raises FeatureError where no bin is left.
    """
    begin = 0 if low <= 0 else max(int(low / width - first + 0.5), 0)
    end = count if high <= 0 else min(int(high / width - first + 0.5) + 1, count)
    if end <= begin:
        raise FeatureError(
            "no bin between %g and %g Hz: bins lie from %g to %g Hz"
            % (low, high, first * width, (first + count - 1) * width)
        )
    bands = min(bands, end - begin)
    edges = array("H", bytes(2 * (bands + 1)))
    for i in range(bands + 1):
        edges[i] = begin + (end - begin) * i // bands
    return edges


class Features:
    """The feature stage of one sensor. ``x`` (float32, ``n``) holds the inputs of the last row given to ``extract``.

    ``sense`` is the section of the configuration; ``rate_hz`` (samples a second; of spectra: of the signal they were
    made of, 0 means 1 Hz a bin), ``axes`` and ``g_per_count`` describe the sensor. Raises FeatureError.

    ``meaning`` is a number of 32 bits that is the same where the inputs stand for the same: a model learned from other bands,
    axes, units or lags does not fit.
    """

    def __init__(self, sense, rate_hz, axes, g_per_count):
        self.kind = sense["kind"]
        self.settled = 0  # rows that have set floor, centre and scale so far
        self.rms_g = float("nan")
        self.rms_velocity = float("nan")
        self.chosen = None  # axes of a waveform
        self.stats = None  # of each axis: mean, variance, minimum, maximum of the raw counts
        self._params = array("f", (0.0, 1.0))  # floor, gain
        if self.kind == "features":
            self._lags = sense.get("lags", 1)
            self.inputs = sense["inputs"]
            self.n = self.inputs * self._lags
            self.settle_rows = 4 * defaults.SETTLE_ROWS
            self.spread = floats(self.inputs)
        else:
            self.settle_rows = defaults.SETTLE_ROWS
            if self.kind == "waveform":
                self._prepare_waveform(sense, rate_hz, axes, g_per_count)
                first, count = 1, self._size // 2
            else:
                self.inputs = sense["inputs"]
                self.bin_width = rate_hz / 2 / (self.inputs + 1) if rate_hz else 1.0
                first, count = 1, self.inputs
            self.edges = band_edges(
                sense["bands"], sense["band_low_hz"], sense["band_high_hz"], first, count, self.bin_width
            )
            self.n = len(self.edges) - 1
            if self.kind == "waveform":  # its spectrum begins with bin 0
                for i in range(self.n + 1):
                    self.edges[i] += 1
        self.x = floats(self.n)
        self.center = floats(self.n)
        self.origin = 0.0  # lower edge of the first band, in widths of a band from 0 Hz
        if self.kind != "features":
            first = self.edges[0] + (self.kind == "spectrum") - 0.5
            self.origin = first * self.n / (self.edges[self.n] - self.edges[0])
        meaning = "%s %d %d" % (self.kind, self.n, self.inputs)
        if self.kind != "features":
            meaning += " %.6g %.6g %s" % (rate_hz, g_per_count, self.chosen)
        self.meaning = crc32(b"" if self.kind == "features" else self.edges, crc32(meaning.encode()))

    def _prepare_waveform(self, sense, rate_hz, axes, g_per_count):
        samples = sense["samples"]
        axis = sense["axis"]
        chosen = tuple(range(axes)) if axis == "sum" else (("x", "y", "z").index(axis),)
        if chosen[-1] >= axes:
            raise FeatureError("axis %s: the sensor has %d" % (axis, axes))
        if not rate_hz > 0:
            raise FeatureError("a waveform needs its sampling rate")
        if samples > LARGEST:
            raise FeatureError("a window of %d samples: take at most %d" % (samples, LARGEST))
        self._waveform = Waveform(
            samples,
            axes,
            chosen,
            rate_hz,
            (defaults.VELOCITY_LOW_HZ, defaults.VELOCITY_HIGH_HZ),
            1000 * _STANDARD_GRAVITY * g_per_count,
        )
        self.inputs = samples * axes
        self._size = self._waveform.size
        self.bin_width = rate_hz / self._size
        self.chosen = chosen
        self._g_per_count = g_per_count
        self.stats = self._waveform.stats

    def band_range_hz(self):
        """Lower edge of the first and upper edge of the last band in Hz; 0, 0 for sensor values."""
        if self.kind == "features":
            return 0.0, 0.0
        first = 0 if self.kind == "waveform" else 1
        return (self.edges[0] + first - 0.5) * self.bin_width, (self.edges[self.n] + first - 0.5) * self.bin_width

    # one row

    def measure(self, row):
        """Transform a window as far as its spectrum and overall values (``stats``, ``rms_g``, ``rms_velocity``).

        ``row``: int16 counts, samples x axes interleaved, or float32 amplitudes or values. Raises FeatureError on a
        wrong length.
        """
        if len(row) != self.inputs:
            raise FeatureError("a row of %d numbers where %d belong" % (len(row), self.inputs))
        if self.kind != "waveform":
            return
        variance, self.rms_velocity = self._waveform.measure(row)
        self.rms_g = sqrt(max(variance, 0.0)) * self._g_per_count

    def settle(self, room):
        """Let the row in ``x`` take part in floor, centre and scale; True once they are set.

        ``room``: buffers of as many float32 as ``x``, one for each such row, lent until they are set.
        """
        self.settled += 1
        n = self.settled
        x = self.x
        if self.kind == "features":
            for i in range(self.inputs):
                before = x[i] - self.center[i]
                self.center[i] += before / n
                self.spread[i] += before * (x[i] - self.center[i])
            if n == self.settle_rows:
                for i in range(self.inputs):
                    spread = sqrt(self.spread[i] / (n - 1))
                    self.spread[i] = max(spread, 1e-3 * abs(self.center[i]), 1e-6)
                for i in range(self.n):  # the next rows have them as lags
                    x[i] = self._standardised(i % self.inputs, x[i]) if i < n * self.inputs else 0.0
        else:
            room[n - 1][:] = x
            if n == self.settle_rows:
                self._set_floor(room)
        return n >= self.settle_rows

    def _standardised(self, i, value):
        limit = defaults.STANDARD_LIMIT
        return min(max((value - self.center[i]) / self.spread[i], -limit), limit)

    def _alike(self, rows):
        # the two of the first rows that are nearest to each other: one may have been a stranger
        least = None
        for j in range(self.settled):
            for k in range(j):
                square = 0.0
                for i in range(self.n):
                    square += (rows[j][i] - rows[k][i]) ** 2
                if least is None or square < least:
                    least = square
                    alike = rows[j], rows[k]
        return alike

    def _set_floor(self, rows):
        levels = self.center
        power = self.kind == "waveform"
        one, other = self._alike(rows)
        for i in range(self.n):
            levels[i] = (exp(one[i]) + exp(other[i])) / 2
        middle = sorted(levels)[self.n // 2] or sum(levels) / self.n
        fraction = defaults.FLOOR_FRACTION
        floor = max(middle * (fraction * fraction if power else fraction), 1e-12)
        if power:  # rounding to whole counts: variance 1/12 an axis, spread over N/2 bins
            floor = max(floor, len(self.chosen) / (6 * self._size))
        gain = 0.5 if power else 1.0
        for i in range(self.n):
            self.center[i] = gain * log(levels[i] + floor)
        self._params[0] = floor
        self._params[1] = gain

    def extract(self, row):
        """Fill ``x`` from the row that was measured last. Before it is settled ``x`` is the plain value or logarithm."""
        x = self.x
        settled = self.settled >= self.settle_rows
        if self.kind == "features":
            inputs = self.inputs
            for i in range(self.n - 1, inputs - 1, -1):
                before = x[i - inputs]
                if not -_NUMBER < before < _NUMBER:  # one that is none is so in its own row only
                    before = 0.0 if settled else self.center[i % inputs]
                x[i] = before
            for i in range(inputs):
                x[i] = self._standardised(i, row[i]) if settled else row[i]
            return
        if self.kind == "waveform":
            if settled:
                self._waveform.levels(self.edges, self._params[0], self._params[1], self.center, x)
            else:
                self._waveform.levels(self.edges, 0.0, 1.0, None, x)
            return
        edges = self.edges
        floor = self._params[0] if settled else 0.0
        for i in range(self.n):
            total = 0.0
            for k in range(edges[i], edges[i + 1]):
                total += row[k]
            level = total / (edges[i + 1] - edges[i]) + floor
            x[i] = log(_LEAST if level < _LEAST else level)
            if settled:
                x[i] -= self.center[i]

    def level(self, i, x):
        """Natural logarithm of the amplitude (in the recording's own unit) that input value ``x`` of band ``i`` stands for."""
        return x + self.center[i]

    def reset(self):
        """Forget floor, centre and scale: the next rows settle them again."""
        self.settled = 0
        for i in range(self.n):
            self.center[i] = 0.0
            self.x[i] = 0.0
        if self.kind == "features":
            for i in range(self.inputs):
                self.spread[i] = 0.0

    def buffers(self):
        """What a restart needs: floor, gain, centre and scale (float32)."""
        return (self._params, self.center, self.spread) if self.kind == "features" else (self._params, self.center)

    def loaded(self):
        """The buffers were filled anew."""
        self.settled = self.settle_rows
