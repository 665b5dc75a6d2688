# ruff: noqa: F821
"""The inner loops of the accelerometer's model: tones, noise, a resonance and the sensor's rounding, in whole numbers.

Viper code where MicroPython has a native emitter; elsewhere ``accelerometer.plain_synthesis`` runs the same text as
bytecode, so use only what both understand. Integers of 64 bits. An accumulator is array('i') in 1/256 of the sensor's
count. Phases: 2^32 is a turn.
"""


@micropython.viper
def tone(acc, n: int, sine, phase: int, step: int, jitter, amplitude: int) -> int:
    """Add a sine to ``acc[:n]``; return its phase at the end.

    ``sine``: array('H'), 1024 to a turn, 32768 + 32767 sin; ``step``: phase per sample; ``jitter``: array('H'), for
    each 16 samples the deviation of the speed in 2^-20, plus 32768.
    """
    a = ptr32(acc)
    s = ptr16(sine)
    j = ptr16(jitter)
    i = 0
    now = step
    while i < n:
        if (i & 15) == 0:
            now = step + (((step >> 8) * (int(j[i >> 4]) - 32768)) >> 12)
        value = ((int(a[i]) & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
        a[i] = value + ((amplitude * (int(s[(phase >> 22) & 1023]) - 32768)) >> 15)
        phase += now
        i += 1
    return phase & 0xFFFFFFFF


@micropython.viper
def noise(acc, n: int, quantiles, state: int, amplitude: int, pole: int) -> int:
    """Add noise to ``acc[:n]``, low-pass filtered (``pole``/1024 of each new value); return the generator's state.

    ``quantiles``: array('H'), 1024 quantiles of the distribution, 32768 + 4096 x. Generator: xorshift, Marsaglia 2003.
    """
    a = ptr32(acc)
    q = ptr16(quantiles)
    i = 0
    low = 0
    while i < n:
        state = (state ^ (state << 13)) & 0xFFFFFFFF
        state = state ^ (state >> 17)
        state = (state ^ (state << 5)) & 0xFFFFFFFF
        low += ((((amplitude * (int(q[state >> 22]) - 32768)) >> 12) - low) * pole) >> 10
        value = ((int(a[i]) & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
        a[i] = value + low
        i += 1
    return state


@micropython.viper
def resonate(acc, n: int, memory, c1: int, c2: int):
    """Filter ``acc[:n]``: y = (1 - c1 - c2) x + c1 y1 + c2 y2, c in 2^-14; ``memory``: array('i') of y1, y2."""
    a = ptr32(acc)
    m = ptr32(memory)
    y1 = ((int(m[0]) & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
    y2 = ((int(m[1]) & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
    c0 = 16384 - c1 - c2
    i = 0
    while i < n:
        x = ((int(a[i]) & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
        y = (c0 * x + c1 * y1 + c2 * y2) >> 14
        a[i] = y
        y2 = y1
        y1 = y
        i += 1
    m[0] = y1
    m[1] = y2


@micropython.viper
def peak(acc, n: int) -> int:
    """Return the largest magnitude in ``acc[:n]``."""
    a = ptr32(acc)
    largest = 0
    i = 0
    while i < n:
        value = ((int(a[i]) & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
        if value < 0:
            value = 0 - value
        if value > largest:
            largest = value
        i += 1
    return largest


@micropython.viper
def quantise(
    acc, n: int, out, start: int, stride: int, offset: int, gain: int, limit: int, sigma: int, state: int
) -> int:
    """What the sensor makes of ``acc``: gain (2^-10), offset, normal noise (1/256 count), rounding, clipping.

    Writes ``out[start::stride]``, array('h'); returns the generator's state. The noise: sum of four bytes, sigma 147.8.
    """
    a = ptr32(acc)
    o = ptr16(out)
    i = 0
    while i < n:
        state = (state ^ (state << 13)) & 0xFFFFFFFF
        state = state ^ (state >> 17)
        state = (state ^ (state << 5)) & 0xFFFFFFFF
        bell = (state & 255) + ((state >> 8) & 255) + ((state >> 16) & 255) + (state >> 24) - 510
        value = ((int(a[i]) & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
        value = (((value * gain) >> 10) + offset + ((bell * sigma * 443) >> 16) + 128) >> 8
        if value > limit:
            value = limit
        if value < 0 - limit:
            value = 0 - limit
        o[start + i * stride] = value & 0xFFFF
        i += 1
    return state
