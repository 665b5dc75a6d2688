"""Frame version 1: header, nonce, sealing and opening. The only codec; node, modem and gateway use it.

    offset  size  field
    0       1     bits 7..6 version, 5 acknowledgement wanted, 4 key id, 3..0 type
    1       2     node id
    3       2     frame counter, low 16 bits (HELLO: 4 bytes, all 32 bits)
            n     AES-128-CCM cipher text
            4, 8  tag

Everything before the cipher text is authenticated. The nonce is EUI (8) | counter (4) | direction (1), little-endian.
Direction 0 is an uplink, whose counter is used once for ever; a downlink answers one uplink, carries its counter, and has its
gateway's number 1..255 as direction.

A cipher is an object with ``seal_into(buffer, nonce, aad_bytes, end, tag_bytes)`` and ``open_into(buffer, nonce, aad_bytes,
length, tag_bytes)`` (``fieldelm.ccm.Ccm`` on a node).
"""

import struct

try:
    from micropython import const
except ImportError:  # CPython

    def const(value):
        """MicroPython folds constants; CPython does not need to."""
        return value


VERSION = const(1)
HELLO = const(1)
ALERT = const(2)
STATUS = const(3)
MODEL = const(4)
ACK = const(5)
COMMAND = const(6)
RESPONSE = const(7)
TRACE = const(8)

UPLINK = const(0)  # direction
MAX_BYTES = const(255)  # what a LoRa packet carries
NONCE_BYTES = const(13)

_HEADER = const(5)
_HELLO_HEADER = const(7)
_UPLINKS = const((HELLO, ALERT, STATUS, MODEL, RESPONSE, TRACE))
_DOWNLINKS = const((MODEL, ACK, COMMAND))
LONG_TAG = const(8)
SHORT_TAG = (ALERT, STATUS, TRACE, MODEL)  # uplinks that may carry 4 bytes


class FrameError(ValueError):
    """A frame that is dropped; ``reason`` is one of ``codes.DROP_REASONS``."""

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


class TagError(FrameError):
    """The tag does not fit the frame: it was forged, damaged, or sealed with another key."""

    def __init__(self, message="the tag does not fit the frame"):
        super().__init__("bad_tag", message)


class Header:
    """What can be read without a key. ``counter`` has 32 bits in a HELLO, else 16."""

    def __init__(self, kind, ack_wanted, key_id, node_id, counter, size):
        self.kind = kind
        self.ack_wanted = ack_wanted
        self.key_id = key_id
        self.node_id = node_id
        self.counter = counter
        self.size = size


def header_bytes(kind):
    """Bytes before the cipher text of a frame of this type."""
    return _HELLO_HEADER if kind == HELLO else _HEADER


def tag_bytes(kind, direction, configured=4):
    """Bytes of the tag. ``configured`` is what the node uses for its short uplinks, 4 or 8."""
    return configured if direction == UPLINK and kind in SHORT_TAG else LONG_TAG


def parse(data, direction):
    """Read the header of a frame that came in this direction (0 up, any other number down). Raises FrameError."""
    length = len(data)
    if length < _HEADER + 4 or length > MAX_BYTES:
        raise FrameError("bad_length", "a frame has 9 to 255 bytes, not %d" % length)
    first = data[0]
    if first >> 6 != VERSION:
        raise FrameError("bad_version", "frame version %d, this is version %d" % (first >> 6, VERSION))
    kind = first & 15
    if kind not in (_UPLINKS if direction == UPLINK else _DOWNLINKS):
        raise FrameError("bad_version", "type %d is not for this direction in version %d" % (kind, VERSION))
    size = header_bytes(kind)
    if length < size + tag_bytes(kind, direction):
        raise FrameError("bad_length", "%d bytes are too few for type %d" % (length, kind))
    node_id, counter = struct.unpack_from("<HI" if kind == HELLO else "<HH", data, 1)
    return Header(kind, bool(first & 0x20), (first >> 4) & 1, node_id, counter, size)


def nonce_into(nonce, eui, counter, direction):
    """Write the 13 bytes of a nonce: ``eui`` 8 bytes, ``counter`` all 32 bits."""
    nonce[0:8] = eui
    struct.pack_into("<IB", nonce, 8, counter, direction)


def header_into(buffer, kind, ack_wanted, key_id, node_id, counter):
    """Write a header, return the offset behind it."""
    buffer[0] = VERSION << 6 | (0x20 if ack_wanted else 0) | (key_id & 1) << 4 | kind
    if kind == HELLO:
        struct.pack_into("<HI", buffer, 1, node_id, counter)
        return _HELLO_HEADER
    struct.pack_into("<HH", buffer, 1, node_id, counter & 0xFFFF)
    return _HEADER


def seal_into(buffer, end, cipher, nonce, eui, counter, direction, configured_tag=4):
    """Seal the frame whose header and plain payload are ``buffer[:end]``; return its length.

    ``buffer`` needs room for the tag, ``nonce`` is 13 bytes of work.
    """
    kind = buffer[0] & 15
    nonce_into(nonce, eui, counter, direction)
    return cipher.seal_into(buffer, nonce, header_bytes(kind), end, tag_bytes(kind, direction, configured_tag))


def open_into(buffer, length, cipher, nonce, eui, counter, direction, configured_tag=4):
    """Open the frame ``buffer[:length]`` in place; return where its plain payload begins and ends.

    ``counter`` has all 32 bits. Raises TagError.
    """
    kind = buffer[0] & 15
    nonce_into(nonce, eui, counter, direction)
    start = header_bytes(kind)
    return start, cipher.open_into(buffer, nonce, start, length, tag_bytes(kind, direction, configured_tag))


def extend(low, reference):
    """The 32-bit number with these low 16 bits that is nearest to ``reference``."""
    candidate = (reference & ~0xFFFF) | low
    if candidate - reference > 0x8000 and candidate >= 0x10000:
        return candidate - 0x10000
    if reference - candidate > 0x8000 and candidate < 0xFFFF0000:
        return candidate + 0x10000
    return candidate
