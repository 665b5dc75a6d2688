"""A flash chip in memory with littlefs on it, as on a Pico, that writes down every erase and program operation.

As on the chip: erasing sets a block of 4,096 bytes to ones, programming a page of 256 bytes clears bits. ``PAGE`` is the program
size that MicroPython's rp2 port gives littlefs.
"""

import os
import struct

BLOCK = 4096
PAGE = 256
_OPERATION = "<BII"  # 0 erase, 1 program; address, bytes that follow


class Flash:
    """``log``: a file that takes the operations, or None. ``count``: operations so far."""

    def __init__(self, blocks=48, image=None, log=None):
        self.image = image or bytearray(b"\xff" * (blocks * BLOCK))
        self.log = log
        self.count = 0

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK + offset
        buffer[:] = memoryview(self.image)[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = block * BLOCK + offset
        assert at % PAGE == 0 and len(buffer) % PAGE == 0
        program(self.image, at, buffer, len(buffer))
        self._note(1, at, buffer)

    def ioctl(self, what, argument):
        if what == 4:
            return len(self.image) // BLOCK
        if what == 5:
            return BLOCK
        if what == 6:
            erase(self.image, argument * BLOCK, BLOCK)
            self._note(0, argument * BLOCK, b"")
        return 0

    def _note(self, what, at, data):
        self.count += 1
        if self.log:
            self.log.write(struct.pack(_OPERATION, what, at, len(data)))
            self.log.write(data)


def erase(image, at, length):
    image[at : at + length] = b"\xff" * length


def program(image, at, data, length):
    """Clear the bits of the first ``length`` bytes."""
    if image[at : at + length] == b"\xff" * length:
        image[at : at + length] = memoryview(data)[:length]
    else:
        for i in range(length):
            image[at + i] &= data[i]


def tear(image, at, data, random):
    """Program a page of which power lets only some bits through."""
    for i in range(PAGE):
        image[at + i] &= data[i] | (random() & random() & 0xFF)


def operations(path):
    """(what, address, data) of every operation in a log."""
    with open(path, "rb") as file:
        while True:
            head = file.read(struct.calcsize(_OPERATION))
            if not head:
                return
            what, at, length = struct.unpack(_OPERATION, head)
            yield what, at, file.read(length)


def mount(flash):
    """Make it the root of relative paths; format it if it holds no file system."""
    try:
        os.umount("/flash")
    except OSError:
        pass
    try:
        system = os.VfsLfs2(flash, progsize=PAGE)
    except OSError:
        os.VfsLfs2.mkfs(flash, progsize=PAGE)
        system = os.VfsLfs2(flash, progsize=PAGE)
    os.mount(system, "/flash")
    os.chdir("/flash")
