"""An SX1261/62 on copper, written from its datasheet (rev. 2.1): commands, BUSY, modes, buffer, interrupts, airtime.

What the datasheet forbids raises AssertionError: a driver must not do it. ``failures`` lists commands that the chip refused.
"""

import math

SLEEP, STDBY_RC, STDBY_XOSC, FS, RX, TX = 0, 2, 3, 4, 5, 6
BANDWIDTHS = {
    0: 7812.5,
    8: 10416.7,
    1: 15625,
    9: 20833.3,
    2: 31250,
    10: 41666.7,
    3: 62500,
    4: 125000,
    5: 250000,
    6: 500000,
}
LENGTHS = {
    0x80: 2,
    0x83: 4,
    0x82: 4,
    0x84: 2,
    0x96: 2,
    0x89: 2,
    0x98: 3,
    0x95: 5,
    0x08: 9,
    0x02: 3,
    0x9D: 2,
    0x97: 5,
    0x86: 5,
}
LENGTHS.update({0x8A: 2, 0x8E: 3, 0x8B: 5, 0x8C: 7, 0x8F: 3, 0x07: 3})
STANDBY_ONLY = (0x98, 0x95, 0x97, 0x8A, 0x8B, 0x86)  # refused while sending or receiving


class Sx1262:
    def __init__(self, time, cs, busy, reset=None, dio1=None, tcxo_mv=None):
        self.time = time
        self.cs = cs
        self.busy = busy
        self.dio1 = dio1
        self.tcxo_mv = tcxo_mv  # the voltage that its oscillator needs
        self.sent = []
        self.failures = []
        self.log = []
        self.fails_to_send = False
        self.hangs = False
        cs.watchers.append(self._select)
        if reset is not None:
            reset.watchers.append(lambda level: self.power_on() if level else None)
        self.power_on()

    def power_on(self):
        self.registers = {
            0x0740: 0x14,
            0x0741: 0x24,
            0x0736: 0x0D,
            0x0889: 0x01,
            0x08AC: 0x94,
            0x08D8: 0xC8,
            0x08E7: 0x38,
        }
        self.buffer = bytearray(256)
        self.mode = STDBY_RC
        self.packet_type = 0
        self.frequency = 0
        self.modulation = (0, 0, 0, 0)
        self.packet = (0, 0, 0, 0, 0, 0)
        self.pa = (0, 0, 0, 0)
        self.tx_params = (0, 0)
        self.regulator = 0
        self.dio2 = 0
        self.tcxo = None
        self.calibrated = self.tcxo_mv is None
        self.errors = 0 if self.calibrated else 0x20
        self.image = None
        self.irq = self.irq_mask = self.dio1_mask = 0
        self.bases = (0, 0)
        self.command_status = 0
        self.rx_status = (0, 0)
        self.packet_status = (0, 0, 0)
        self._job = 0
        self._bytes = None
        self._occupied(3500)
        self._lines()

    def _occupied(self, us):
        self.busy(1)
        self._busy_job = job = getattr(self, "_busy_job", 0) + 1

        def free():
            if self._busy_job == job and self.mode != SLEEP and not self.hangs:
                self.busy(0)

        self.time.after(us, free)

    @property
    def status(self):
        return self.mode << 4 | self.command_status << 1

    def settings(self):
        sf, bw, cr, ldro = self.modulation
        word = self.registers[0x0740] << 8 | self.registers[0x0741]
        return {
            "freq_hz": self.frequency * 32000000 / 2**25,
            "sf": sf,
            "bw": BANDWIDTHS.get(bw, 0),
            "coding_rate": cr + 4,
            "ldro": bool(ldro),
            "preamble": self.packet[0] << 8 | self.packet[1],
            "implicit": bool(self.packet[2]),
            "crc": bool(self.packet[4]),
            "invert": bool(self.packet[5]),
            "sync": word,
        }

    # the bus

    def _select(self, level):
        if not level:
            if self.mode == SLEEP:
                self.mode = STDBY_RC
                self._occupied(340)
                self._bytes = None
                return
            self._bytes = bytearray()
        elif self._bytes:
            data, self._bytes = bytes(self._bytes), None
            self._execute(data)

    def exchange(self, value):
        if self._bytes is None:
            return 0
        assert not self.busy(), "8.3: no transfer while BUSY is high"
        self._bytes.append(value)
        data = self._bytes
        n = len(data) - 1
        command = data[0]
        if n == 0:
            return self.status
        if command == 0x1D and n >= 4:
            return self.registers.get((data[1] << 8 | data[2]) + n - 4, 0)
        if command == 0x1E and n >= 3:
            return self.buffer[(data[1] + n - 3) & 0xFF]
        answers = {
            0x12: (self.irq >> 8, self.irq & 0xFF),
            0x13: self.rx_status,
            0x14: self.packet_status,
            0x17: (self.errors >> 8, self.errors & 0xFF),
            0x11: (self.packet_type,),
        }
        if command in answers and 2 <= n < 2 + len(answers[command]):
            return answers[command][n - 2]
        return self.status

    def _execute(self, data):
        command = data[0]
        arguments = tuple(data[1:])
        self.log.append(command)
        self._occupied(5)
        if command in (0xC0, 0x12, 0x13, 0x14, 0x17, 0x11, 0x1D, 0x1E):
            assert not (command == 0xC0 and self.mode == RX), "GetStatus upsets a receiving chip"
            return
        if command == 0x0D:
            for i in range(len(data) - 3):
                self.registers[(data[1] << 8 | data[2]) + i] = data[3 + i]
            return
        if command == 0x0E:
            for i in range(len(data) - 2):
                self.buffer[(data[1] + i) & 0xFF] = data[2 + i]
            return
        self.command_status = 0
        if LENGTHS.get(command) != len(data) or (command in STANDBY_ONLY and self.mode in (RX, TX)):
            self.failures.append((command, arguments))
            self.command_status = 4
            return
        self._set(command, arguments)

    def _set(self, command, a):
        if command == 0x80:
            self._leave(STDBY_XOSC if a[0] else STDBY_RC)
        elif command == 0x84:
            assert self.mode in (STDBY_RC, STDBY_XOSC), "13.1.1: sleep from standby only"
            if not a[0] & 4:
                self.power_on()
            self._leave(SLEEP)
            self.registers[0x08AC] = 0x94  # 9.6: not retained
            self.busy(1)
        elif command == 0x89:
            assert self.mode == STDBY_RC, "13.1.12: calibration in STDBY_RC"
            self.calibrated = self.tcxo_mv is None or self.tcxo == self.tcxo_mv
            self.errors |= 0 if self.calibrated else 0x20
            self._occupied(3500)
        elif command == 0x97:
            assert self.mode == STDBY_RC
            self.tcxo = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)[a[0]]
            self.tcxo_steps = a[1] << 16 | a[2] << 8 | a[3]
        elif command == 0x82:
            self._receive(a[0] << 16 | a[1] << 8 | a[2])
        elif command == 0x83:
            self._send()
        elif command == 0x02:
            self.irq &= ~(a[0] << 8 | a[1])
            self._lines()
        elif command == 0x07:
            self.errors = 0
        elif command == 0x08:
            self.irq_mask, self.dio1_mask = a[0] << 8 | a[1], a[2] << 8 | a[3]
        elif command == 0x86:
            self.frequency = a[0] << 24 | a[1] << 16 | a[2] << 8 | a[3]
        elif command == 0x8A:
            self.packet_type = a[0]
        elif command == 0x8B:
            assert self.packet_type == 1, "13.4.5: packet type first"
            self.modulation = a
        elif command == 0x8C:
            self.packet = a
        elif command == 0x8E:
            self.tx_params = (a[0] - 256 if a[0] & 0x80 else a[0], a[1])
        else:
            name = {0x95: "pa", 0x96: "regulator", 0x98: "image", 0x9D: "dio2", 0x8F: "bases"}[command]
            setattr(self, name, a if len(a) > 1 else a[0])

    def _leave(self, mode):
        self.mode = mode
        self._job += 1

    def _lines(self):
        if self.dio1 is not None:
            self.dio1(bool(self.irq & self.dio1_mask))

    def _raise(self, flags):
        self.irq |= flags & self.irq_mask
        self._lines()

    # the air

    def airtime_us(self, length):
        s = self.settings()
        symbol = 2 ** s["sf"] / s["bw"]
        bits = 8 * length + (16 if s["crc"] else 0) - 4 * s["sf"] + (0 if s["implicit"] else 20) + 8
        blocks = math.ceil(max(bits, 0) / (4 * (s["sf"] - (2 if s["ldro"] else 0))))  # 6.1.4
        return int((s["preamble"] + 4.25 + 8 + blocks * s["coding_rate"]) * symbol * 1e6)

    def _send(self):
        if not self.calibrated:
            self.errors |= 0x20
            return
        # 15.1 and 15.4 at the moment that matters
        assert bool(self.registers[0x0889] & 4) == (self.modulation[1] != 6), "15.1"
        assert bool(self.registers[0x0736] & 4) != bool(self.packet[5]), "15.4"
        self._leave(TX)
        job, start = self._job, self.time.us
        frame = bytes([self.buffer[(self.bases[0] + i) & 0xFF] for i in range(self.packet[3])])
        end = start + self.airtime_us(len(frame))

        def done():
            if self._job == job and not self.fails_to_send:
                self.sent.append((start, end, frame, self.settings()))
                self._leave(STDBY_RC)
                self._raise(0x0001)

        self.time.at(end, done)

    def _receive(self, timeout):
        assert timeout == 0xFFFFFF, "only continuous reception is known here"
        assert bool(self.registers[0x0736] & 4) != bool(self.packet[5]), "15.4"
        if not self.calibrated:
            self.errors |= 0x20
            return
        self._leave(RX)
        self._write_at = self.bases[1]

    def hear(
        self, at_us, frame, snr=40, rssi=200, signal=200, good=True, ends_in_noise=False, bad_header=False, **settings
    ):
        """A frame comes from the air: seen if the receiver is on with these settings all the while."""

        def begin():
            mine = self.settings()
            for key in settings:
                if abs(mine[key] - settings[key]) > (5000 if key == "freq_hz" else 0):
                    return
            if self.mode != RX:
                return
            job = self._job
            symbol_us = int(2 ** mine["sf"] / mine["bw"] * 1e6)

            def raised(flags):
                def action():
                    if self._job == job:
                        self._raise(flags)

                return action

            self.time.at(at_us + 4 * symbol_us, raised(0x0004))
            if ends_in_noise:
                return
            header = at_us + int((mine["preamble"] + 12.25) * symbol_us)
            self.time.at(header, raised(0x0020 if bad_header else 0x0010))
            if bad_header:
                return

            def done():
                if self._job == job:
                    for i in range(len(frame)):
                        self.buffer[(self._write_at + i) & 0xFF] = frame[i]
                    self.rx_status = (len(frame), self._write_at)
                    self._write_at = (self._write_at + len(frame)) & 0xFF
                    self.packet_status = (rssi, snr & 0xFF, signal)
                    self._raise(0x0002 if good else 0x0042)

            self.time.at(at_us + self.airtime_us(len(frame)), done)

        self.time.at(at_us, begin)
