"""What a node must not forget, in files that a power cut cannot spoil.

A ``Record`` has two files that are written in turn. Each holds a generation number, the length, the data and a CRC-32; after a cut
in the middle of a write the other file still holds the generation before. Flash wear is spread by the file system (littlefs).
"""

import os
import struct
from binascii import crc32

from micropython import const

_HEADER = const(8)  # generation u32, length u32
_CRC = const(4)

COUNTER_BLOCK = const(256)  # frame counters and event sequences reserved with one write
_SEQUENCE_BLOCK = const(64)


class StorageError(OSError):
    """What was stored cannot be trusted."""


class Record:
    """One value of at most ``capacity`` bytes under ``path``, kept in ``path + ".a"`` and ``path + ".b"``."""

    def __init__(self, path, capacity):
        self._paths = (path + ".a", path + ".b")
        self._generation = 0
        self._next = 0
        self.damaged = False  # load found one twin spoilt: by a power cut while writing, or by worn flash
        self.buffer = bytearray(_HEADER + capacity + _CRC)
        self.data = memoryview(self.buffer)[_HEADER : _HEADER + capacity]

    def _read(self, path):
        # generation of a sound file, -1 for none, -2 for a spoilt one; leaves the file in the buffer
        try:
            with open(path, "rb") as file:
                length = file.readinto(self.buffer)
                more = file.read(1)
        except OSError:
            return -1
        if more or length is None or length < _HEADER + _CRC:
            return -2
        generation, used = struct.unpack_from("<II", self.buffer, 0)
        if used != length - _HEADER - _CRC:
            return -2
        view = memoryview(self.buffer)
        if crc32(view[: _HEADER + used]) != struct.unpack_from("<I", self.buffer, _HEADER + used)[0]:
            return -2
        return generation

    def load(self):
        """Read the newest sound generation into ``data``; return its length, or None if nothing was ever stored.

        Raises StorageError if files are there and none is sound.
        """
        first = self._read(self._paths[0])
        second = self._read(self._paths[1])
        if first < 0 and second < 0:
            if first == -2 or second == -2:
                raise StorageError("%s and its twin are spoilt" % self._paths[0])
            return None
        self.damaged = first == -2 or second == -2
        newest = 0 if first > second else 1
        if newest == 0:
            self._read(self._paths[0])
        self._generation = max(first, second)
        self._next = 1 - newest
        return struct.unpack_from("<I", self.buffer, 4)[0]

    def save(self, length):
        """Store ``data[:length]``. When this returns the flash has it; until then the previous generation stands."""
        view = memoryview(self.buffer)
        struct.pack_into("<II", self.buffer, 0, self._generation + 1, length)
        end = _HEADER + length
        struct.pack_into("<I", self.buffer, end, crc32(view[:end]))
        with open(self._paths[self._next], "wb") as file:
            file.write(view[: end + _CRC])
            file.flush()
        if hasattr(os, "sync"):
            os.sync()
        self._generation += 1
        self._next = 1 - self._next


class Counters:
    """The frame counter and the event sequence: numbers that are never given out twice, whatever happens.

    Both are reserved in blocks: the ceiling is in flash before a number below it is used, and after a restart counting goes on from
    the ceiling. Raises StorageError if both copies are spoilt: then the node needs a new key, since a nonce could repeat.
    """

    def __init__(self, path):
        self._record = Record(path, 8)
        stored = self._record.load()
        if stored is None:
            self.frame = 0
            self.sequence = 0
        elif stored == 8:
            self.frame, self.sequence = struct.unpack_from("<II", self._record.data, 0)
            if self._record.damaged:
                # The spoilt twin may have been the newer one, so step over the block that it may have reserved.
                self.frame += COUNTER_BLOCK
                self.sequence = (self.sequence + _SEQUENCE_BLOCK) & 0xFFFFFFFF
        else:
            raise StorageError("%s holds something else" % path)
        self._frame_ceiling = self.frame
        self._sequence_ceiling = self.sequence

    def _reserve(self):
        struct.pack_into("<II", self._record.data, 0, self._frame_ceiling, self._sequence_ceiling)
        self._record.save(8)

    def next_frame(self):
        """A frame counter that was never used with this key. The first is 1."""
        if self.frame >= self._frame_ceiling:
            if self.frame > 0xFFFFFFFF - COUNTER_BLOCK:
                raise StorageError("the frame counter is used up; provision a new key")
            self._frame_ceiling = self.frame + COUNTER_BLOCK
            self._reserve()
        self.frame += 1
        return self.frame

    def next_sequence(self):
        """A number for a new event."""
        if self.sequence >= self._sequence_ceiling:
            self._sequence_ceiling = (self.sequence + _SEQUENCE_BLOCK) & 0xFFFFFFFF
            self._reserve()
        self.sequence = (self.sequence + 1) & 0xFFFFFFFF
        return self.sequence
