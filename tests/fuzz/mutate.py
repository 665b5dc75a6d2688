"""Hostile input without end: repeatable mutations of good input, for CPython and MicroPython alike."""

try:
    from random import Random
except ImportError:  # MicroPython

    class Random:
        """The few methods used here; xorshift, Marsaglia 2003."""

        def __init__(self, seed):
            self._state = (seed * 2654435761 + 1) & 0xFFFFFFFF or 1

        def getrandbits(self, bits):
            x = self._state
            x = (x ^ (x << 13)) & 0xFFFFFFFF
            x ^= x >> 17
            self._state = x = (x ^ (x << 5)) & 0xFFFFFFFF
            return x >> (32 - bits)

        def randrange(self, n):
            return self.getrandbits(32) % n

        def choice(self, options):
            return options[self.randrange(len(options))]


EDGES = (0, 1, 2, 0x1F, 0x20, 0x3F, 0x40, 0x7F, 0x80, 0xFE, 0xFF)


def random_bytes(random, most):
    return bytes([random.getrandbits(8) for _ in range(random.randrange(most + 1))])


def mutated(random, good, most=255):
    """One of the good inputs with a few things changed: bits, bytes, cut, longer, a piece twice, a piece of another one."""
    if random.randrange(16) == 0:
        return random_bytes(random, most)
    data = bytearray(random.choice(good))
    for _ in range(1 + random.randrange(4)):
        kind = random.randrange(7)
        at = random.randrange(len(data)) if data else 0
        if kind == 0 and data:
            data[at] ^= 1 << random.randrange(8)
        elif kind == 1 and data:
            data[at] = random.choice(EDGES)
        elif kind == 2:
            data = data[:at]
        elif kind == 3:
            data = data + random_bytes(random, 16)
        elif kind == 4:
            data = data[:at] + random_bytes(random, 4) + data[at:]
        elif kind == 5:
            data = data[:at] + data[at + 1 + random.randrange(8) :]
        else:
            other = random.choice(good)
            data = data[:at] + other[random.randrange(len(other) + 1) :]
    return bytes(data[: 4 * most])


NUMBERS = (0, 1, -1, 7, 12, 255, 256, 65535, 65536, -32769, 1 << 31, 1 << 63, 10**40, 0.5, -0.0, 1e308, 1e-320)
TEXTS = ("", "0", "auto", "waveform", "x" * 65, "é\u2028", "\x00", "868100", "12345678" * 4, "0" * 16)


def value(random, depth=0):
    """Anything that JSON can say, not finite numbers among it."""
    kind = random.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return None
    if kind == 1:
        return bool(random.randrange(2))
    if kind in (2, 3):
        return (
            random.choice(NUMBERS)
            if random.randrange(8)
            else random.choice((float("nan"), float("inf"), -float("inf")))
        )
    if kind in (4, 5):
        return random.choice(TEXTS)
    if kind == 6:
        return [value(random, depth + 1) for _ in range(random.randrange(4))]
    return {random.choice(TEXTS): value(random, depth + 1) for _ in range(random.randrange(4))}


def changed(random, document):
    """The document with something in it replaced, removed, or added, at any depth."""
    if not isinstance(document, (dict, list)) or not document or random.randrange(12) == 0:
        return value(random)
    if isinstance(document, list):
        result = list(document)
        at = random.randrange(len(result))
        result[at] = changed(random, result[at])
        return result
    result = dict(document)
    key = random.choice(sorted(result))
    kind = random.randrange(6)
    if kind == 0:
        del result[key]
    elif kind == 1:
        result[random.choice(TEXTS)] = value(random)
    else:
        result[key] = changed(random, result[key])
    return result
