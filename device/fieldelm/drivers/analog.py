"""An analogue input: a waveform at a constant rate."""

import time

from micropython import const

_ATTEMPTS = const(3)
_MID = const(2048)  # of 12 bits
_REFERENCE_MV = const(3300)
_TIME_ENOUGH_US = const(1000)  # before a sample, for feeding the watchdog: 64 slow samples take longer than it waits
MAX_HZ = const(5000)  # the interpreter needs about 100 us for a sample


class AnalogInput:
    """A sensor with an analogue output: one axis, counts of 12 bits around the middle of 0 to 3.3 V.

    ``adc``: machine.ADC; ``rate_hz``: whole, by the microsecond timer; ``g_per_volt``: of the sensor. A sample that is taken
    later than half a period spoils its window, which is thrown away and counted in ``overruns``.
    """

    NAME = "analogue input"
    kind = "waveform"
    axes = 1
    full_scale = 2047

    def __init__(self, adc, rate_hz, g_per_volt=1.0):
        if not isinstance(rate_hz, int) or not 1 <= rate_hz <= MAX_HZ:
            raise ValueError("the analogue input has whole rates from 1 to %d Hz, not %s" % (MAX_HZ, rate_hz))
        self.rate_hz = rate_hz
        self.g_per_count = g_per_volt * _REFERENCE_MV / 1000 / 4096
        self.overruns = 0
        self.measured_hz = float(rate_hz)
        self.on_wait = None
        self._adc = adc

    def self_test(self):
        """Whether the input is neither at 0 V nor at 3.3 V, as one without a sensor or without supply is. Raises OSError."""
        count = self._adc.read_u16() >> 4
        if count in (0, 4095):
            raise OSError("%s: reads %s; check the sensor's supply and wire" % (self.NAME, "3.3 V" if count else "0 V"))

    def read(self, out):
        """Fill ``out``, an array('h') of raw counts; return their number. Blocks. Raises OSError if the rate cannot be kept."""
        for _ in range(_ATTEMPTS):
            if self._window(out):
                return len(out)
            self.overruns += 1
        raise OSError(
            "%s: %d Hz cannot be kept (%d late windows in a row); choose a lower rate"
            % (self.NAME, self.rate_hz, _ATTEMPTS)
        )

    def _window(self, out):
        adc = self._adc
        rate = self.rate_hz
        period = 1000000 // rate
        rest = 1000000 % rate  # the period's fraction, added up
        fraction = 0
        latest = period // 2
        due = time.ticks_add(time.ticks_us(), period)
        wait = self.on_wait
        for i in range(len(out)):
            if not i & 63 and wait is not None:
                wait()
            while True:
                late = time.ticks_diff(time.ticks_us(), due)
                if late >= 0:
                    break
                if late < -_TIME_ENOUGH_US and wait is not None:
                    wait()
            if late > latest:
                return False
            out[i] = (adc.read_u16() >> 4) - _MID
            due = time.ticks_add(due, period)
            fraction += rest
            if fraction >= rate:
                fraction -= rate
                due = time.ticks_add(due, 1)
        return True
