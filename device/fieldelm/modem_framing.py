"""The serial line between a LoRa modem and the gateway: messages of any bytes, found again after garbage.

A message is its type (1 byte), the fields of its table below, and for UPLINK and TRANSMIT the radio frame. On the
line it is

    0x00 | COBS(type | fields | frame | CRC-32 of all before, little-endian) | 0x00

COBS (Cheshire and Baker, "Consistent overhead byte stuffing", 1999, section 3) leaves no zero byte inside, so a
receiver that lost its place is right again with the next 0x00; the one in front ends whatever half a message the line
still holds, so that nothing else is lost with it. The CRC is that of Ethernet and zlib (``binascii.crc32``).

    modem → host                                        host → modem
    0x01 HELLO       it has started, or was pinged      0x81 CONFIGURE  the channel; answered by CONFIGURED
    0x02 UPLINK      a frame with a good CRC            0x82 TRANSMIT   answer an uplink; answered by SENT
    0x03 SENT        what became of a TRANSMIT          0x83 PING       answered by HELLO, then STATUS
    0x04 STATUS      counters
    0x05 CONFIGURED  what became of a CONFIGURE

The modem receives with normal and transmits with inverted IQ. It starts a TRANSMIT ``delay_ms`` after the end of the
uplink whose ``token`` it carries. A modem that restarts says HELLO and is deaf until it is configured again.
"""

from binascii import crc32

try:
    from micropython import const
except ImportError:  # CPython

    def const(value):
        """What MicroPython's compiler folds is an ordinary value here."""
        return value


PROTOCOL = const(1)

HELLO = const(0x01)
UPLINK = const(0x02)
SENT = const(0x03)
STATUS = const(0x04)
CONFIGURED = const(0x05)
CONFIGURE = const(0x81)
TRANSMIT = const(0x82)
PING = const(0x83)

# Tables for fieldelm.payloads.pack_into and unpack.
TABLES = {
    HELLO: (
        ("protocol", "B"),  # PROTOCOL
        ("firmware", "I"),  # major << 16 | minor << 8 | patch
        ("boot_cause", "B"),  # code
        ("configured", "B"),  # 1: listening, 0: waits for CONFIGURE
    ),
    UPLINK: (
        ("token", "H"),  # names this uplink in a TRANSMIT
        ("ticks_ms", "I"),  # modem's clock at the end of the frame
        ("rssi", "h"),  # dBm
        ("snr", "b"),  # 0.25 dB
    ),
    SENT: (
        ("token", "H"),  # of the uplink answered
        ("result", "B"),  # place in SENT_RESULTS
        ("ticks_ms", "I"),  # modem's clock when transmission began
    ),
    STATUS: (
        ("ticks_ms", "I"),  # modem's clock
        ("uplinks", "I"),  # frames received since start
        ("crc_errors", "I"),  # frames received with a bad CRC
        ("sent", "I"),  # frames transmitted
        ("garbage", "I"),  # messages from the host that were garbage
        ("lost", "I"),  # frames received that the host did not take
        ("restarts", "I"),  # how often the radio had lost its settings
    ),
    CONFIGURED: (
        ("result", "B"),  # place in CONFIGURED_RESULTS
    ),
    CONFIGURE: (
        ("freq_khz", "I"),  # kHz
        ("sf", "B"),  # spreading factor, 7..12
        ("bandwidth_hz", "I"),  # Hz
        ("coding_rate", "B"),  # 5..8 for 4/5..4/8
        ("preamble_len", "H"),  # symbols
    ),
    TRANSMIT: (
        ("token", "H"),  # of the uplink that is answered
        ("delay_ms", "H"),  # ms from the end of the uplink to the start
        ("output_power", "b"),  # dBm
    ),
    PING: (),
}

SENT_RESULTS = ("sent", "too_late", "unknown_token", "not_configured", "radio_error")
CONFIGURED_RESULTS = ("ok", "bad_value", "radio_error")

MAX_MESSAGE = const(288)  # type, the longest table, a LoRa frame of 255 bytes, CRC; rounded up
MAX_ENCODED = const(MAX_MESSAGE + MAX_MESSAGE // 254 + 3)

_CRC = const(4)


def encode_into(out, message, length):
    """Frame ``message[:length]`` into ``out``; return the bytes to send, both 0x00 included.

    ``message`` needs 4 more bytes behind ``length`` for the CRC, ``out`` MAX_ENCODED bytes. Raises ValueError if it is
    too long.
    """
    if not 1 <= length <= MAX_MESSAGE - _CRC:
        raise ValueError("a message has 1 to %d bytes" % (MAX_MESSAGE - _CRC))
    check = crc32(memoryview(message)[:length])
    for i in range(_CRC):
        message[length + i] = (check >> (8 * i)) & 0xFF
    out[0] = 0
    code_at = 1  # where the length of the current block goes
    code = 1
    end = 2
    for i in range(length + _CRC):
        byte = message[i]
        if byte:
            out[end] = byte
            end += 1
            code += 1
        if not byte or code == 0xFF:
            out[code_at] = code
            code_at = end
            end += 1
            code = 1
    out[code_at] = code
    out[end] = 0
    return end + 1


class Decoder:
    """Takes the line byte by byte.

    ``message`` is the buffer of the last message, ``garbage`` counts what was thrown away.
    """

    def __init__(self):
        self.message = bytearray(MAX_MESSAGE)
        self._view = memoryview(self.message)
        self.garbage = 0
        self._restart()

    def _restart(self):
        self._end = 0
        self._left = 0  # bytes until the next length byte
        self._code = 0xFF  # length byte of the current block; 0xFF: no zero follows it
        self._bad = False
        self._any = False

    def push(self, byte):
        """Take one byte; return the length of the message that it completes (type, fields and frame), else 0."""
        if byte == 0:
            return self._finish()
        self._any = True
        if self._bad:
            return 0
        if self._left == 0:
            if self._code != 0xFF:
                self._store(0)
            self._code = byte
            self._left = byte - 1
        else:
            self._left -= 1
            self._store(byte)
        return 0

    def _store(self, byte):
        if self._end == MAX_MESSAGE:
            self._bad = True  # ignore the rest up to the next 0x00
            return
        self.message[self._end] = byte
        self._end += 1

    def _finish(self):
        length = self._end - _CRC
        any_bytes = self._any
        good = not self._bad and self._left == 0 and length > 0
        self._restart()
        if not any_bytes:
            return 0  # zeros in a row are not garbage
        if good:
            check = crc32(self._view[:length])
            for i in range(_CRC):
                if self.message[length + i] != (check >> (8 * i)) & 0xFF:
                    good = False
        if not good:
            self.garbage += 1
            return 0
        return length
