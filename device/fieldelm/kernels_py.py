"""The kernels in Python: reference for the C core, and what runs where the native module cannot.

Same functions, buffers and results as the core in C (see docs/reference/kernels.md, also for the errors against
float64). 'f' is array('f'), 'h' array('h'), 'H' array('H'); m samples, N-point transform, n inputs, h hidden units;
matrices are row-major. Results go into the caller's buffers. A buffer of the wrong length or type raises ValueError
with the argument's name; of a memoryview the type code cannot be seen here, only whether it holds floats or integers.
"""

import math
from array import array

INTERFACE = 4  # version of the functions' arguments, the same as in fieldelm_native.c

_P_LIMIT = 1e4  # largest diagonal element of P that forgetting may lead to
_LIMIT = 1e15  # numbers beyond it count as not finite
_TINY = 7.888609052210118e-31  # 2^-100, least argument of a logarithm


def _elements(buffer, argument, code, length=0):
    """Number of elements of a buffer of this type code; `length` of them, or any number but none if that is 0."""
    if isinstance(buffer, array):
        good = repr(buffer[:0])[7] == code  # "array('f')": MicroPython's arrays have no typecode
    elif isinstance(buffer, memoryview):
        good = len(buffer) and isinstance(buffer[0], float) == (code == "f")
    else:
        good = False
    if not good or not len(buffer) or (length and len(buffer) != length):
        bound = " of length %d" % length if length else ""
        raise ValueError("%s: expected array('%s')%s" % (argument, code, bound))
    return len(buffer)


def _transform_size(twiddle):
    size = _elements(twiddle, "twiddle", "f")
    if not 4 <= size <= 32768 or size & (size - 1):
        raise ValueError("twiddle: expected a power of two from 4 to 32768 as length")
    return size


def _window_length(window, size):
    m = _elements(window, "window", "f")
    if m > size:
        raise ValueError("window: expected array('f') no longer than %d" % size)
    return m


def fft_tables(twiddle, window):
    """Fill the tables of an N-point transform of m samples.

    twiddle: 'f' of length N (a power of two, 4 to 32768): cos, sin of 2 pi k / N for k < N/2.
    window: 'f' of length m <= N: periodic Hann, (1 - cos(2 pi i / m)) / 2 (Harris, Proc. IEEE 66(1), 1978, eq. 27).
    """
    size = _transform_size(twiddle)
    m = _window_length(window, size)
    for k in range(size // 2):
        angle = 2 * math.pi * k / size
        twiddle[2 * k] = math.cos(angle)
        twiddle[2 * k + 1] = math.sin(angle)
    for i in range(m):
        window[i] = 0.5 - 0.5 * math.cos(2 * math.pi * i / m)


def _transform(z, points, twiddle):
    """In-place forward transform of `points` complex pairs (Cooley and Tukey 1965; radix 2, decimation in time).

    The twiddle table is that of a transform twice as long.
    """
    j = 0
    for i in range(1, points):  # j: i with its bits reversed
        bit = points >> 1
        while j & bit:
            j ^= bit
            bit >>= 1
        j ^= bit
        if i < j:
            z[2 * i], z[2 * j] = z[2 * j], z[2 * i]
            z[2 * i + 1], z[2 * j + 1] = z[2 * j + 1], z[2 * i + 1]
    half = 1
    while half < points:
        stride = points // half
        for k in range(half):
            c = twiddle[2 * k * stride]
            s = twiddle[2 * k * stride + 1]
            for i in range(k, points, 2 * half):
                p = 2 * i
                q = p + 2 * half
                re = z[q] * c + z[q + 1] * s
                im = z[q + 1] * c - z[q] * s
                z[q] = z[p] - re
                z[q + 1] = z[p + 1] - im
                z[p] += re
                z[p + 1] += im
        half *= 2


def _real_transform(z, size, twiddle):
    """Bins 0 .. size/2 of the real signal z[0 .. size-1], in place (size + 2 floats).

    Even and odd samples are the real and imaginary parts of one transform of half the size, unpacked by
    X[k] = E[k] + W^k O[k], X[size/2 - k] = conj(E[k] - W^k O[k]) (Sorensen et al., IEEE Trans. ASSP 35(6), 1987).
    """
    points = size // 2
    _transform(z, points, twiddle)
    re = z[0]
    im = z[1]
    z[0] = re + im
    z[1] = 0.0
    z[size] = re - im
    z[size + 1] = 0.0
    for k in range(1, points // 2 + 1):
        p = 2 * k
        q = 2 * (points - k)
        even_re = 0.5 * (z[p] + z[q])
        even_im = 0.5 * (z[p + 1] - z[q + 1])
        odd_re = 0.5 * (z[p + 1] + z[q + 1])
        odd_im = 0.5 * (z[q] - z[p])
        c = twiddle[p]
        s = twiddle[p + 1]
        turned_re = odd_re * c + odd_im * s
        turned_im = odd_im * c - odd_re * s
        z[q] = even_re - turned_re
        z[q + 1] = turned_im - even_im
        z[p] = even_re + turned_re
        z[p + 1] = even_im + turned_im


def power_spectrum(samples, channel, axes, window, twiddle, work, power, stats):
    """One-sided power spectrum in counts^2 of one channel of interleaved raw samples.

    samples: 'h' of length m * axes, of which column `channel` is used. window, twiddle: from `fft_tables`.
    work: 'f' of length N + 2, holds the complex bins afterwards. power: 'f' of length N/2 + 1.
    stats: 'f' of length 4: mean, variance, minimum, maximum of the raw samples (counts, counts^2).

    power[k] = (1 or 2) |X[k]|^2 / (N sum(w^2)), X the transform of w (x - mean) with zeros appended; the 1 is for DC
    and the highest bin. By Parseval's theorem the sum over k is sum((w (x - mean))^2) / sum(w^2), the variance.
    """
    if not 1 <= axes <= 32767:
        raise ValueError("axes: expected a number from 1 to 32767")
    if not 0 <= channel < axes:
        raise ValueError("channel: expected a number from 0 to less than %d" % axes)
    size = _transform_size(twiddle)
    m = _window_length(window, size)
    _elements(samples, "samples", "h", m * axes)
    _elements(work, "work", "f", size + 2)
    _elements(power, "power", "f", size // 2 + 1)
    _elements(stats, "stats", "f", 4)

    total = 0
    low = high = samples[channel]
    for i in range(m):
        x = samples[i * axes + channel]
        total += x
        low = min(low, x)
        high = max(high, x)
    offset = total // m  # the mean as a whole number and the rest: the former is subtracted exactly
    rest = (total - offset * m) / m
    variance = 0.0
    window_energy = 0.0
    for i in range(m):
        x = samples[i * axes + channel] - offset - rest
        variance += x * x
        work[i] = window[i] * x
        window_energy += window[i] * window[i]
    for i in range(m, size):
        work[i] = 0.0
    stats[0] = total / m
    stats[1] = variance / m
    stats[2] = low
    stats[3] = high

    _real_transform(work, size, twiddle)
    scale = 1 / (size * window_energy) if window_energy > 0 else 0.0
    for k in range(size // 2 + 1):
        re = work[2 * k]
        im = work[2 * k + 1]
        power[k] = (1 if k in (0, size // 2) else 2) * scale * (re * re + im * im)


def accumulate(total, power):
    """total += power, both 'f' of the same length."""
    length = _elements(total, "total", "f")
    _elements(power, "power", "f", length)
    for i in range(length):
        total[i] += power[i]


def velocity(power, params, out):
    """RMS velocity in mm/s (the quantity of ISO 20816) from a power spectrum of acceleration into out[0].

    params: 'f' [bin width Hz, low Hz, high Hz, m/s^2 per count]. out: 'f' of length 1.
    A sine of acceleration a at frequency f has the velocity a / (2 pi f); bin 0 is never used.
    """
    length = _elements(power, "power", "f")
    _elements(params, "params", "f", 4)
    _elements(out, "out", "f", 1)
    bin_width, low, high, scale = params
    total = 0.0
    for k in range(1, length):
        frequency = k * bin_width
        if low <= frequency <= high:
            factor = scale / (2 * math.pi * frequency)
            total += power[k] * (factor * factor)
    out[0] = 1000 * math.sqrt(total) if total > 0 else 0.0


def bands(spectrum, edges, params, out):
    """out[i] = gain * ln(mean(spectrum[edges[i]:edges[i + 1]]) + floor) + offset.

    spectrum: 'f'. edges: 'H' of length n + 1, strictly rising bin indices. params: 'f' [floor, gain, offset].
    out: 'f' of length n. The logarithm's argument is at least 2^-100.
    """
    length = _elements(spectrum, "spectrum", "f")
    n = _elements(out, "out", "f")
    _elements(edges, "edges", "H", n + 1)
    _elements(params, "params", "f", 3)
    for i in range(n):
        if not 0 <= edges[i] < edges[i + 1] <= length:
            raise ValueError("edges: expected rising bin indices up to %d" % length)
    floor, gain, offset = params
    for i in range(n):
        total = 0.0
        for k in range(edges[i], edges[i + 1]):
            total += spectrum[k]
        value = total / (edges[i + 1] - edges[i]) + floor
        if value < _TINY:
            value = _TINY
        out[i] = gain * math.log(value) + offset


def _next(x, y):
    """Next state of the shift register; its second word is the output.

    An xorshift generator (Marsaglia, J. Stat. Softw. 8(14), 2003, section 3) of two 16-bit words with shifts 5, 3, 1,
    period 2^32 - 1. No number exceeds 21 bits: small integers on every port.
    """
    t = (x ^ (x << 5)) & 0xFFFF
    return y, y ^ (y >> 1) ^ t ^ (t >> 3)


def _register(seed):
    x = (seed >> 16) & 0xFFFF ^ 0x9E37
    y = seed & 0xFFFF ^ 0x79B9
    if x == 0 and y == 0:
        y = 1  # the only state that never changes
    for _ in range(32):
        x, y = _next(x, y)
    return x, y


def hidden(x, seed, params, a):
    """Hidden activations a[j] = sigmoid(gain * sum(s_ij x_i) + bias_scale * b_j) with random s_ij = +-1, -1 <= b_j < 1.

    x: 'f' of length n. seed: int, of which 32 bits count. params: 'f' [gain, bias_scale]. a: 'f' of length h.
    Signs and biases are not stored but drawn anew in each call. For each hidden unit the shift register gives a 16-bit
    word w with b_j = (w - 32768) / 32768, then a word for every 16 inputs begun; bit i % 16 of it, 1 for +1, is the
    sign of input i. The sigmoid's argument is limited to -30 .. 30.
    """
    n = _elements(x, "x", "f")
    _elements(params, "params", "f", 2)
    h = _elements(a, "a", "f")
    gain, bias_scale = params
    first, word = _register(seed)
    for j in range(h):
        first, word = _next(first, word)
        z = bias_scale * (word - 32768) / 32768
        total = 0.0
        signs = 0
        for i in range(n):
            if i % 16 == 0:
                first, word = _next(first, word)
                signs = word
            total += x[i] if signs & 1 else -x[i]
            signs >>= 1
        z += gain * total
        if z > 30:
            z = 30
        elif z < -30:
            z = -30
        a[j] = 1 / (1 + math.exp(-z))


def residuals(x, a, beta, e):
    """e = x - a^T beta. x, e: 'f' of length n (may be the same). a: 'f' of length h. beta: 'f' of length h * n."""
    n = _elements(x, "x", "f")
    h = _elements(a, "a", "f")
    _elements(beta, "beta", "f", h * n)
    _elements(e, "e", "f", n)
    for i in range(n):
        total = x[i]
        for j in range(h):
            total -= a[j] * beta[j * n + i]
        e[i] = total


def score(e, weight, out):
    """out = mean(w e^2), largest w e^2, its index, second largest, its index.

    e, weight: 'f' of length n. out: 'f' of length 5. Of equal values the first counts as larger; the second is 0 at
    index 0 if n is 1.
    """
    n = _elements(e, "e", "f")
    _elements(weight, "weight", "f", n)
    _elements(out, "out", "f", 5)
    total = 0.0
    first = second = -1.0
    first_index = second_index = 0
    for i in range(n):
        value = weight[i] * e[i] * e[i]
        total += value
        if value > first:
            second = first
            second_index = first_index
            first = value
            first_index = i
        elif value > second:
            second = value
            second_index = i
    out[0] = total / n
    out[1] = max(first, 0.0)
    out[2] = first_index
    out[3] = max(second, 0.0)
    out[4] = second_index


def update(p, beta, a, e, params, u):
    """One step of OS-ELM with batch size one; True, or False if it was refused and p and beta are as they were.

        u = P a;  d = lambda + a^T u;  k = u / d;  beta += k e^T;  P = (P - k u^T) / lambda

    (Liang et al., IEEE Trans. Neural Netw. 17(6), 2006, for one row; forgetting: arXiv:1907.10147, whose a^2 is
    lambda.) p: 'f' of length h (h + 1) / 2, lower triangle of the symmetric P by rows: P[i][j] is p[i (i + 1) / 2 + j],
    j <= i. beta: 'f' of length h * n. a, u (work): 'f' of length h. e: 'f' of length n. params: 'f' [lambda],
    0 < lambda <= 1.

    Refused if d is not positive, or if d or an element of e is not a number or beyond 1e15. Where the division by
    lambda would take an element of P's diagonal above 1e4, this step does not divide: rows that excite only some
    directions would inflate P in the others without bound.
    """
    h = _elements(a, "a", "f")
    n = _elements(e, "e", "f")
    _elements(p, "p", "f", h * (h + 1) // 2)
    _elements(beta, "beta", "f", h * n)
    _elements(params, "params", "f", 1)
    _elements(u, "u", "f", h)
    forgetting = params[0]
    if not 0 < forgetting <= 1:
        raise ValueError("params: expected a forgetting factor above 0 and not above 1")

    index = 0
    for i in range(h):
        total = 0.0
        for j in range(i):
            total += p[index] * a[j]
            u[j] += p[index] * a[i]
            index += 1
        u[i] = total + p[index] * a[i]
        index += 1
    d = forgetting
    for i in range(h):
        d += a[i] * u[i]
    if not 0 < d <= _LIMIT:
        return False
    for i in range(n):
        if not -_LIMIT <= e[i] <= _LIMIT:
            return False

    largest = 0.0
    for i in range(h):
        largest = max(largest, p[i * (i + 3) // 2] - u[i] / d * u[i])
    divisor = 1.0 if largest > _P_LIMIT * forgetting else forgetting
    index = 0
    for i in range(h):
        k = u[i] / d
        for j in range(i + 1):
            p[index] = (p[index] - k * u[j]) / divisor
            index += 1
        for j in range(n):
            beta[i * n + j] += k * e[j]
    return True
