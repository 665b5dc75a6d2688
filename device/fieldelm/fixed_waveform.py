"""Power spectra of windows in fixed point, on the native kernels.

Every axis is scaled to its own loudest sample; the sum over axes has a common scale. Formats, bounds and errors:
docs/explanation/kernels.md.
"""

from array import array
from math import log, pi, sqrt

from fieldelm import kernels

LARGEST = 4096  # samples of a window


class FixedWaveform:
    """Spectra of ``samples`` rows of ``axes`` interleaved counts, summed over the axes ``chosen``; everything is allocated here.

    ``size`` points of the transform, ``stats``: of each axis mean, variance, least and largest count of the last window.
    ``band``: lower and upper end in Hz of what makes the RMS velocity, which is in mm/s if ``scale`` is mm/s^2 per count.
    """

    def __init__(self, samples, axes, chosen, rate_hz, band, scale):
        size = 64
        while size < samples:
            size *= 2
        self.size = size
        self._axes = axes
        self._chosen = chosen
        self.stats = [array("f", bytes(16)) for _ in range(axes)]
        if kernels.flash_tables and samples == len(kernels.flash_tables[1]):
            self._table, self._window = kernels.flash_tables
        else:
            self._table = array("i", bytes(4 * kernels.fixed_size(2, size, 0)))
            self._window = array("H", bytes(2 * size))
            kernels.fixed_tables(self._table, self._window, samples)
        self._work = array("i", bytes(4 * size))
        self._total = array("I", bytes(2 * size + 4))
        self._power = array("I", bytes(2 * size + 4)) if len(chosen) > 1 else self._total
        self._scale = 0
        self._unit = 4 * size / (3 * samples)  # of power at scale 0, counts^2
        self._levels = array("f", (0.0, 1.0, 0.0))
        width = rate_hz / size
        bins = size // 2 + 1
        self._first = min(max(-int(-band[0] // width), 1), bins)
        self._last = min(int(band[1] / width), bins - 1)
        self._speed = array("f", (sqrt(self._unit) / 2048 * scale / (2 * pi * width), 0.0))

    def measure(self, row):
        """Take a window: sets ``stats``; returns the sum of the variances in counts^2 and the velocity."""
        variance = 0.0
        total = self._total
        scale = None
        for channel in self._chosen:
            stats = self.stats[channel]
            power = total if scale is None else self._power
            own = kernels.fixed_spectrum(row, channel, self._axes, stats, self._window, self._table, self._work, power)
            variance += stats[1]
            scale = own if scale is None else kernels.fixed_add(total, scale, power, own)
        self._scale = scale
        kernels.fixed_velocity(total, scale, self._first, self._last, self._speed)
        return variance, self._speed[1]

    def levels(self, edges, floor, gain, center, out):
        """``out[i]`` = gain ln(mean power of band i + floor) - center[i] of the last window; ``center`` may be None."""
        levels = self._levels
        levels[0] = floor / self._unit
        levels[1] = gain
        levels[2] = gain * log(self._unit)
        kernels.fixed_levels(self._total, self._scale, edges, levels, center, out)
