"""The serial line of `fieldelm.modem_framing`, a chunk at a time: a host reads and writes hundreds of messages together.

The same bytes and the same messages as there, where a modem goes through them one by one.
"""

from zlib import crc32

from fieldelm import modem_framing as modem

_CRC_BYTES = 4
_BLOCK = 254  # bytes at most without a zero


def encode(message: bytes) -> bytes:
    """What goes onto the line, both 0x00 included. Raises ValueError if it is too long."""
    if not 1 <= len(message) <= modem.MAX_MESSAGE - _CRC_BYTES:
        raise ValueError(f"a message has 1 to {modem.MAX_MESSAGE - _CRC_BYTES} bytes")
    out = bytearray(1)
    for block in (message + crc32(message).to_bytes(_CRC_BYTES, "little")).split(b"\0"):
        at = 0
        while len(block) - at >= _BLOCK:
            out.append(_BLOCK + 1)
            out += block[at : at + _BLOCK]
            at += _BLOCK
        out.append(len(block) - at + 1)
        out += block[at:]
    out.append(0)
    return bytes(out)


def _decoded(part: bytes) -> bytes | None:
    # one message without its CRC; None: it is none
    message = bytearray()
    at = 0
    while at < len(part):
        code = part[at]
        if at + code > len(part):
            return None
        message += part[at + 1 : at + code]
        at += code
        if code <= _BLOCK and at < len(part):
            message.append(0)
    if not _CRC_BYTES < len(message) <= modem.MAX_MESSAGE:
        return None
    data, check = bytes(message[:-_CRC_BYTES]), message[-_CRC_BYTES:]
    return data if crc32(data) == int.from_bytes(check, "little") else None


class Decoder:
    """Finds messages in what a port has read. `garbage` counts what was thrown away."""

    def __init__(self) -> None:
        self.garbage = 0
        self._rest = b""

    def push(self, data: bytes) -> list[bytes]:
        """The messages that these bytes complete."""
        *parts, self._rest = (self._rest + data).split(b"\0")
        self._rest = self._rest[: modem.MAX_ENCODED]  # no message is so long, whatever follows
        found = []
        for part in parts:
            message = _decoded(part) if part else None
            if message is not None:
                found.append(message)
            elif part:
                self.garbage += 1
        return found
