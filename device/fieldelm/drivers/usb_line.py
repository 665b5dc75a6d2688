"""Messages of fieldelm.modem_framing over the USB cable, on which the REPL lives, too.

Any byte may be in a message, 0x03 as well, so the board switches off the interrupt character (``micropython.kbd_intr(-1)``). A
person or tool still gets through: CR Ctrl-C (what mpremote sends) or Ctrl-C twice, where a message could begin, raises
KeyboardInterrupt. No message begins so: its second byte is a type, and types from the host are 0x81 and above.
"""

import select
import sys

from micropython import const

from fieldelm import modem_framing, payloads

_CTRL_C = const(0x03)
_RETURN = const(0x0D)
_BURST = const(64)  # bytes taken in one call, so that a flood from the host cannot keep the node


class Console:
    """Standard input and output as bytes: ``ready()``, ``readinto(buffer)`` of one byte, ``writable()``, ``write(data)``."""

    def __init__(self):
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)
        self._room = select.poll()
        self._room.register(sys.stdout, select.POLLOUT)
        self.readinto = sys.stdin.buffer.readinto
        self.write = sys.stdout.buffer.write

    def ready(self):
        """Whether a byte waits. Allocates nothing."""
        for _ in self._poll.ipoll(0):
            return True
        return False

    def writable(self):
        """Whether the other end takes bytes, or there is none. Allocates nothing."""
        for _ in self._room.ipoll(0):
            return True
        return False


class UsbLine:
    """One end of the line. ``message`` holds the message whose length ``receive`` has returned; ``garbage`` counts the rest.

    ``lost`` counts messages that were not sent because the other end takes nothing.
    """

    def __init__(self, console):
        self._console = console
        self.lost = 0
        self._decoder = modem_framing.Decoder()
        self.message = self._decoder.message
        self._one = bytearray(1)
        self._before = 0  # bytes since the last 0x00, and the last of them
        self._last = 0
        self._plain = bytearray(modem_framing.MAX_MESSAGE)
        self._coded = bytearray(modem_framing.MAX_ENCODED)
        self._view = memoryview(self._coded)

    @property
    def garbage(self):
        """Messages that were garbage."""
        return self._decoder.garbage

    def receive(self):
        """Take what has come; return the length of a message that is complete now, else 0. Raises KeyboardInterrupt."""
        for _ in range(_BURST):
            if not self._console.ready():
                break
            if not self._console.readinto(self._one):
                break  # the other end is gone
            byte = self._one[0]
            if byte:
                self._before += 1
                if self._before == 2 and byte == _CTRL_C and self._last in (_RETURN, _CTRL_C):
                    raise KeyboardInterrupt
                self._last = byte
            else:
                self._before = 0
            length = self._decoder.push(byte)
            if length:
                return length
        return 0

    def fields(self):
        """The fields of the message, by its table; its frame begins at ``frame_start()``."""
        return payloads.unpack(modem_framing.TABLES[self.message[0]], self.message, 1)

    def frame_start(self):
        """Where in ``message`` the radio frame begins."""
        return 1 + payloads.size(modem_framing.TABLES[self.message[0]])

    def known(self, length):
        """Whether the message has a type that we know and all of its fields."""
        table = modem_framing.TABLES.get(self.message[0])
        return table is not None and length >= 1 + payloads.size(table)

    def send(self, kind, values, frame=b""):
        """Send one message; return whether the other end takes bytes at all. One that stops in the middle costs half a second."""
        if not self._console.writable():
            self.lost += 1
            return False
        plain = self._plain
        plain[0] = kind
        end = payloads.pack_into(modem_framing.TABLES[kind], plain, 1, values)
        for i in range(len(frame)):
            plain[end + i] = frame[i]
        length = modem_framing.encode_into(self._coded, plain, end + len(frame))
        self._console.write(self._view[:length])
        return True
