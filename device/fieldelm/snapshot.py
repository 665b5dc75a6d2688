"""Bytes of a learner: what is written to flash, and the old model that is kept during and after relearning.

The parts are written one after the other; each has ``dump_size()``, ``dump_into(buf)`` and ``load(buf)``.
"""

import struct

_HEAD = "<4sHHIB"  # magic, n, h, seed, flags
_MAGIC = b"FEM1"


class Snapshot:
    """Parts of one learner, and ``old``, room for a second image of them; ``has_old`` tells whether it is in use."""

    def __init__(self, model, parts):
        self._model = model
        self._parts = parts
        self.old = bytearray(sum([part.dump_size() for part in parts]))
        self.has_old = False

    def _write(self, buf):
        at = 0
        for part in self._parts:
            at += part.dump_into(buf[at:])
        return at

    def _read(self, buf):
        at = 0
        for part in self._parts:
            part.load(buf[at:])
            at += part.dump_size()
        return at

    def keep(self):
        """Keep the parts as they are now as the old model."""
        self._write(memoryview(self.old))
        self.has_old = True

    def restore(self):
        """Return to the old model and let go of it."""
        self._read(memoryview(self.old))
        self.has_old = False

    def size(self):
        """The most that ``save`` writes."""
        return struct.calcsize(_HEAD) + 2 * len(self.old)

    def save(self, buf, flags):
        """Write the parts, the old model if there is one, and ``flags`` (0..127) into ``buf``; return the bytes written."""
        model = self._model
        struct.pack_into(_HEAD, buf, 0, _MAGIC, model.n, model.h, model.seed, flags << 1 | self.has_old)
        at = struct.calcsize(_HEAD)
        view = memoryview(buf)
        at += self._write(view[at:])
        if self.has_old:
            view[at : at + len(self.old)] = self.old
            at += len(self.old)
        return at

    def load(self, buf):
        """Take over what ``save`` wrote; return the flags, or None, and change nothing, if it is of another configuration."""
        model = self._model
        at = struct.calcsize(_HEAD)
        if len(buf) < at + len(self.old):
            return None
        magic, n, h, seed, flags = struct.unpack_from(_HEAD, buf, 0)
        if (magic, n, h, seed) != (_MAGIC, model.n, model.h, model.seed):
            return None
        if len(buf) != at + len(self.old) * (1 + (flags & 1)):
            return None
        view = memoryview(buf)
        at += self._read(view[at:])
        self.has_old = bool(flags & 1)
        if self.has_old:
            self.old[:] = view[at : at + len(self.old)]
        return flags >> 1
