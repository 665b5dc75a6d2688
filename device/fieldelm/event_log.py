"""The waiting events on flash: a log that is only ever appended to, until it is written anew.

    header   magic "FEL1", events given up so far u32, 0 u32, CRC-32
    event    12 bytes of fieldelm.events, CRC-32
    mark     31 (gone) or 30 (given up) u8, 9 times 0, sequence u16, CRC-32

Every entry has 16 bytes. What is appended is in flash when ``append`` returns: littlefs takes a file's new content when it is
closed, or keeps the old one. A log that has grown is written to a second file, which then takes its name. A log with a
torn or spoilt entry gives back every sound one and is written anew.
"""

import os
import struct
from binascii import crc32

from micropython import const

from fieldelm.storage import exists

ENTRY = const(12)
GONE = const(31)  # delivered, or between the first and the last of an episode
GIVEN_UP = const(30)

_RECORD = const(16)
_MAGIC = b"FEL1"
# records beyond twice the waiting events before the log is written anew: with them it stays inline in littlefs
_SLACK = const(30)


class EventLog:
    """The log at ``path``. Every method that writes raises OSError if the file system is full or fails."""

    def __init__(self, path):
        self._path = path
        self._records = 0
        self._record = bytearray(_RECORD)
        self._view = memoryview(self._record)
        self.sound = True  # what is on flash is what was told

    def _seal(self):
        struct.pack_into("<I", self._record, ENTRY, crc32(self._view[:ENTRY]))

    def _append(self):
        self._seal()
        self.sound = False
        with open(self._path, "ab" if self._records else "wb") as file:
            file.write(self._record)
        self._sync()
        self._records += 1
        self.sound = True

    def _sync(self):
        if hasattr(os, "sync"):
            os.sync()

    def append(self, entry):
        """Add the 12 bytes of an event."""
        self._record[:ENTRY] = entry
        self._append()

    def mark(self, kind, sequence):
        """An event no longer waits: GONE or GIVEN_UP."""
        self._view[:ENTRY] = bytes(ENTRY)
        struct.pack_into("<B9xH", self._record, 0, kind, sequence)
        self._append()

    def is_long(self, waiting):
        """Whether it is time to write it anew."""
        return self._records > 2 * waiting + _SLACK

    def rewrite(self, table, count, lost):
        """Write the log anew: the first ``count`` entries of ``table``, a memoryview of 12 bytes each."""
        self.sound = False
        new = self._path + ".new"
        with open(new, "wb") as file:
            struct.pack_into("<4sII", self._record, 0, _MAGIC, lost, 0)
            self._seal()
            file.write(self._record)
            for i in range(count):
                self._record[:ENTRY] = table[i * ENTRY : (i + 1) * ENTRY]
                self._seal()
                file.write(self._record)
        self._sync()
        os.rename(new, self._path)
        self._sync()
        self._records = count + 1
        self.sound = True

    def read(self, take):
        """Call ``take(kind, entry)`` for every sound record in the order of writing; of kind None is the header.

        ``entry`` is a memoryview of 12 bytes that the next record overwrites. False if the log is to be written anew: it is
        damaged.
        """
        sound = True
        try:
            with open(self._path, "rb") as file:
                while True:
                    got = file.readinto(self._record)
                    if not got:
                        break
                    self._records += 1
                    if got != _RECORD or struct.unpack_from("<I", self._record, ENTRY)[0] != crc32(self._view[:ENTRY]):
                        sound = False
                    elif self._view[:4] == _MAGIC:
                        take(None, self._view[:ENTRY])
                    else:
                        take(self._record[0] & 31, self._view[:ENTRY])
        except OSError:
            sound = not exists(self._path)
        return sound
