"""Power spectra of windows in float32, on the kernels in Python: what runs where there is no native module."""

from array import array

from fieldelm import kernels_py as kernels

LARGEST = 32768  # samples of a window


def _floats(count):
    return array("f", bytes(4 * count))


class FloatWaveform:
    """As ``fixed_waveform.FixedWaveform``."""

    def __init__(self, samples, axes, chosen, rate_hz, band, scale):
        size = 64
        while size < samples:
            size *= 2
        self.size = size
        self._axes = axes
        self._chosen = chosen
        self.stats = [_floats(4) for _ in range(axes)]
        self._window = _floats(samples)
        self._twiddle = _floats(size)
        self._work = _floats(size + 2)
        self._power = _floats(size // 2 + 1)
        self._total = _floats(size // 2 + 1) if len(chosen) > 1 else self._power
        self._params = _floats(3)
        self._speed = array("f", (rate_hz / size, band[0], band[1], scale / 1000))
        self._velocity = _floats(1)
        kernels.fft_tables(self._twiddle, self._window)

    def measure(self, row):
        """Take a window: sets ``stats``; returns the sum of the variances in counts^2 and the velocity."""
        total = self._total
        variance = 0.0
        if total is not self._power:
            for i in range(len(total)):
                total[i] = 0.0
        for channel in self._chosen:
            stats = self.stats[channel]
            kernels.power_spectrum(
                row, channel, self._axes, self._window, self._twiddle, self._work, self._power, stats
            )
            variance += stats[1]
            if total is not self._power:
                kernels.accumulate(total, self._power)
        kernels.velocity(total, self._speed, self._velocity)
        return variance, self._velocity[0]

    def levels(self, edges, floor, gain, center, out):
        """``out[i]`` = gain ln(mean power of band i + floor) - center[i] of the last window; ``center`` may be None."""
        self._params[0] = floor
        self._params[1] = gain
        kernels.bands(self._total, edges, self._params, out)
        if center is not None:
            for i in range(len(out)):
                out[i] -= center[i]
