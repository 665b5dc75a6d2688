"""The SX1261/62's commands on SPI: BUSY, waking, registers, flags, device errors. What to say with them is in sx126x.py.

Sections are those of the SX1261/2 datasheet, rev. 2.1.
"""

import time

from micropython import const

from fieldelm.drivers.lora_modem import LoraModem

_WRITE_REGISTER = const(0x0D)  # 11, list of commands
_READ_REGISTER = const(0x1D)
_GET_IRQ = const(0x12)
_CLEAR_IRQ = const(0x02)
_GET_ERRORS = const(0x17)

_ERRORS = const(
    (  # 13.6.1
        "RC 64k calibration",
        "RC 13M calibration",
        "PLL calibration",
        "ADC calibration",
        "image calibration",
        "crystal oscillator did not start",
        "PLL did not lock",
        "",
        "power amplifier did not ramp",
    )
)


class SX126xBus(LoraModem):
    """``busy_ms``: how long BUSY may stay high."""

    def __init__(self, spi, cs, busy, dio1, busy_ms):
        self._spi = spi
        self._cs = cs
        self._busy = busy
        self._busy_ms = busy_ms
        self._asleep = False
        self._buffer = memoryview(bytearray(10))  # the command, and then the answer
        self._parts = [self._buffer[:n] for n in range(10)]  # made once: a slice is a new object
        self._command = 0  # that was sent last
        super().__init__(dio1)
        cs(1)

    # the bus, 8.2 and 8.3

    def _ready(self):
        # wait until BUSY is low
        if not self._busy():
            return
        started = time.ticks_ms()
        while self._busy():
            if time.ticks_diff(time.ticks_ms(), started) > self._busy_ms:
                self._fail(
                    "BUSY stays high (last command 0x%02X)" % self._command,
                    "the BUSY, reset and SPI wires, the supply, and the TCXO voltage of the board's description",
                )

    def _knock(self):
        # 9.3: the falling edge of NSS wakes the chip, BUSY falls when it is ready
        self._cs(0)
        time.sleep_us(100)
        self._cs(1)

    def _select(self):
        # the chip takes the command in the buffer
        self._ready()
        self._command = self._buffer[0]
        self._cs(0)

    def _transfer(self, length):
        # the bytes of the command are in the buffer, and then those of the answer
        if self._asleep:
            self._asleep = False
            self._knock()
        self._select()
        part = self._parts[length]
        self._spi.write_readinto(part, part)
        self._cs(1)

    def _send(self, *data):
        for i in range(len(data)):
            self._buffer[i] = data[i]
        self._transfer(len(data))

    def _get(self, command, length):
        # command, status, then length bytes: from index 2 on
        self._buffer[0] = command
        for i in range(1, length + 2):
            self._buffer[i] = 0
        self._transfer(length + 2)

    def _write(self, register, value):
        self._send(_WRITE_REGISTER, register >> 8, register & 0xFF, value)

    def _read(self, register):
        self._send(_READ_REGISTER, register >> 8, register & 0xFF, 0, 0)
        return self._buffer[4]

    def _raw_flags(self):
        self._get(_GET_IRQ, 2)
        return self._buffer[2] << 8 | self._buffer[3]

    def _clear(self, flags=0x03FF):
        self._send(_CLEAR_IRQ, flags >> 8, flags & 0xFF)

    def _state(self):
        flags = self._raw_flags()
        return "status 0x%02X, interrupts 0x%04X" % (self._buffer[1], flags)

    def _check_errors(self):
        self._get(_GET_ERRORS, 2)
        errors = self._buffer[2] << 8 | self._buffer[3]
        if errors:
            said = [_ERRORS[i] for i in range(len(_ERRORS)) if errors >> i & 1]
            self._fail(
                "device errors 0x%04X (%s)" % (errors, ", ".join(said)),
                "whether the module has a TCXO and at which voltage (the board's description), and the supply",
            )
