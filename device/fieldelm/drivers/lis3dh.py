"""ST LIS3DH: 3 axes, 12 bits (high-resolution mode), up to 1,344 Hz, FIFO of 32 samples.

Names and numbers are those of the datasheet, rev. 2, sections 5 (FIFO), 6 (digital interfaces) and 8 (registers). Counts are left
as the chip gives them, 12 bits at the upper end of 16.
"""

from array import array

from micropython import const

from fieldelm.drivers.accelerometer import WATERMARK, Accelerometer

_WHO_AM_I = const(0x0F)
_CTRL_REG1 = const(0x20)
_CTRL_REG3 = const(0x22)
_CTRL_REG4 = const(0x23)
_CTRL_REG5 = const(0x24)
_OUT_X_L = const(0x28)
_FIFO_CTRL = const(0x2E)
_FIFO_SRC = const(0x2F)

_ID = const(0x33)
_XYZ = const(0x07)
_I1_WATERMARK = const(0x04)
_BDU_HR = const(0x88)  # whole samples only, high resolution
_FIFO_ENABLE = const(0x40)
_STREAM = const(0x80)
_OVERRUN = const(0x40)

# Hz: code of CTRL_REG1; 1,600 and 5,376 Hz have 8 bits only
RATES = {10: 2, 25: 3, 50: 4, 100: 5, 200: 6, 400: 7, 1344: 9}
RANGES = {2: (0, 1), 4: (1, 2), 8: (2, 4), 16: (3, 12)}  # g: code of CTRL_REG4, mg per count of 12 bits (table 4)


class Lis3dh(Accelerometer):
    """On ``registers`` (SpiRegisters in mode 3 at up to 10 MHz, or I2cRegisters with ``several=0x80``); ``interrupt`` is INT1.

    Raises ValueError for a rate or range that it does not have.
    """

    NAME = "LIS3DH"

    def __init__(self, registers, rate_hz, range_g=4, interrupt=None):
        if rate_hz not in RATES:
            raise ValueError(
                "the LIS3DH has no rate of %s Hz: choose one of %s"
                % (rate_hz, ", ".join([str(r) for r in sorted(RATES)]))
            )
        if range_g not in RANGES:
            raise ValueError("the LIS3DH has no range of %s g: choose 2, 4, 8 or 16" % range_g)
        self._registers = registers
        self._rate = RATES[rate_hz]
        self._range, mg = RANGES[range_g]
        self._block = array("h", bytes(6 * WATERMARK))
        self._sample = array("h", bytes(6))
        g_per_count = mg / 16000
        super().__init__(rate_hz, min(0x7FF0, int(range_g / g_per_count)), g_per_count, interrupt)

    def _begin(self):
        registers = self._registers
        got = registers.read(_WHO_AM_I)
        if got != _ID:
            mend = "power and the wires" if got in (0, 0xFF) else "which chip it is"
            self._fail("WHO_AM_I (0x0F) reads 0x%02X, not 0x33" % got, mend)
        # in power-down nothing is sampled; bypass empties the FIFO
        registers.write(_CTRL_REG1, 0)
        registers.write(_FIFO_CTRL, 0)
        registers.write(_CTRL_REG4, _BDU_HR | self._range << 4)
        registers.write(_CTRL_REG3, _I1_WATERMARK if self._interrupt is not None else 0)
        registers.write(_CTRL_REG5, _FIFO_ENABLE)
        registers.write(_FIFO_CTRL, _STREAM | WATERMARK - 1)  # the mark rises when more than so many are stored
        got = registers.read(_CTRL_REG4)
        if got != _BDU_HR | self._range << 4:
            self._fail(
                "CTRL_REG4 (0x23) reads 0x%02X after 0x%02X was written" % (got, _BDU_HR | self._range << 4),
                "its wires",
            )

    def _run(self):
        self._registers.write(_CTRL_REG1, self._rate << 4 | _XYZ)

    def _stop(self):
        self._registers.write(_CTRL_REG1, 0)

    def _pending(self):
        # samples in the FIFO; -1 if it is full: some may be lost
        source = self._registers.read(_FIFO_SRC)
        return -1 if source & _OVERRUN else source & 0x1F

    def _take(self, out, count):
        # one transfer for a block: the address runs in a circle over the six data registers (5, "Retrieving data")
        while count >= WATERMARK:
            self._registers.read_into(_OUT_X_L, self._block)
            self._store(out, self._block, WATERMARK)
            count -= WATERMARK
        while count:
            self._registers.read_into(_OUT_X_L, self._sample)
            self._store(out, self._sample, 1)
            count -= 1

    def _store(self, out, block, samples):
        at = self._at
        end = self._end
        first = 3 * min(self._skip, samples)
        self._skip -= first // 3
        for i in range(first, 3 * samples):
            if at == end:
                break
            out[at] = block[i]
            at += 1
        self._at = at
