"""What a node shows of its newest window on request: the spectrum in its bands, or how far each is from what was learned.

One byte a band: value = (low + step byte) / 100, in dB for a spectrum, else in standard deviations.
"""

from math import log, sqrt

from micropython import const

from fieldelm import codes
from fieldelm.elm import floats

_DECIBEL = 20 / log(10)  # of a natural logarithm of amplitude
_DB_STEP = const(50)  # 0.01 dB: 127 dB in all
_SIGMA_STEP = const(25)  # 0.01 sigma: 64 in all
_LARGEST = const(32000)


class Trace:
    """A picture of the newest window of ``watcher`` (fieldelm.watcher.Watcher), taken at once: ``low``, ``step``, ``byte(band)``.

    kind: a code of ``codes.TRACES``. ``bands``: mean amplitude of a bin in dB; of a waveform with 0 dB at 1 g, of a spectrum
    at 1 in the recording's own unit; of sensor values their distance from the mean in standard deviations. ``residuals``:
    what the model did not expect of each band, in standard deviations of its held-back rows. Raises ValueError while
    nothing is known.
    """

    def __init__(self, watcher, kind, g_per_count):
        features = watcher.features
        residuals = codes.TRACES[kind] == "residuals"
        if features.settled < features.settle_rows or (residuals and watcher.threshold != watcher.threshold):
            raise ValueError("nothing is known yet")
        self.total = features.n
        self._values = values = floats(features.n)
        if residuals:
            watcher.model.score_row(features.x)  # a row that was learned has left other residuals behind
            e = watcher.model.e
            weight = watcher.model.weight
            for i in range(features.n):
                values[i] = 100 * e[i] * sqrt(weight[i])
        elif features.kind == "features":
            for i in range(features.n):
                values[i] = 100 * features.x[i]
        else:
            unit = log(g_per_count) if features.kind == "waveform" and g_per_count else 0.0
            for i in range(features.n):
                values[i] = 100 * _DECIBEL * (features.level(i, features.x[i]) + unit)
        self.step = _SIGMA_STEP if residuals or features.kind == "features" else _DB_STEP
        low = min(values)
        self.low = int(max(low, -_LARGEST) // 100 * 100) if low < _LARGEST else _LARGEST

    def byte(self, band):
        """The value of a band, saturated."""
        value = (self._values[band] - self.low) / self.step + 0.5
        return min(max(int(value), 0), 255) if value == value else 0
