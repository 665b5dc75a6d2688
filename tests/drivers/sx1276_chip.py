"""An SX1276 on copper, written from its datasheet (rev. 7): registers, modes, FIFO, interrupt flags and lines, airtime.

What the datasheet forbids raises AssertionError: a driver must not do it.
"""

import math

SLEEP, STANDBY, FSTX, TX, FSRX, RX_CONTINUOUS, RX_SINGLE, CAD = range(8)
RESET = {
    0x01: 0x09,
    0x06: 0x6C,
    0x07: 0x80,
    0x09: 0x4F,
    0x0A: 0x09,
    0x0B: 0x2B,
    0x0C: 0x20,
    0x0E: 0x80,
    0x1D: 0x72,
    0x1E: 0x70,
}
RESET.update({0x1F: 0x64, 0x21: 8, 0x22: 1, 0x23: 0xFF, 0x31: 0xC3, 0x33: 0x27, 0x36: 0x03, 0x37: 0x0A, 0x39: 0x12})
RESET.update({0x3B: 0x1D, 0x42: 0x12, 0x4D: 0x84})
READ_ONLY = (0x10, 0x13, 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x42)
BANDWIDTHS = (7812.5, 10416.7, 15625, 20833.3, 31250, 41666.7, 62500, 125000, 250000, 500000)


class Sx1276:
    def __init__(self, time, cs, reset=None, dio0=None):
        self.time = time
        self.cs = cs
        self.dio0 = dio0
        self.sent = []  # (start us, end us, frame, settings)
        self.fails_to_send = False
        self.version = 0x12
        cs.watchers.append(self._select)
        if reset is not None:
            reset.watchers.append(lambda level: self.power_on() if level else None)
        self.power_on()

    def power_on(self):
        self.registers = bytearray(128)
        for address in RESET:
            self.registers[address] = RESET[address]
        self.registers[0x42] = self.version
        self.fifo = bytearray(256)
        self._address = None
        self._job = 0
        self._lines()

    @property
    def mode(self):
        return self.registers[1] & 7

    @property
    def lora(self):
        return bool(self.registers[1] & 0x80)

    def settings(self):
        r = self.registers
        frf = r[6] << 16 | r[7] << 8 | r[8]
        return {
            "freq_hz": frf * 32000000 / 524288,
            "bw": BANDWIDTHS[r[0x1D] >> 4],
            "coding_rate": (r[0x1D] >> 1 & 7) + 4,
            "implicit": bool(r[0x1D] & 1),
            "sf": r[0x1E] >> 4,
            "crc": bool(r[0x1E] & 4),
            "ldro": bool(r[0x26] & 8),
            "preamble": r[0x20] << 8 | r[0x21],
            "invert_tx": not r[0x33] & 1,
            "invert_rx": bool(r[0x33] & 0x40),
            "sync": r[0x39],
        }

    def power_dbm(self):
        """Output power by 5.4.2 and 5.4.3."""
        config = self.registers[9]
        if config & 0x80:
            return (20 if self.registers[0x4D] & 7 == 7 else 17) - 15 + (config & 15)
        return 10.8 + 0.6 * (config >> 4 & 7) - 15 + (config & 15)

    # the bus

    def _select(self, level):
        self._address = None

    def exchange(self, value):
        if self._address is None:
            self._address, self._writing = value & 0x7F, bool(value & 0x80)
            return 0
        address = self._address
        if address == 0:
            return self._fifo(value)
        self._address = (address + 1) & 0x7F
        if self._writing:
            self._write(address, value)
            return 0
        return self.registers[address]

    def _fifo(self, value):
        if self.mode == SLEEP:
            return 0  # 4.1.2.3: no access in sleep
        pointer = self.registers[0x0D]
        self.registers[0x0D] = (pointer + 1) & 0xFF
        if self._writing:
            self.fifo[pointer] = value
        return self.fifo[pointer]

    def _write(self, address, value):
        r = self.registers
        if address in READ_ONLY:
            return
        if address == 0x01:
            self._operate(value)
        elif address == 0x12:
            r[0x12] &= ~value & 0xFF
            self._lines()
        else:
            if address in (0x1D, 0x1E, 0x26, 0x06, 0x07, 0x08, 0x33, 0x3B, 0x39):
                assert self.mode in (SLEEP, STANDBY), "settings are changed in sleep or standby"
            r[address] = value
            if address == 0x40:
                self._lines()

    def _operate(self, value):
        r = self.registers
        if self.mode != SLEEP:
            value = value & 0x7F | r[1] & 0x80  # LongRangeMode changes in sleep only
        old = r[1]
        r[1] = value
        if (old ^ value) & 7:
            self._job += 1  # what was under way is over
        if not value & 0x80:
            return
        if value & 7 == TX:
            self._send()
        elif value & 7 == SLEEP:
            self.fifo = bytearray(256)  # 4.1.2.3: cleared in sleep
        elif value & 7 == RX_CONTINUOUS:
            r[0x18] = 0x04
            r[0x10] = r[0x0F]
            self._write_at = r[0x0F]

    def _lines(self):
        flags = self.registers[0x12]
        mapping = self.registers[0x40] >> 6
        if self.dio0 is not None:
            self.dio0(bool(flags & (0x40, 0x08, 0x04, 0)[mapping]))

    def _raise(self, flags):
        self.registers[0x12] |= flags & ~self.registers[0x11]
        self._lines()

    # the air

    def airtime_us(self, length):
        s = self.settings()
        symbol = 2 ** s["sf"] / s["bw"]
        de = 2 if s["ldro"] else 0
        bits = 8 * length - 4 * s["sf"] + 28 + (16 if s["crc"] else 0) - (20 if s["implicit"] else 0)
        payload = 8 + max(math.ceil(bits / (4 * (s["sf"] - de))) * s["coding_rate"], 0)
        return int((s["preamble"] + 4.25 + payload) * symbol * 1e6)

    def _send(self):
        r = self.registers
        start, job = self.time.us, self._job
        frame = bytes([self.fifo[(r[0x0E] + i) & 0xFF] for i in range(r[0x22])])
        end = start + self.airtime_us(len(frame))

        def done():
            if self._job == job and not self.fails_to_send:
                self.sent.append((start, end, frame, self.settings()))
                r[1] = r[1] & 0xF8 | STANDBY
                self._job += 1
                self._raise(0x08)

        self.time.at(end, done)

    def hear(self, at_us, frame, snr=40, rssi=100, good=True, protected=True, ends_in_noise=False, **settings):
        """A frame comes from the air: seen if the receiver is on with these settings all the while."""
        r = self.registers

        def begin():
            mine = self.settings()
            for key in settings:
                if abs(mine[key] - settings[key]) > (5000 if key == "freq_hz" else 0):
                    return
            if not self.lora or self.mode != RX_CONTINUOUS:
                return
            job = self._job
            symbol_us = int(2 ** mine["sf"] / mine["bw"] * 1e6)
            header = at_us + int((mine["preamble"] + 4.25 + 8) * symbol_us)

            def here():
                return self._job == job

            def detected():
                if here():
                    r[0x18] |= 0x03

            def valid():
                if here():
                    r[0x18] = r[0x18] & 0xFC if ends_in_noise else r[0x18] | 0x08
                    if not ends_in_noise:
                        r[0x1C] = 0x40 if protected else 0
                        self._raise(0x10)

            def done():
                if here() and not ends_in_noise:
                    for i in range(len(frame)):
                        self.fifo[(self._write_at + i) & 0xFF] = frame[i]
                    r[0x10] = self._write_at
                    self._write_at = (self._write_at + len(frame)) & 0xFF
                    r[0x13] = len(frame)
                    r[0x18] = 0x04
                    r[0x19] = snr & 0xFF
                    r[0x1A] = rssi
                    self._raise(0x40 if good else 0x60)

            self.time.at(at_us + 4 * symbol_us, detected)
            self.time.at(header, valid)
            self.time.at(at_us + self.airtime_us(len(frame)), done)

        self.time.at(at_us, begin)
