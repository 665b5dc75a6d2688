"""What a node must not forget, in files that a power cut cannot spoil.

A ``Record`` has two files that are written in turn: the data, then a trailer of generation, length and CRC-32. After a cut in the
middle of a write the other file still holds the generation before. Flash wear is spread by the file system (littlefs).
"""

import os
import struct
from binascii import crc32

from micropython import const

_TRAILER = const(12)  # generation u32, length u32, CRC-32 of all before it
_CHUNK = const(64)
_ENOENT = const(2)  # in OSError: there is no such file

COUNTER_BLOCK = const(256)  # frame counters and event sequences reserved with one write
_SEQUENCE_BLOCK = const(16)  # small, since a gateway can follow a leap of 32,767 at most


_chunk = bytearray(_CHUNK)  # what a record reads through


def exists(path):
    """Whether there is such a file."""
    try:
        os.stat(path)
        return True
    except OSError:
        return False


class StorageError(OSError):
    """What was stored cannot be trusted."""


class Record:
    """One value of any length under ``path``, kept in ``path + ".a"`` and ``path + ".b"``.

    After ``open``: ``length`` of the data; ``damaged`` if one twin was spoilt, by a power cut while writing or by worn flash;
    ``first_cut`` if that is all there is, so that power was cut while the first value ever was written; ``begun`` if the spoilt
    one is too short for any value: power was cut when a write had only begun, and flash is sound.
    """

    def __init__(self, path):
        self._paths = (path + ".a", path + ".b")
        self._generation = 0
        self._next = None  # which file the next generation goes to: known when both were looked at
        self._trailer = bytearray(_TRAILER)
        self.length = 0
        self.damaged = False
        self.first_cut = False
        self.begun = False

    def _check(self, path):
        # generation of a sound file, -1 for none, -2 for a spoilt one, -3 for one that is too short
        try:
            size = os.stat(path)[6]
        except OSError as error:
            return -1 if error.errno == _ENOENT else -2
        length = size - _TRAILER
        if length < 0:
            return -3
        left = size - 4
        crc = 0
        try:
            with open(path, "rb") as file:
                while left:
                    want = min(left, _CHUNK)
                    got = file.readinto(_chunk, want)
                    if not got:
                        return -2
                    crc = crc32(memoryview(_chunk)[:got], crc)
                    left -= got
                file.seek(length)
                file.readinto(self._trailer)
        except OSError:
            return -2
        generation, stored, expected = struct.unpack("<III", self._trailer)
        return generation if stored == length and expected == crc else -2

    def open(self):
        """The newest sound generation as a binary file of which ``length`` bytes are the data; None if nothing was ever stored.

        Raises StorageError if files are there and none is sound.
        """
        first = self._check(self._paths[0])
        second = self._check(self._paths[1])
        self.damaged = min(first, second) < -1
        self.first_cut = first < -1 and second == -1
        self.begun = self.damaged and first != -2 and second != -2
        self._generation = self._next = 0
        if first < 0 and second < 0:
            if self.damaged:
                raise StorageError("%s and its twin are spoilt" % self._paths[0])
            return None
        newest = 0 if first > second else 1
        self._generation = max(first, second)
        self._next = 1 - newest
        self.length = os.stat(self._paths[newest])[6] - _TRAILER
        return open(self._paths[newest], "rb")

    def read(self, buffer):
        """Fill ``buffer`` with the newest data; False if there are none or they have another length. Raises StorageError."""
        file = self.open()
        if file is None:
            return False
        with file:
            return self.length == len(buffer) and file.readinto(buffer) == self.length

    def _look(self):
        # who stores what was never read must not write over the newest, nor an older number than that has
        try:
            file = self.open()
        except StorageError:
            return
        if file is not None:
            file.close()

    def store(self, parts):
        """Store the bytes of these buffers, one behind the other.

        When this returns the flash has them; until then the previous generation stands.
        """
        if self._next is None:
            self._look()
        length = 0
        crc = 0
        with open(self._paths[self._next], "wb") as file:
            for part in parts:
                crc = crc32(part, crc)
                length += file.write(part)
            struct.pack_into("<II", self._trailer, 0, self._generation + 1, length)
            crc = crc32(memoryview(self._trailer)[: _TRAILER - 4], crc)
            struct.pack_into("<I", self._trailer, _TRAILER - 4, crc)
            file.write(self._trailer)
            file.flush()
        if hasattr(os, "sync"):
            os.sync()
        self._generation += 1
        self._next = 1 - self._next


class Counters:
    """The frame counter and the event sequence: numbers that are never given out twice, whatever happens.

    Both are reserved in blocks: the ceiling is in flash before a number below it is used, and after a restart counting goes on
    from the ceiling. Raises StorageError if both copies are spoilt: then the node needs a new key, since a nonce could repeat.
    """

    def __init__(self, path):
        self._record = Record(path)
        self._buffer = bytearray(8)
        try:
            file = self._record.open()
        except StorageError:
            if not self._record.first_cut:
                raise
            file = None
        self.frame = self.sequence = 0
        if file is not None:
            file.close()
            if not self._record.read(self._buffer):
                raise StorageError("%s holds something else" % path)
            self.frame, self.sequence = struct.unpack("<II", self._buffer)
        if self._record.damaged:
            # The spoilt copy may have been the newer or the only one, so step over the block that it may have reserved.
            self.frame += COUNTER_BLOCK
            self.sequence = (self.sequence + _SEQUENCE_BLOCK) & 0xFFFFFFFF
        self._frame_ceiling = self.frame
        self._sequence_ceiling = self.sequence

    def _reserve(self, frame_ceiling, sequence_ceiling):
        # the ceiling counts only when the flash has it: a full file system raises OSError, and no number is given out
        struct.pack_into("<II", self._buffer, 0, frame_ceiling, sequence_ceiling)
        self._record.store((self._buffer,))
        self._frame_ceiling = frame_ceiling
        self._sequence_ceiling = sequence_ceiling

    def next_frame(self):
        """A frame counter that was never used with this key. The first is 1."""
        if self.frame >= self._frame_ceiling:
            if self.frame > 0xFFFFFFFF - COUNTER_BLOCK:
                raise StorageError("the frame counter is used up; provision a new key")
            self._reserve(self.frame + COUNTER_BLOCK, self._sequence_ceiling)
        self.frame += 1
        return self.frame

    def next_sequence(self):
        """A number for a new event."""
        if self.sequence >= self._sequence_ceiling:
            self._reserve(self._frame_ceiling, (self.sequence + _SEQUENCE_BLOCK) & 0xFFFFFFFF)
        self.sequence = (self.sequence + 1) & 0xFFFFFFFF
        return self.sequence
