// The autoencoder in fixed point: random projection, residuals and score of a row.
#include "fixed_parts.h"

// sigmoid(i / 16) in units of 2^-16
static const uint16_t SIGMOID[129] = {
    32768, 33792, 34813, 35831, 36843, 37847, 38841, 39824, 40793, 41748, 42687, 43608,
    44511, 45393, 46254, 47094, 47911, 48704, 49474, 50220, 50941, 51638, 52310, 52957,
    53581, 54179, 54754, 55306, 55834, 56339, 56822, 57284, 57724, 58144, 58544, 58925,
    59287, 59632, 59959, 60270, 60565, 60844, 61109, 61360, 61598, 61823, 62036, 62238,
    62428, 62608, 62778, 62938, 63090, 63233, 63368, 63495, 63615, 63728, 63835, 63935,
    64030, 64119, 64203, 64283, 64357, 64427, 64494, 64556, 64614, 64669, 64721, 64770,
    64816, 64859, 64900, 64938, 64974, 65008, 65039, 65069, 65097, 65124, 65149, 65172,
    65194, 65215, 65234, 65252, 65269, 65285, 65300, 65315, 65328, 65341, 65352, 65364,
    65374, 65384, 65393, 65402, 65410, 65417, 65425, 65431, 65438, 65444, 65449, 65454,
    65459, 65464, 65468, 65472, 65476, 65480, 65483, 65486, 65489, 65492, 65495, 65497,
    65500, 65502, 65504, 65506, 65508, 65509, 65511, 65513, 65514,
};

#define SQUARE_BITS 11

typedef struct {
    uint32_t first, second; // largest squares and their places
    uint32_t first_index, second_index;
} fieldelm_fixed_worst_t;

typedef struct {
    int32_t gain, bias, down, limit;
    uint32_t stride, mask;
    const uint16_t *sigmoid;
} layer_t;

#if defined(FIELDELM_ARMV6M)
void fieldelm_armv6m_activations(const int32_t *sums, const layer_t *layer, uint32_t *state, int32_t *a, size_t h);
void fieldelm_armv6m_to_fixed(const uint32_t *from, size_t n, int32_t bits, int16_t *to);
void fieldelm_armv6m_walsh_hadamard(int32_t *z, size_t size);
uint64_t fieldelm_armv6m_squares(const int32_t *e, const uint16_t *scale, size_t n, int32_t down, fieldelm_fixed_worst_t *worst);
#endif
#if defined(FIELDELM_FAST)
void fieldelm_fast_fold(const int16_t *x, size_t n, uint32_t *state, int32_t *sums, size_t size);
uint32_t fieldelm_fast_residuals(const int16_t *x, size_t pairs, const int32_t *a, size_t h, const int32_t *beta, int32_t *e,
    int32_t up);
#endif

// float32 times 2^(149 - places), rounded, within +-32767; NaN becomes one of these.
static inline int32_t number(uint32_t bits, int32_t places) {
    int32_t down = places - (int32_t)(bits << 1 >> 24), value = 0; // how far the mantissa is shifted, but for one bit that rounds
    if (down < 25) {
        value = 32767;
        if (down > 7) {
            int32_t rounded = (int32_t)(((bits << 8 | 0x80000000u) >> 8 >> down) + 1) >> 1;
            value = rounded < value ? rounded : value;
        }
    }
    int32_t sign = (int32_t)bits >> 31;
    return (value ^ sign) - sign;
}

// Numbers times 2^bits.
static inline FIELDELM_HOT void to_fixed(const uint32_t *from, size_t n, int32_t bits, int16_t *to) {
    for (const uint32_t *end = from + n; from < end; ++from, ++to) {
        *to = (int16_t)number(*from, 149 - bits);
    }
}

float fieldelm_fixed_square(const float *a, const float *b, size_t n) {
    const uint32_t *from = (const uint32_t *)a, *other = (const uint32_t *)b;
    uint64_t sum = 0;
    for (const uint32_t *end = from + n; from < end; ++from, ++other) {
        int32_t d = number(*from, 149 - SQUARE_BITS) - number(*other, 149 - SQUARE_BITS);
        sum += (uint32_t)d * (uint32_t)d; // |d| < 2^16
    }
    return fieldelm_fixed_scaled(fieldelm_fixed_to_float(sum), -2 * SQUARE_BITS) / (float)(uint32_t)n;
}

void fieldelm_fixed_input(const int32_t *model, int32_t *work, const float *x) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    const uint32_t *bits = (const uint32_t *)x; // of float32, wherever the compiler puts floats
#if defined(FIELDELM_ARMV6M)
    fieldelm_armv6m_to_fixed(bits, m.n, m.head->x_bits, w.x);
#else
    to_fixed(bits, m.n, m.head->x_bits, w.x);
#endif
    if (m.n & 1) {
        w.x[m.n] = 0;
    }
}

void fieldelm_fixed_input_bands(const int32_t *model, int32_t *work, const int32_t *x) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    int32_t down = 15 - m.head->x_bits; // one less than what is to be shifted away
    for (size_t i = 0; i < m.n; ++i) {
        int32_t value = ((x[i] >> down) + 1) >> 1;
        w.x[i] = (int16_t)(value > 32767 ? 32767 : value < -32767 ? -32767 : value);
    }
    if (m.n & 1) {
        w.x[m.n] = 0;
    }
}

// Fast Walsh-Hadamard transform in place, radix 4 and, if the size is no power of four, one stage of radix 2.
static inline FIELDELM_HOT void walsh_hadamard(int32_t *z, size_t size) {
    size_t quarter = 1;
    for (; 4 * quarter <= size; quarter *= 4) {
        for (size_t group = 0; group < size; group += 4 * quarter) {
            for (int32_t *p = z + group; p < z + group + quarter; ++p) {
                int32_t a = p[0], b = p[quarter], c = p[2 * quarter], d = p[3 * quarter];
                int32_t e = a + b, f = a - b, g = c + d, i = c - d;
                p[0] = e + g;
                p[quarter] = f + i;
                p[2 * quarter] = e - g;
                p[3 * quarter] = f - i;
            }
        }
    }
    if (quarter < size) {
        for (int32_t *p = z; p < z + quarter; ++p) {
            int32_t a = p[0], b = p[quarter];
            p[0] = a + b;
            p[quarter] = a - b;
        }
    }
}

// sums[i mod size] = sums of x[i] or -x[i], by bits of the shift register: 16 to a word, the lowest first, 1 for +
static inline FIELDELM_HOT void fold(const int16_t *x, size_t n, uint32_t *state, int32_t *sums, size_t size) {
    uint32_t signs = 0;
    for (size_t i = 0; i < size; ++i) {
        sums[i] = 0;
    }
    for (size_t i = 0; i < n; ++i, signs >>= 1) {
        if (i % 16 == 0) {
            signs = next(&state[0], &state[1]);
        }
        sums[i & (size - 1)] += signs & 1 ? x[i] : -x[i];
    }
}

// a_j = sigmoid of sums that lie `stride` apart
static inline FIELDELM_HOT void activations(const int32_t *sums, const layer_t *layer, uint32_t *state, int32_t *a, size_t h) {
    uint32_t row = 0;
    for (size_t j = 0; j < h; ++j, row = (row + layer->stride) & layer->mask) {
        int32_t sum = sums[row];
        sum = sum > layer->limit ? layer->limit : sum < -layer->limit ? -layer->limit : sum;
        int32_t bias = (((int32_t)next(&state[0], &state[1]) - 32768) * layer->bias) >> 15;
        int32_t z = ((sum * layer->gain) >> layer->down) + bias; // 12 binary places
        int32_t distance = z < 0 ? -z : z;
        distance = distance > 32767 ? 32767 : distance;
        const uint16_t *at = layer->sigmoid + (distance >> 8);
        int32_t value = at[0] + (((at[1] - at[0]) * (distance & 255)) >> 8);
        a[j] = ((z < 0 ? 65536 - value : value) + 16) >> 5; // 1 .. 2047
    }
}

// a_j = sigmoid(gain sum_i(s_ij x_i) + bias b_j), s_ij = d_i H(r(j), i mod size): d random signs, H the Walsh-Hadamard matrix, of
// which `size` is a power of two, at least 64 and 2 h, and of which row r(j) = j (2 floor(size / 2h) + 1) mod size is used (an odd
// stride meets no row twice). Every row of s is as random as d, and any two are orthogonal where n is a multiple of size.
// N. Ailon, B. Chazelle, SIAM J. Comput. 39(1), 2009, use the same random signs and transform.
// Bounds: |x| < 2^15, 1024 of them: sums below 2^25. They are cut where the sigmoid is flat, at |argument| = 8.
static FIELDELM_HOT void project(const model_t *m, const work_t *w) {
    uint32_t state[2] = { m->head->register_x, m->head->register_y };
    size_t size = w->padded;
    while (size > 64 && size >= 4 * m->h) {
        size /= 2;
    }
#if defined(FIELDELM_FAST)
    fieldelm_fast_fold(w->x, m->n, state, w->e, size);
#else
    fold(w->x, m->n, state, w->e, size);
#endif
#if defined(FIELDELM_ARMV6M)
    fieldelm_armv6m_walsh_hadamard(w->e, size);
#else
    walsh_hadamard(w->e, size);
#endif
    layer_t layer = { m->head->gain, m->head->bias, m->head->x_bits, (int32_t)((8u << (m->head->x_bits + 12)) / (uint32_t)m->head->gain),
        (uint32_t)(size / (2 * m->h) * 2 + 1), (uint32_t)(size - 1), SIGMOID };
#if defined(FIELDELM_ARMV6M)
    fieldelm_armv6m_activations(w->e, &layer, state, w->a, m->h);
#else
    activations(w->e, &layer, state, w->a, m->h);
#endif
    if (m->h & 1) {
        w->a[m->h] = 0;
    }
}

// e = x 2^up - sum(a beta's upper half); returns the residuals' magnitudes or-ed together.
// Bounds: up <= 11, |x| < 2^15; h 2047 |beta / 2^16| < 2^31 - 2^26 as beta_limit sees to, so |e| < 2^31.
static inline FIELDELM_HOT uint32_t residuals(const int16_t *x, size_t pairs, const int32_t *a, size_t h, const int32_t *beta, int32_t *e,
    int32_t up) {
    int32_t all = 0;
    for (size_t p = 0; p < pairs; ++p, x += 2, e += 2) {
        uint32_t even = (uint32_t)(x[0] * (1 << up)), odd = (uint32_t)(x[1] * (1 << up)); // what a damaged model makes wraps around
        for (size_t j = 0; j < h; ++j, beta += 2) {
            even -= (uint32_t)(a[j] * (beta[0] >> 16));
            odd -= (uint32_t)(a[j] * (beta[1] >> 16));
        }
        e[0] = (int32_t)even;
        e[1] = (int32_t)odd;
        all |= (e[0] ^ e[0] >> 31) | (e[1] ^ e[1] >> 31);
    }
    return (uint32_t)all;
}

// Sum of r^2, r = (e 2^-down) scale 2^-14, and the two largest; worst starts as zeros.
// Bounds: |e 2^-down| < 2^15, scale < 2^15: |r| <= 2^16 - 2.
static inline FIELDELM_HOT uint64_t squares(const int32_t *e, const uint16_t *scale, size_t n, int32_t down,
    fieldelm_fixed_worst_t *worst) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; ++i) {
        int32_t r = ((e[i] >> down) * scale[i]) >> 14;
        uint32_t value = (uint32_t)r * (uint32_t)r;
        sum += value;
        if (value > worst->second) {
            if (value > worst->first) {
                worst->second = worst->first;
                worst->second_index = worst->first_index;
                worst->first = value;
                worst->first_index = (uint32_t)i;
            } else {
                worst->second = value;
                worst->second_index = (uint32_t)i;
            }
        }
    }
    return sum;
}

void fieldelm_fixed_sum(const model_t *m, const work_t *w, float *out) {
    int32_t down = w->head[0];
    fieldelm_fixed_worst_t worst;
    worst.first = worst.second = worst.first_index = worst.second_index = 0;
#if defined(FIELDELM_ARMV6M)
    uint64_t sum = fieldelm_armv6m_squares(w->e, m->scale, m->n, down, &worst);
#else
    uint64_t sum = squares(w->e, m->scale, m->n, down, &worst);
#endif
    if (worst.second == 0) { // of equal values the first counts
        worst.second_index = worst.first_index == 0 && m->n > 1 ? 1 : 0;
    }
    // of a residual: e 2^-(x_bits + A_BITS - range)
    int32_t unit = 2 * (down + 14 - m->head->scale_bits - m->head->x_bits - A_BITS + m->head->range);
    out[0] = fieldelm_fixed_scaled(fieldelm_fixed_to_float(sum), unit) * m->head->inverse_n;
    out[1] = fieldelm_fixed_scaled((float)worst.first, unit);
    out[2] = (float)worst.first_index;
    out[3] = fieldelm_fixed_scaled((float)worst.second, unit);
    out[4] = (float)worst.second_index;
}

void fieldelm_fixed_rescore(const int32_t *model, const int32_t *work, float *out) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    fieldelm_fixed_sum(&m, &w, out);
}

uint32_t fieldelm_fixed_fit(const model_t *m, const work_t *w, const int32_t *a, int32_t up) {
#if defined(FIELDELM_FAST)
    return fieldelm_fast_residuals(w->x, m->pairs, a, m->rows, m->beta, w->e, up);
#else
    return residuals(w->x, m->pairs, a, m->rows, m->beta, w->e, up);
#endif
}

void fieldelm_fixed_mantissas(const work_t *w, uint32_t all) {
    uint32_t bits = bits_of(all);
    w->head[0] = bits > 15 ? (int32_t)bits - 15 : 0;
    w->head[1] = (int32_t)(all >> w->head[0]) + 1;
}

static void predict(const model_t *m, const work_t *w) {
    project(m, w);
    fieldelm_fixed_mantissas(w, fieldelm_fixed_fit(m, w, w->a, A_BITS - m->head->range));
}

void fieldelm_fixed_predict(const int32_t *model, int32_t *work) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    predict(&m, &w);
}

void fieldelm_fixed_score(const int32_t *model, int32_t *work, float *out) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    predict(&m, &w);
    fieldelm_fixed_sum(&m, &w, out);
}

void fieldelm_fixed_residuals(const int32_t *model, const int32_t *work, float *e) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    float unit = fieldelm_fixed_power_of_two(m.head->range - m.head->x_bits - A_BITS);
    for (size_t i = 0; i < m.n; ++i) {
        e[i] = (float)w.e[i] * unit;
    }
}
