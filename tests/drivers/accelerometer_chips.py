"""An ADXL345 and an LIS3DH on copper, written from their datasheets: sampling clock, FIFO, marks, interrupt line, both buses.

Sample number n reads (n mod 500, -n mod 500 negative, n // 500): a lost or doubled sample shows.
"""

ADXL345_HZ = {15: 3200, 14: 1600, 13: 800, 12: 400, 11: 200, 10: 100, 9: 50, 8: 25, 7: 12.5, 6: 6.25}
LIS3DH_HZ = {1: 1, 2: 10, 3: 25, 4: 50, 5: 100, 6: 200, 7: 400, 9: 1344}


class Sampler:
    """What both have in common: samples arrive by the chip's own clock, ``clock`` times the nominal rate."""

    def __init__(self, time, int1=None, clock=1.0):
        self.time = time
        self.int1 = int1
        self.clock = clock
        self.n = 0
        self.fifo = []
        self.lost = False
        self._running = 0
        self.absent = False

    def run(self, hz):
        self._running += 1
        mine = self._running
        if not hz:
            return
        period_us = 1e6 / (hz * self.clock)
        state = [self.time.us + period_us]

        def tick():
            if mine != self._running:
                return
            self.n += 1
            self.sample()
            state[0] += period_us
            self.time.at(int(state[0]), tick)

        self.time.at(int(state[0]), tick)

    def push(self, depth):
        if len(self.fifo) == depth:
            self.fifo.pop(0)
            self.lost = True
        self.fifo.append((self.n % 500, -(self.n % 500), self.n // 500))

    def line(self, level):
        if self.int1 is not None:
            self.int1(level)


class Adxl345Chip(Sampler):
    def __init__(self, time, cs=None, int1=None, clock=1.0):
        super().__init__(time, int1, clock)
        self.r = bytearray(64)
        self.r[0x00] = 0xE5
        self.r[0x2C] = 0x0A
        self.cs = cs
        self._command = None
        self._overrun = False
        self._popped_us = -100
        self.data = bytes(6)
        if cs is not None:
            cs.watchers.append(self._select)

    def sample(self):
        if self.r[0x38] >> 6 == 2:  # stream
            self.push(32)
            self._overrun |= self.lost
        else:  # bypass: one sample only
            self._overrun = bool(self.fifo) or self._overrun
            self.fifo = [(self.n % 500, -(self.n % 500), self.n // 500)]
        self._line()

    def _line(self):
        r = self.r
        mark = len(self.fifo) >= (r[0x38] & 31) and r[0x38] >> 6
        r[0x30] = (0x80 if self.fifo else 0) | (2 if mark else 0) | (1 if self._overrun else 0)
        self.line(bool(r[0x30] & r[0x2E] & ~r[0x2F]))

    def read(self, address):
        if self.absent:
            return 0
        if address == 0x32:  # the registers take the oldest sample when they are read
            assert self.time.us - self._popped_us >= 5, "5 us between two samples"
            if self.fifo:
                x = self.fifo.pop(0)
                self.data = b"".join([(v & 0xFFFF).to_bytes(2, "little") for v in x])
            self._overrun = self.lost = False
            self._line()
        if 0x32 <= address <= 0x37:
            if address == 0x37:
                self._popped_us = self.time.us
            return self.data[address - 0x32]
        if address == 0x39:
            return len(self.fifo) | (0x80 if len(self.fifo) >= self.r[0x38] & 31 else 0)
        return self.r[address]

    def write(self, address, value):
        if address in (0, 0x30, 0x39) or self.absent:
            return
        self.r[address] = value
        if address == 0x38 and not value >> 6:
            self.fifo = []
        if address in (0x2D, 0x2C):
            self.run(ADXL345_HZ[self.r[0x2C] & 15] if self.r[0x2D] & 8 else 0)
        self._line()

    # SPI: first byte read, several, address

    def _select(self, level):
        self._command = None

    def exchange(self, value):
        if self._command is None:
            self._command, self._address = value, value & 0x3F
            return 0
        address = self._address
        if self._command & 0x40:
            self._address = address + 1 & 0x3F
        if self._command & 0x80:
            return self.read(address)
        self.write(address, value)
        return 0


class Lis3dhChip(Sampler):
    def __init__(self, time, cs=None, int1=None, clock=1.0):
        super().__init__(time, int1, clock)
        self.r = bytearray(64)
        self.r[0x0F] = 0x33
        self.r[0x20] = 0x07
        self.cs = cs
        self._command = None
        self.data = bytes(6)
        if cs is not None:
            cs.watchers.append(self._select)

    def sample(self):
        if self.r[0x24] & 0x40 and self.r[0x2E] >> 6 == 2:
            self.push(32)
        else:
            self.fifo = [(self.n % 500, -(self.n % 500), self.n // 500)]
        self._line()

    def _line(self):
        self.line(bool(self.r[0x22] & 4 and len(self.fifo) > self.r[0x2E] & 31))

    def read(self, address):
        if self.absent:
            return 0
        if address == 0x28:
            if self.fifo:
                self.data = b"".join([((v << 4) & 0xFFFF).to_bytes(2, "little") for v in self.fifo.pop(0)])
            self.lost = False
            self._line()
        if 0x28 <= address <= 0x2D:
            return self.data[address - 0x28]
        if address == 0x2F:
            n = len(self.fifo)
            return (
                (0x80 if n > self.r[0x2E] & 31 else 0) | (0x40 if n == 32 else 0) | (0x20 if not n else 0) | min(n, 31)
            )
        return self.r[address]

    def write(self, address, value):
        if address in (0x0F, 0x2F) or self.absent:
            return
        self.r[address] = value
        if address == 0x2E and not value >> 6:
            self.fifo = []
        if address == 0x20:
            self.run(LIS3DH_HZ[value >> 4] if value >> 4 else 0)

    def next(self, address):
        if address == 0x2D and self.r[0x24] & 0x40:
            return 0x28  # with the FIFO on, the address runs in a circle over the data
        return address + 1 & 0x3F

    def _select(self, level):
        self._command = None

    def exchange(self, value):
        if self._command is None:
            self._command, self._address = value, value & 0x3F
            return 0
        address = self._address
        if self._command & 0x40:
            self._address = self.next(address)
        if self._command & 0x80:
            return self.read(address)
        self.write(address, value)
        return 0


class I2c:
    """A bus at ``hz`` with one chip; ``several`` is the bit that the chip wants for more than one register."""

    def __init__(self, time, chip, address, hz=400000, several=0):
        self.time = time
        self.chip = chip
        self.address = address
        self.byte_us = 9 * 1000000 // hz + 1
        self.several = several

    def _check(self, address):
        self.time.advance(self.byte_us)
        if address != self.address or self.chip.absent:
            raise OSError(5)

    def readfrom_mem_into(self, address, register, buffer):
        self._check(address)
        self.time.advance(2 * self.byte_us)
        length = len(bytes(memoryview(buffer)))
        assert length == 1 or register & 0x80 == self.several
        at = register & 0x7F
        data = bytearray(length)
        for i in range(length):
            self.time.advance(self.byte_us)
            data[i] = self.chip.read(at)
            at = self.chip.next(at) if hasattr(self.chip, "next") else at + 1
        for i in range(len(buffer)):
            if length == len(buffer):
                buffer[i] = data[i]
            else:
                number = data[2 * i] | data[2 * i + 1] << 8
                buffer[i] = number - 65536 if number & 0x8000 else number

    def writeto_mem(self, address, register, data):
        self._check(address)
        self.time.advance((1 + len(data)) * self.byte_us)
        for i in range(len(data)):
            self.chip.write(register + i, data[i])
