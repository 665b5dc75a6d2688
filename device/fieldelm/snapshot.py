"""Bytes of a learner: what is written to flash, and the old model that is kept during and after relearning.

Each part has ``buffers()``, arrays of 4-byte numbers that hold all that it has learned, and ``loaded()``, called when they
were filled anew. Nothing is gathered into one large buffer: the arrays are written and read one after the other.
"""

import struct

from fieldelm.elm import raw

_HEAD = "<4sHHIIB"  # magic of the model, n, h, seed, meaning of the inputs, flags


class Snapshot:
    """Parts of one learner, and ``old``, room for a second image of them; ``has_old`` tells whether it is in use.

    ``meaning``: that of the inputs (features.Features).
    """

    def __init__(self, model, meaning, parts):
        self._model = model
        self.meaning = meaning
        self.parts = parts
        self._head = bytearray(struct.calcsize(_HEAD))
        self.old = bytearray(sum([len(data) for data in self._raw()]))
        self.has_old = False

    def _raw(self):
        return [raw(buffer) for part in self.parts for buffer in part.buffers()]

    def _loaded(self):
        for part in self.parts:
            part.loaded()

    def keep(self):
        """Keep the parts as they are now as the old model."""
        at = 0
        for data in self._raw():
            self.old[at : at + len(data)] = data
            at += len(data)
        self.has_old = True

    def restore(self):
        """Return to the old model and let go of it."""
        view = memoryview(self.old)
        at = 0
        for data in self._raw():
            data[:] = view[at : at + len(data)]
            at += len(data)
        self._loaded()
        self.has_old = False

    def save(self, flags):
        """The buffers to write, one behind the other; ``flags``: 0..127."""
        model = self._model
        flags = flags << 1 | self.has_old
        struct.pack_into(_HEAD, self._head, 0, model.MAGIC, model.n, model.h, model.seed, self.meaning, flags)
        return [self._head] + self._raw() + ([self.old] if self.has_old else [])

    def load(self, file, length):
        """Take over the ``length`` bytes that ``save`` wrote, from a binary file whose content was checked.

        Returns the flags, or None, and changes nothing, if they are of another configuration.
        """
        model = self._model
        if length < len(self._head) or file.readinto(self._head) != len(self._head):
            return None
        magic, n, h, seed, meaning, flags = struct.unpack(_HEAD, self._head)
        if (magic, n, h, seed, meaning) != (model.MAGIC, model.n, model.h, model.seed, self.meaning):
            return None
        if length != len(self._head) + len(self.old) * (1 + (flags & 1)):
            return None
        for data in self._raw():
            file.readinto(data)
        self._loaded()
        self.has_old = bool(flags & 1)
        if self.has_old:
            file.readinto(self.old)
        return flags >> 1
