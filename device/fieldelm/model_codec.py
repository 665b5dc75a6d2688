"""A learner in less than 5 kB, for the air: weights in 16 bits, everything else as coarse as it may be.

    head     magic "CML2", that of the model, n u16, h u16, seed u32, meaning of the inputs u32 (features.Features)
    buffers  of features, model, threshold, modes and wear in the order of ``fieldelm.snapshot``, each as
             form u8, numbers u16, then

    0 EXACT    the bytes as they are: counts, thresholds, a model's header
    1 HALF     exponent i8, then 16 bits a number: sign, 5 bits of exponent below the common one, 10 bits of mantissa
    2 BYTE     lowest and highest float32, then 8 bits a number between them: centres of modes
    3 WORD     shift u8, then 16 bits a number, value = number << shift: output weights of a fixed-point model
    4 LONG     the same with 24 bits: its P
    5 SHARE    the largest float32, then 16 bits a number, value = number largest / 32767: output weights of a float model
    6 FINE     the same with 24 bits, in units of largest / 8388607: its P
    7 NOTHING  all numbers are zero, or become so: unused modes, the newest environment's source

P stays positive definite: rounding moves an element by half a step at most, so all of it moves the eigenvalues by at most
h / 2 steps (Gershgorin), and by that much the diagonal is raised. What a model scores by (sqrt of its weights) is made anew.
"""

import struct
from math import frexp, ldexp

from micropython import const

from fieldelm.elm import raw

_EXACT = const(0)
_HALF = const(1)
_BYTE = const(2)
_WORD = const(3)
_LONG = const(4)
_SHARE = const(5)
_FINE = const(6)
_NOTHING = const(7)

_BEFORE = (0, 1, 8, 1, 1, 4, 4, 0)  # bytes before the numbers, and of each number, by form
_EACH = (4, 2, 1, 2, 3, 2, 3, 0)

MAGIC = b"CML2"
_HEAD = "<4s4sHHII"
_HEAD_BYTES = const(20)
_FORM = "<BH"
_FORM_BYTES = const(3)
_TRAVEL = const(5)  # parts: how the sensor hangs is each node's own
_FEW = const(16)  # numbers that are not worth rounding
_CHUNK = const(64)  # bytes written at once
_FIXED_HEADER = const(16)  # words before the weights (native_modules/core/fixed.h)
_BETA_BOUND = const(9)  # of them: no weight is larger


class CodecError(ValueError):
    """The bytes are no model, or one of another configuration."""


def _pieces(watcher):
    # (buffer, first number, numbers, form, whether it is the triangle of P) of all that is stored
    model = watcher.model
    triangle = model.h * (model.h + 1) // 2
    for part in watcher.snapshot.parts[:_TRAVEL]:
        for buffer in part.buffers():
            count = len(buffer)
            if part is model and model.MAGIC[:3] == b"FEX" and count > _FIXED_HEADER + triangle:
                scales = (model.n + 1) // 2
                weights = count - _FIXED_HEADER - triangle - scales
                yield buffer, 0, _FIXED_HEADER, _EXACT, False
                yield buffer, _FIXED_HEADER, weights, _WORD, False
                yield buffer, _FIXED_HEADER + weights, triangle, _LONG, True
                yield buffer, count - scales, scales, _NOTHING, False
            elif count < _FEW:
                yield buffer, 0, count, _EXACT, False
            elif buffer is watcher.modes.source:
                yield buffer, 0, count, _NOTHING, False
            elif part is model and count >= triangle and count != model.n:
                yield buffer, 0, count, _FINE if count == triangle else _SHARE, count == triangle
            else:
                yield buffer, 0, count, _BYTE if part is watcher.modes else _HALF, False


def _largest(buffer, first, count):
    largest = 0
    for i in range(first, first + count):
        largest = max(largest, abs(buffer[i]))
    return largest


def _half(value, exponent):
    # 16 bits; 0 for what is 2^31 times smaller than the largest
    mantissa, own = frexp(abs(value))
    number = int(mantissa * 2048 + 0.5) - 1024
    if number == 1024:
        number = 0
        own += 1
    below = exponent - own
    if value == 0 or below > 30:
        return 0
    return (0x8000 if value < 0 else 0) | (31 - max(below, 0)) << 10 | number


def _from_half(bits, exponent):
    if not bits & 0x7C00:
        return 0.0
    value = ldexp((bits & 0x3FF | 0x400) / 2048, exponent - 31 + (bits >> 10 & 31))
    return -value if bits & 0x8000 else value


def _shift(largest, most):
    # so that a word is at most ``most``
    shift = 0
    while (largest + (1 << shift >> 1)) >> shift > most:
        shift += 1
    return shift


class Packer:
    """Packs a watcher's learner: iterate over it for the bytes, in pieces that last until the next one."""

    def __init__(self, watcher):
        self._watcher = watcher
        self._chunk = bytearray(_CHUNK)
        self._view = memoryview(self._chunk)

    def __iter__(self):
        model = self._watcher.model
        yield struct.pack(_HEAD, MAGIC, model.MAGIC, model.n, model.h, model.seed, self._watcher.snapshot.meaning)
        for buffer, first, count, form, _ in _pieces(self._watcher):
            if form not in (_EXACT, _NOTHING) and not _largest(buffer, first, count):
                form = _NOTHING
            yield struct.pack(_FORM, form, count)
            if form == _EXACT:
                yield memoryview(raw(buffer))[4 * first : 4 * (first + count)]
            elif form != _NOTHING:
                scale, pack = self._scale(form, buffer, first, count)
                yield scale
                at = 0
                for i in range(first, first + count):
                    number = pack(buffer[i])
                    for _ in range(_EACH[form]):
                        self._chunk[at] = number & 255
                        number >>= 8
                        at += 1
                    if at > _CHUNK - 3:
                        yield self._view[:at]
                        at = 0
                if at:
                    yield self._view[:at]

    @staticmethod
    def _scale(form, buffer, first, count):
        # what comes before the numbers, and the function that packs one
        if form == _BYTE:
            low, high = min(buffer), max(buffer)
            step = (high - low) / 255 or 1.0
            return struct.pack("<ff", low, high), lambda value: int((value - low) / step + 0.5)
        largest = _largest(buffer, first, count)
        if form == _HALF:
            exponent = frexp(largest)[1]
            return struct.pack("<b", exponent), lambda value: _half(value, exponent)
        most = (1 << (8 * _EACH[form] - 1)) - 1
        if form in (_SHARE, _FINE):
            step = largest / most
            return struct.pack("<f", largest), lambda value: int(value / step + (0.5 if value > 0 else -0.5))
        shift = _shift(largest, most)
        return struct.pack("<B", shift), lambda value: (value + (1 << shift >> 1)) >> shift


class Unpacker:
    """Unpacks what ``Packer`` gave into the buffers of a watcher of the same configuration."""

    def __init__(self, watcher):
        self._watcher = watcher

    @staticmethod
    def _read(file, size):
        data = file.read(size)
        if len(data) != size:
            raise CodecError("the model ends too early")
        return data

    def _forms(self, file):
        # (piece, form); raises CodecError where the bytes are of another model
        model = self._watcher.model
        magic, *found = struct.unpack(_HEAD, self._read(file, _HEAD_BYTES))
        if magic != MAGIC or found != [model.MAGIC, model.n, model.h, model.seed, self._watcher.snapshot.meaning]:
            raise CodecError("the model is of another configuration or firmware")
        for piece in _pieces(self._watcher):
            form, count = struct.unpack(_FORM, self._read(file, _FORM_BYTES))
            if count != piece[2] or form not in (piece[3], _NOTHING):
                raise CodecError("the model is of another configuration or firmware")
            yield piece, form
        if file.read(1):
            raise CodecError("the model is too long")

    def check(self, file):
        """Whether the bytes fit; raises CodecError. Nothing is changed."""
        for piece, form in self._forms(file):
            left = _BEFORE[form] + _EACH[form] * piece[2]
            while left:
                left -= len(self._read(file, min(left, _CHUNK)))

    def unpack(self, file):
        """Fill the buffers; the bytes were checked before. The parts take them over (``loaded``)."""
        for piece, form in self._forms(file):
            buffer, first, count, _, triangle = piece
            if form == _EXACT:
                data = memoryview(raw(buffer))
                data[4 * first : 4 * (first + count)] = self._read(file, 4 * count)
            elif form == _NOTHING:
                for i in range(first, first + count):
                    buffer[i] = 0
            else:
                step = self._fill(file, form, buffer, first, count)
                if triangle:
                    self._raise_diagonal(buffer, first, step)
                elif form == _WORD:
                    buffer[_BETA_BOUND] += step
        for part in self._watcher.snapshot.parts:
            part.loaded()
        self._watcher.modes.stale = 0  # what a new environment adds does not travel

    def _fill(self, file, form, buffer, first, count):
        # returns the step in which numbers were rounded
        if form == _BYTE:
            low, high = struct.unpack("<ff", self._read(file, 8))
            step = (high - low) / 255
            for i in range(count):
                buffer[i] = low + step * self._read(file, 1)[0]
            return step
        each = _EACH[form]
        before = self._read(file, _BEFORE[form])
        if form == _HALF:
            exponent = struct.unpack("<b", before)[0]
            for i in range(count):
                buffer[i] = _from_half(struct.unpack("<H", self._read(file, 2))[0], exponent)
            return 0
        sign = 1 << (8 * each - 1)
        step = 1 << before[0] if form in (_WORD, _LONG) else struct.unpack("<f", before)[0] / (sign - 1)
        for i in range(first, first + count):
            number = int.from_bytes(self._read(file, each), "little")
            buffer[i] = (number - (number & sign) * 2) * step
        return step

    def _raise_diagonal(self, buffer, first, step):
        h = self._watcher.model.h
        top = 1 << (30 if h <= 32 else 29)  # P_TOP of native_modules/core/fixed_parts.h
        i = first
        for j in range(h):
            raised = buffer[i] + h * step / 2
            buffer[i] = min(int(raised), top) if isinstance(step, int) else raised
            i += j + 2
