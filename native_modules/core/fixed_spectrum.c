// Power spectrum and log bands of int16 samples in fixed point.
//
// N real samples are M = N/2 complex ones (Sorensen et al., IEEE Trans. ASSP 35(6), 1987), transformed in time order reversed
// block by block: radix 4 or 2, whichever leaves a power of four, with the window; radix 4; and at last radix 2, which
// also separates the real transform and squares it. In what follows |z| is the modulus of a complex number.
//
// Input: v = 2^p (x - mean), p as large as |v| <= 60000 allows, so a faint signal is as precise as a loud one.
// Window: w v, |w v| <= 2^15 units after the shift. Four samples a quarter of the transform apart lie under a Hann window that adds
// up to at most 2 there (two half a transform apart: at most 1, and the shift is one less), so the first stage gives
// |z| <= sqrt(2) 2^16 without a scale.
// Stages: twiddles have 12 bits, c^2 + s^2 <= (1 + 2^-12)^2. A radix-4 stage adds four numbers of |z| <= 2^16.5 times 2^12, 2^30.5
// at most, and divides by 4 2^12 with rounding: |z| grows by less than 2^-11 of itself. No sum reaches 2^31, for all inputs.
// Last stage: |Z| <= 2^16.5; real and imaginary parts of the two halves of a pair, times 2^12, add up to 2^30.5 at most, and
// the result is that of a window whose mean is 1/2: |X| <= 60000 (1 + 2^-9) < 2^16, so |X|^2 fits into 32 bits.
#include "fixed.h"

#define TWIDDLE_BITS 12
#define LARGEST 60000

#if defined(FIELDELM_ARMV6M)
void fieldelm_armv6m_bands(const uint32_t *power, const uint16_t *edges, uint64_t floor, int32_t gain, int32_t base,
    const int32_t *offset, int32_t *out, size_t n, const uint32_t *table);
#endif
#if defined(FIELDELM_FAST)
void fieldelm_fast_stats(const int16_t *samples, size_t m, fieldelm_fixed_stats_t *stats);
void fieldelm_fast_first4(const int16_t *samples, const uint16_t *window, const uint16_t *start, int32_t *work, size_t points,
    int32_t up, int32_t mean, int32_t down);
void fieldelm_fast_radix4(int32_t *work, size_t points, size_t length, const int32_t *table);
void fieldelm_fast_last(int32_t *work, size_t points, const int32_t *table, uint32_t *power);
#endif

// log2(1 + i/64) in units of 2^-16
static const uint32_t LOG2[65] = {
    0, 1466, 2909, 4331, 5732, 7112, 8473, 9814, 11136, 12440, 13727, 14996,
    16248, 17484, 18704, 19909, 21098, 22272, 23433, 24579, 25711, 26830, 27936, 29029,
    30109, 31178, 32234, 33279, 34312, 35334, 36346, 37346, 38336, 39316, 40286, 41246,
    42196, 43137, 44068, 44990, 45904, 46809, 47705, 48593, 49472, 50344, 51207, 52063,
    52911, 53751, 54584, 55410, 56229, 57040, 57845, 58643, 59434, 60219, 60997, 61769,
    62534, 63294, 64047, 64794, 65536,
};

static int32_t product(int32_t a, int32_t b) { // of numbers with 28 binary places
    return (int32_t)(((int64_t)a * b) >> 28);
}

// Cosine and sine of i/n of a turn, i < n <= 2^16, with 28 binary places, error below 1e-7.
static void turn(uint32_t i, uint32_t n, int32_t *cosine, int32_t *sine) {
    const int32_t one = 1 << 28;
    uint32_t octant = 8 * i / n, rest = 8 * i - octant * n;
    // part of the octant, mirrored in the odd ones, by long division with 2^14 for a digit (that of 64 bits is large); then the
    // angle, 210828714 being pi/4
    rest = octant & 1 ? n - rest : rest;
    uint32_t upper = (rest << 14) / n, lower = (((rest << 14) - upper * n) << 14) / n;
    int32_t t = product(210828714, (int32_t)((upper << 14) + lower)), z = product(t, t);
    int32_t c = one - product(z, one / 2 - product(z, one / 24 - product(z, one / 720 - z / 40320)));
    int32_t s = t - product(product(t, z), one / 6 - product(z, one / 120 - product(z, one / 5040 - z / 362880)));
    bool swap = ((octant + 1) & 2) != 0;
    int32_t a = swap ? s : c, b = swap ? c : s;
    *cosine = octant >= 2 && octant < 6 ? -a : a;
    *sine = octant >= 4 ? -b : b;
}

// radix of the first stage: 4 if M/2 is a power of four, else 2
static size_t first_radix(size_t size) {
    size_t half = size / 4;
    while (half > 2) {
        half /= 4;
    }
    return half == 1 ? 4 : 2;
}

size_t fieldelm_fixed_table_words(size_t size) {
    size_t radix = first_radix(size), words = size / 2 / radix / 2 + size / 8 * 6;
    for (size_t length = 4 * radix; length <= size / 4; length *= 4) {
        words += 9 * (length / 4 - 1);
    }
    return words;
}

// Three words turn a number by -i/n of a turn with three products: cos, sin - cos, sin + cos.
static int32_t *twiddle(int32_t *table, size_t i, size_t n) {
    const int32_t half = 1 << (27 - TWIDDLE_BITS);
    int32_t c, s;
    turn((uint32_t)i, (uint32_t)n, &c, &s);
    c = (c + half) >> (28 - TWIDDLE_BITS);
    s = (s + half) >> (28 - TWIDDLE_BITS);
    table[0] = c;
    table[1] = s - c;
    table[2] = s + c;
    return table + 3;
}

void fieldelm_fixed_tables(int32_t *table, size_t size, uint16_t *window, size_t m) {
    size_t radix = first_radix(size), points = size / 2, blocks = points / radix;
    uint16_t *start = (uint16_t *)table; // of each block: index of its first number, the block's own with its bits reversed
    for (size_t i = 0, j = 0; i < blocks; ++i) {
        start[i] = (uint16_t)j;
        size_t bit = blocks >> 1;
        for (; j & bit; bit >>= 1) {
            j ^= bit;
        }
        j ^= bit;
    }
    table += blocks / 2;
    for (size_t length = 4 * radix; length <= points / 2; length *= 4) {
        for (size_t k = 1; k < length / 4; ++k) {
            table = twiddle(table, 2 * k, length);
            table = twiddle(table, k, length);
            table = twiddle(table, 3 * k, length);
        }
    }
    for (size_t k = 1; k <= points / 4; ++k) {
        table = twiddle(table, k, points);
        table = twiddle(table, k, size);
    }
    for (size_t i = 0; i < size; ++i) {
        int32_t c, s, w = 0;
        if (i < m) {
            turn((uint32_t)i, (uint32_t)m, &c, &s);
            w = ((1 << 28) - c + (1 << 13)) >> 14;
            w = w > 32767 ? 32767 : w;
        }
        window[i] = (uint16_t)w;
    }
}

void fieldelm_fixed_stats(const int16_t *samples, size_t channel, size_t axes, size_t m, fieldelm_fixed_stats_t *stats) {
#if defined(FIELDELM_FAST)
    if (axes == 1 && m % 4 == 0 && (uintptr_t)samples % 4 == 0) {
        fieldelm_fast_stats(samples, m, stats);
        return;
    }
#endif
    const int16_t *sample = samples + channel;
    int32_t sum = 0, low = *sample, high = low;
    uint64_t squares = 0;
    for (size_t i = 0; i < m; ++i, sample += axes) {
        int32_t x = *sample;
        sum += x;
        squares += (uint32_t)(x * x);
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    stats->sum = sum;
    stats->squares = squares;
    stats->low = low;
    stats->high = high;
}

// ---- the stages

typedef struct {
    int32_t re, im;
} number_t;

static number_t windowed(const int16_t *x, const uint16_t *w, int32_t up, int32_t mean, int32_t down) {
    number_t z = { ((x[0] << up) - mean) * w[0] >> down, ((x[1] << up) - mean) * w[1] >> down };
    return z;
}

static inline FIELDELM_HOT void first4(const int16_t *x, const uint16_t *w, const uint16_t *start, number_t *z, size_t points, int32_t up,
    int32_t mean, int32_t down) {
    size_t half = points / 2; // numbers points/4 apart are points/2 samples apart
    for (size_t block = 0; block < points / 4; ++block, z += 4) {
        const int16_t *xi = x + 2 * start[block];
        const uint16_t *wi = w + 2 * start[block];
        number_t a = windowed(xi, wi, up, mean, down), c = windowed(xi + half, wi + half, up, mean, down);
        number_t b = windowed(xi + 2 * half, wi + 2 * half, up, mean, down);
        number_t d = windowed(xi + 3 * half, wi + 3 * half, up, mean, down);
        number_t e = { a.re + b.re, a.im + b.im }, f = { a.re - b.re, a.im - b.im };
        number_t g = { c.re + d.re, c.im + d.im }, h = { c.re - d.re, c.im - d.im };
        z[0] = (number_t) { e.re + g.re, e.im + g.im };
        z[1] = (number_t) { f.re + h.im, f.im - h.re };
        z[2] = (number_t) { e.re - g.re, e.im - g.im };
        z[3] = (number_t) { f.re - h.im, f.im + h.re };
    }
}

static FIELDELM_HOT void first2(const int16_t *x, const uint16_t *w, const uint16_t *start, number_t *z, size_t points, int32_t up,
    int32_t mean, int32_t down) {
    for (size_t block = 0; block < points / 2; ++block, z += 2) {
        size_t i = 2 * (size_t)start[block];
        number_t a = windowed(x + i, w + i, up, mean, down);
        number_t b = windowed(x + i + points, w + i + points, up, mean, down);
        z[0] = (number_t) { a.re + b.re, a.im + b.im };
        z[1] = (number_t) { a.re - b.re, a.im - b.im };
    }
}

// z e^(-i angle) 2^12
static inline number_t turned(number_t z, const int32_t *t) {
    int32_t both = (z.re + z.im) * t[0];
    return (number_t) { both + z.im * t[1], both - z.re * t[2] };
}

static inline FIELDELM_HOT void radix4(number_t *z, size_t points, size_t length, const int32_t *table) {
    size_t quarter = length / 4;
    const int32_t half = 1 << (TWIDDLE_BITS + 1);
    const int down = TWIDDLE_BITS + 2;
    for (size_t group = 0; group < points; group += length) {
        const int32_t *t = table;
        for (size_t k = 0; k < quarter; ++k) {
            number_t *p = &z[group + k];
            number_t b, c, d;
            if (k == 0) {
                b = (number_t) { p[quarter].re << TWIDDLE_BITS, p[quarter].im << TWIDDLE_BITS };
                c = (number_t) { p[2 * quarter].re << TWIDDLE_BITS, p[2 * quarter].im << TWIDDLE_BITS };
                d = (number_t) { p[3 * quarter].re << TWIDDLE_BITS, p[3 * quarter].im << TWIDDLE_BITS };
            } else {
                b = turned(p[quarter], t);
                c = turned(p[2 * quarter], t + 3);
                d = turned(p[3 * quarter], t + 6);
                t += 9;
            }
            number_t a = { (p[0].re << TWIDDLE_BITS) + half, (p[0].im << TWIDDLE_BITS) + half };
            number_t e = { a.re + b.re, a.im + b.im }, f = { a.re - b.re, a.im - b.im };
            number_t g = { c.re + d.re, c.im + d.im }, h = { c.re - d.re, c.im - d.im };
            p[0] = (number_t) { (e.re + g.re) >> down, (e.im + g.im) >> down };
            p[quarter] = (number_t) { (f.re + h.im) >> down, (f.im - h.re) >> down };
            p[2 * quarter] = (number_t) { (e.re - g.re) >> down, (e.im - g.im) >> down };
            p[3 * quarter] = (number_t) { (f.re - h.im) >> down, (f.im + h.re) >> down };
        }
    }
}

// a + W b and a - W b, halved
static inline void pair(number_t a, number_t b, const int32_t *t, number_t *sum, number_t *difference) {
    const int32_t half = 1 << TWIDDLE_BITS;
    number_t w = turned(b, t);
    a = (number_t) { (a.re << TWIDDLE_BITS) + half, (a.im << TWIDDLE_BITS) + half };
    *sum = (number_t) { (a.re + w.re) >> (TWIDDLE_BITS + 1), (a.im + w.im) >> (TWIDDLE_BITS + 1) };
    *difference = (number_t) { (a.re - w.re) >> (TWIDDLE_BITS + 1), (a.im - w.im) >> (TWIDDLE_BITS + 1) };
}

static inline uint32_t square(int32_t re, int32_t im) {
    return (uint32_t)re * (uint32_t)re + (uint32_t)im * (uint32_t)im;
}

// |X|^2 of bins k and M - k of the real transform from the same bins of the complex one
static inline void separate(number_t p, number_t q, const int32_t *t, uint32_t *low, uint32_t *high) {
    const int32_t half = 1 << (TWIDDLE_BITS + 1);
    number_t w = turned((number_t) { p.im + q.im, q.re - p.re }, t);
    number_t even = { ((p.re + q.re) << TWIDDLE_BITS) + half, ((p.im - q.im) << TWIDDLE_BITS) + half };
    *low = square((even.re + w.re) >> (TWIDDLE_BITS + 2), (even.im + w.im) >> (TWIDDLE_BITS + 2));
    *high = square((even.re - w.re) >> (TWIDDLE_BITS + 2), (even.im - w.im) >> (TWIDDLE_BITS + 2));
}

// The bins that have no partners: 0, N/2, N/4 and the pair N/8, 3 N/8.
static void last_ends(const number_t *z, size_t points, const int32_t *table, uint32_t *power) {
    size_t half = points / 2;
    const number_t *other = z + half;
    number_t zero = { (z[0].re + other[0].re + 1) >> 1, (z[0].im + other[0].im + 1) >> 1 };
    number_t middle = { (z[0].re - other[0].re + 1) >> 1, (z[0].im - other[0].im + 1) >> 1 };
    int32_t dc = (zero.re + zero.im + 1) >> 1, nyquist = (zero.re - zero.im + 1) >> 1;
    power[0] = square(dc, 0) >> 1;
    power[points] = square(nyquist, 0) >> 1;
    power[half] = square((middle.re + 1) >> 1, (middle.im + 1) >> 1);
    const int32_t *t = table + 6 * (half / 2 - 1);
    number_t p, q;
    pair(z[half / 2], other[half / 2], t, &p, &q);
    separate(p, q, t + 3, &power[half / 2], &power[points - half / 2]);
}

static inline FIELDELM_HOT void last(const number_t *z, size_t points, const int32_t *t, uint32_t *power) {
    size_t half = points / 2;
    const number_t *other = z + half;
    for (size_t k = 1; k < half / 2; ++k, t += 6) {
        // conj Z[M/2 - k] and its partner: W^(M/2 - k) = -conj(W^k)
        number_t p, p_half, q, q_half, a = z[half - k], b = other[half - k];
        pair(z[k], other[k], t, &p, &p_half);
        pair((number_t) { a.re, -a.im }, (number_t) { -b.re, b.im }, t, &q, &q_half);
        q.im = -q.im;
        q_half.im = -q_half.im;
        separate(p, q_half, t + 3, &power[k], &power[points - k]);
        int32_t complement[3] = { t[5] - t[3], -t[4], t[5] }; // a quarter of a turn less k/N: sin and cos change places
        separate(q, p_half, complement, &power[half - k], &power[half + k]);
    }
}

int32_t fieldelm_fixed_power(const int16_t *samples, size_t channel, size_t axes, size_t m, const uint16_t *window,
    const int32_t *table, size_t size, const fieldelm_fixed_stats_t *stats, int32_t *work, uint32_t *power) {
    size_t radix = first_radix(size), points = size / 2;
    // 2^up (x - mean) is within LARGEST; if that leaves x itself too large, the window's shift takes one more
    int32_t rows = (int32_t)m, offset = stats->sum / rows, rest = stats->sum - offset * rows;
    int32_t above = stats->high - offset + 1, below = offset + 1 - stats->low, largest = above > below ? above : below;
    int32_t up = 0, down = radix == 4 ? 16 : 15, scale = 0;
    while (up < 15 && largest << (up + 1) <= LARGEST) {
        ++up;
    }
    scale = up;
    if (largest > LARGEST) {
        ++down;
        scale = -1;
    }
    int32_t mean = offset * (1 << up) + rest * (1 << up) / rows; // |rest 2^up| < 2^30
    // one channel in a row, whole words
    if (axes != 1 || m != size || (uintptr_t)samples % 4 != 0) {
        int16_t *row = (int16_t *)power;
        samples += channel;
        for (size_t i = 0; i < m; ++i, samples += axes) {
            row[i] = *samples;
        }
        for (size_t i = m; i < size; ++i) {
            row[i] = 0;
        }
        samples = row;
    }
    const uint16_t *start = (const uint16_t *)table;
    table += points / radix / 2;
    number_t *z = (number_t *)work;
    if (radix == 4) {
#if defined(FIELDELM_FAST)
        if (FIELDELM_FAST(up < 15 && down == 16)) {
            fieldelm_fast_first4(samples, window, start, work, points, up, mean, down);
        } else
#endif
        {
            first4(samples, window, start, z, points, up, mean, down);
        }
    } else {
        first2(samples, window, start, z, points, up, mean, down);
    }
    for (size_t length = 4 * radix; length <= points / 2; length *= 4) {
#if defined(FIELDELM_FAST)
        fieldelm_fast_radix4(work, points, length, table);
#else
        radix4(z, points, length, table);
#endif
        table += 9 * (length / 4 - 1);
    }
    last_ends(z, points, table, power);
#if defined(FIELDELM_FAST)
    fieldelm_fast_last(work, points, table, power);
#else
    last(z, points, table, power);
#endif
    return scale;
}

int32_t fieldelm_fixed_spectrum(const int16_t *samples, size_t channel, size_t axes, size_t m, const uint16_t *window,
    const int32_t *table, size_t size, fieldelm_fixed_stats_t *stats, int32_t *work, uint32_t *power) {
    if (axes != 1) {
        int16_t *row = (int16_t *)power; // 2 N + 4 bytes, which are free until the last stage
        samples += channel;
        for (size_t i = 0; i < m; ++i, samples += axes) {
            row[i] = *samples;
        }
        samples = row;
    }
    fieldelm_fixed_stats(samples, 0, 1, m, stats);
    return fieldelm_fixed_power(samples, 0, 1, m, window, table, size, stats, work, power);
}

int32_t fieldelm_fixed_log2(uint64_t value) {
    if (value == 0) {
        return 0;
    }
    uint32_t high = (uint32_t)(value >> 32), x = high ? high : (uint32_t)value;
    int32_t bits = 31; // x is shifted until its highest bit is bit 31
#if defined(FIELDELM_ARMV7EM)
    bits -= __builtin_clz(x);
    x <<= 31 - bits;
#else
    if (x >> 16 == 0) {
        x <<= 16;
        bits -= 16;
    }
    if (x >> 24 == 0) {
        x <<= 8;
        bits -= 8;
    }
    if (x >> 28 == 0) {
        x <<= 4;
        bits -= 4;
    }
    if (x >> 30 == 0) {
        x <<= 2;
        bits -= 2;
    }
    if (x >> 31 == 0) {
        x <<= 1;
        bits -= 1;
    }
#endif
    if (high) {
        x |= bits < 31 ? (uint32_t)value >> (bits + 1) : 0;
        bits += 32;
    }
    uint32_t i = x >> 25 & 63, rest = x >> 9 & 0xffff;
    return bits * 65536 + (int32_t)(LOG2[i] + ((LOG2[i + 1] - LOG2[i]) * rest >> 16));
}

void fieldelm_fixed_bands(const uint32_t *power, const uint16_t *edges, uint64_t floor, int32_t gain, int32_t base,
    const int32_t *offset, int32_t *out, size_t n) {
#if defined(FIELDELM_ARMV6M)
    fieldelm_armv6m_bands(power, edges, floor, gain, base, offset, out, n, LOG2);
#else
    const uint32_t *from = power + edges[0];
    for (size_t i = 0; i < n; ++i) {
        const uint32_t *to = power + edges[i + 1];
        uint64_t sum = floor * (uint64_t)(to - from);
        for (; from < to; ++from) {
            sum += *from;
        }
        uint32_t log = (uint32_t)fieldelm_fixed_log2(sum); // below 64 2^16; its product with gain in two parts
        int32_t part = (int32_t)((log & 0xffff) * (uint32_t)gain >> 15);
        out[i] = (int32_t)(log >> 16) * 2 * gain + part + base - offset[i];
    }
#endif
}
