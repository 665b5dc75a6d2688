"""Analog Devices ADXL345: 3 axes, 13 bits, up to 3,200 Hz, FIFO of 32 samples.

Names and numbers are those of the datasheet, rev. G, "Register definitions" and "FIFO". At 1,600 and 3,200 Hz the lowest bit is
always 0 ("Data formatting at output data rates of 3200 Hz and 1600 Hz").
"""

from array import array

from micropython import const

from fieldelm.drivers.accelerometer import WATERMARK, Accelerometer

_DEVID = const(0x00)
_BW_RATE = const(0x2C)
_POWER_CTL = const(0x2D)
_INT_ENABLE = const(0x2E)
_INT_MAP = const(0x2F)
_INT_SOURCE = const(0x30)
_DATA_FORMAT = const(0x31)
_DATAX0 = const(0x32)
_FIFO_CTL = const(0x38)
_FIFO_STATUS = const(0x39)

_ID = const(0xE5)
_MEASURE = const(0x08)
_FULL_RES = const(0x08)
_STREAM = const(0x80)
_INT_WATERMARK = const(0x02)
_INT_OVERRUN = const(0x01)

RATES = (6.25, 12.5, 25, 50, 100, 200, 400, 800, 1600, 3200)  # Hz; the first one's code in BW_RATE is 6
I2C_MAX_HZ = const(800)  # "I2C": at 400 kHz; SPI needs 2 MHz for 3,200 Hz
RANGES = (2, 4, 8, 16)  # g, in the order of their codes in DATA_FORMAT


class Adxl345(Accelerometer):
    """On ``registers`` (SpiRegisters in mode 3 at 2 to 5 MHz, or I2cRegisters at 400 kHz); ``interrupt`` is its INT1 pin.

    ``max_hz``: the highest rate that the bus can carry. Raises ValueError for a rate or range that it does not have.
    """

    NAME = "ADXL345"

    def __init__(self, registers, rate_hz, range_g=16, interrupt=None, max_hz=3200):
        if rate_hz not in RATES:
            raise ValueError("the ADXL345 has no rate of %s Hz: choose one of %s" % (rate_hz, _list(RATES)))
        if rate_hz > max_hz:
            raise ValueError(
                "the ADXL345 on this bus gives at most %d Hz, not %s: lower the rate or use SPI" % (max_hz, rate_hz)
            )
        if range_g not in RANGES:
            raise ValueError("the ADXL345 has no range of %s g: choose 2, 4, 8 or 16" % range_g)
        self._registers = registers
        self._rate = 6 + RATES.index(rate_hz)
        self._range = RANGES.index(range_g)
        self._sample = array("h", bytes(6))
        # full resolution: 256 counts a g in every range; the largest count is even where the lowest bit is always 0
        largest = (256 << self._range + 1) - (2 if rate_hz >= 1600 else 1)
        super().__init__(rate_hz, largest, 1 / 256, interrupt)

    def _begin(self):
        registers = self._registers
        got = registers.read(_DEVID)
        if got != _ID:
            mend = (
                "power, and the SPI wires (CS held high at power-on means I2C)"
                if got in (0, 0xFF)
                else "which chip it is"
            )
            self._fail("DEVID (0x00) reads 0x%02X, not 0xE5" % got, mend)
        # in standby nothing is sampled: old samples and old marks go, nothing new comes between
        registers.write(_POWER_CTL, 0)
        registers.write(_FIFO_CTL, 0)
        registers.write(_BW_RATE, self._rate)
        registers.write(_DATA_FORMAT, _FULL_RES | self._range)
        registers.write(_INT_MAP, 0)
        registers.read_into(_DATAX0, self._sample)
        registers.write(_INT_ENABLE, _INT_WATERMARK if self._interrupt is not None else 0)
        registers.write(_FIFO_CTL, _STREAM | WATERMARK)
        got = registers.read(_BW_RATE)
        if got != self._rate:
            self._fail(
                "BW_RATE (0x2C) reads 0x%02X after 0x%02X was written" % (got, self._rate), "its wires and supply"
            )

    def _run(self):
        self._registers.write(_POWER_CTL, _MEASURE)

    def _stop(self):
        self._registers.write(_POWER_CTL, 0)

    def _pending(self):
        # samples in the FIFO; -1 if some were lost
        if self._registers.read(_INT_SOURCE) & _INT_OVERRUN:
            return -1
        return self._registers.read(_FIFO_STATUS) & 0x3F

    def _take(self, out, count):
        # one transfer a sample moves the FIFO on ("Retrieving data from FIFO"); 5 us must lie between two: our loop takes more
        registers = self._registers
        sample = self._sample
        at = self._at
        for _ in range(count):
            registers.read_into(_DATAX0, sample)
            if self._skip:
                self._skip -= 1
            elif at < self._end:
                out[at] = sample[0]
                out[at + 1] = sample[1]
                out[at + 2] = sample[2]
                at += 3
        self._at = at


def _list(table):
    return ", ".join([str(key) for key in sorted(table)])
