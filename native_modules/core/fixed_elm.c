// The OS-ELM autoencoder in fixed point: random projection, residuals and score, recursive least squares.
//
// Model: header (fieldelm_fixed_model_t), beta, P, scales. Columns of beta lie in pairs, column 2 p and 2 p + 1 of row j at
// beta[2 (p rows + j)], so that one activation serves two products; n and h are padded to even numbers there, with inputs,
// activations and gains of 0. P is packed as the rows of its lower triangle.
#include "fixed.h"

#define A_BITS FIXED_A_BITS
#define HALF 0x8000 // beta is stored plus half a unit of its upper 16 bits: taking them rounds
#define P_TOP(h) ((h) <= 32 ? 1 << 30 : 1 << 29) // no element of P is larger
#define P_LIMIT 10000
#define RANGE_MAX A_BITS

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

typedef struct {
    uint32_t first, second; // largest squares and their places
    uint32_t first_index, second_index;
} fieldelm_fixed_worst_t;

#if defined(FIELDELM_ARMV6M)
void fieldelm_armv6m_fold(const int16_t *x, size_t n, uint32_t *state, int32_t *sums, size_t size);
void fieldelm_armv6m_walsh_hadamard(int32_t *z, size_t size);
uint64_t fieldelm_armv6m_squares(const int32_t *e, const uint16_t *scale, size_t n, int32_t down, fieldelm_fixed_worst_t *worst);
uint32_t fieldelm_armv6m_residuals(const int16_t *x, size_t pairs, const int32_t *a, size_t h, const int32_t *beta, int32_t *e,
    int32_t up);
void fieldelm_armv6m_weights(int32_t *beta, const int32_t *k, size_t h, const int32_t *e, size_t pairs, int32_t mantissa,
    int32_t down, int32_t direction);
void fieldelm_armv6m_gain(const int32_t *p, const int32_t *a, size_t h, int64_t *u);
void fieldelm_armv6m_gain_large(const int32_t *p, const int32_t *a, size_t h, int64_t *u);
void fieldelm_armv6m_downdate(int32_t *p, const int32_t *s, size_t h, int32_t down, int32_t raise);
#endif

// ---- layout

typedef struct {
    fieldelm_fixed_model_t *head;
    int32_t *beta, *p;
    uint16_t *scale;
    size_t n, h, pairs, rows;
} model_t;

typedef struct {
    int32_t *head; // [shift of the residuals' mantissas, their largest magnitude]
    int32_t *e, *a, *k, *s; // a, k: padded to even
    int64_t *u;
    int16_t *x;
    size_t padded;
} work_t;

static size_t even(size_t count) {
    return count + (count & 1);
}

static size_t padded_size(size_t n, size_t h) {
    size_t size = 64;
    while (size < n || size < h) {
        size *= 2;
    }
    return size;
}

size_t fieldelm_fixed_beta_at(void) {
    return sizeof(fieldelm_fixed_model_t) / 4;
}

size_t fieldelm_fixed_p_at(size_t n, size_t h) {
    return fieldelm_fixed_beta_at() + (n + 1) / 2 * 2 * even(h);
}

size_t fieldelm_fixed_scale_at(size_t n, size_t h) {
    return fieldelm_fixed_p_at(n, h) + h * (h + 1) / 2;
}

size_t fieldelm_fixed_model_words(size_t n, size_t h) {
    return fieldelm_fixed_scale_at(n, h) + (n + 1) / 2;
}

size_t fieldelm_fixed_work_words(size_t n, size_t h) {
    return 2 + 2 * h + padded_size(n, h) + 3 * even(h) + (n + 1) / 2;
}

static model_t parts(const int32_t *words) {
    int32_t *model = (int32_t *)(uintptr_t)words;
    fieldelm_fixed_model_t *head = (fieldelm_fixed_model_t *)model;
    size_t n = head->n, h = head->h;
    model_t m = { head, model + fieldelm_fixed_beta_at(), model + fieldelm_fixed_p_at(n, h),
        (uint16_t *)(model + fieldelm_fixed_scale_at(n, h)), n, h, (n + 1) / 2, even(h) };
    return m;
}

static work_t room(const int32_t *words, size_t n, size_t h) {
    int32_t *at = (int32_t *)(uintptr_t)words;
    work_t w;
    w.padded = padded_size(n, h);
    w.head = at;
    w.u = (int64_t *)(at + 2); // 8-byte aligned if the buffer is
    w.e = at + 2 + 2 * h;
    w.a = w.e + w.padded;
    w.k = w.a + even(h);
    w.s = w.k + even(h);
    w.x = (int16_t *)(w.s + even(h));
    return w;
}

// ---- small numbers

static uint32_t bits_of(uint64_t value) { // 0 for 0
    uint32_t x = (uint32_t)(value >> 32), bits = 32;
    if (x == 0) {
        x = (uint32_t)value;
        bits = 0;
    }
    for (uint32_t step = 16; step > 0; step /= 2) {
        if (x >> step) {
            x >>= step;
            bits += step;
        }
    }
    return bits + x;
}

uint32_t fieldelm_fixed_root(uint32_t x) {
    uint32_t result = 0;
    for (uint32_t bit = 1u << 30; bit > 0; bit >>= 2) {
        if (x >= result + bit) {
            x -= result + bit;
            result = (result >> 1) + bit;
        } else {
            result >>= 1;
        }
    }
    return result;
}

static int64_t shifted(int64_t x, int32_t left) {
    return left >= 0 ? x * ((int64_t)1 << (left > 62 ? 62 : left)) : x >> (left < -63 ? 63 : -left);
}

float fieldelm_fixed_power_of_two(int32_t exponent) {
    union {
        uint32_t bits;
        float number;
    } value = { .bits = exponent < -126 ? 0 : (uint32_t)(exponent + 127) << 23 };
    return value.number;
}

float fieldelm_fixed_to_float(uint64_t value) {
    int32_t down = (int32_t)bits_of(value) - 24;
    if (down <= 0) {
        return (float)(uint32_t)value;
    }
    return (float)(uint32_t)((value + ((uint64_t)1 << (down - 1))) >> down) * fieldelm_fixed_power_of_two(down);
}

static int32_t rounded(float x) { // within +-2^30
    return (int32_t)(x < 0.0f ? x - 0.5f : x + 0.5f);
}

// ---- model

// The shift register of fieldelm_core.h.
static inline uint32_t next(uint32_t *x, uint32_t *y) {
    uint32_t t = (*x ^ *x << 5) & 0xffff;
    *x = *y;
    *y = *y ^ *y >> 1 ^ t ^ t >> 3;
    return *y;
}

void fieldelm_fixed_init(int32_t *model, size_t n, size_t h, uint32_t seed, int32_t x_bits, float gain, float bias_scale,
    float variance) {
    fieldelm_fixed_model_t head = { FIXED_FORMAT, (uint16_t)n, (uint16_t)h, seed, 0, 0, 0.0f, x_bits, rounded(gain * 4096.0f),
        rounded(bias_scale * 4096.0f), 0, HALF, 0, 1u << 30, 1u << 30, 1u << 30, 0, 0 };
    uint32_t x = (seed >> 16) ^ 0x9e37, y = (seed & 0xffff) ^ 0x79b9;
    if (x == 0 && y == 0) {
        y = 1; // the only state that never changes
    }
    for (int i = 0; i < 32; ++i) {
        next(&x, &y);
    }
    head.register_x = (uint16_t)x;
    head.register_y = (uint16_t)y;
    head.inverse_n = 1.0f / (float)(uint32_t)n;
    *(fieldelm_fixed_model_t *)model = head;
    model_t m = parts(model);
    for (size_t i = 0; i < 2 * m.pairs * m.rows; ++i) {
        m.beta[i] = HALF;
    }
    for (size_t i = 0; i < h * (h + 1) / 2; ++i) {
        m.p[i] = 0;
    }
    m.head->p_bits = 60; // nothing yet: any scale will do
    fieldelm_fixed_reopen(model, variance);
    for (size_t i = 0; i < 2 * m.pairs; ++i) {
        m.scale[i] = 1 << 14;
    }
    m.head->scale_bits = 14;
}

void fieldelm_fixed_forget(int32_t *model, float lambda) {
    fieldelm_fixed_model_t *head = (fieldelm_fixed_model_t *)model;
    head->forgetting = (uint32_t)(1073741824.0f * lambda);
    head->inverse_forgetting = (uint32_t)(1073741824.0f / lambda);
}

// P's numbers times 2^shift (negative: rounded, and the diagonal raised so that P stays positive)
static void rescale_p(model_t m, int32_t shift) {
    int32_t *element = m.p;
    for (size_t i = 0; i < m.h; ++i) {
        for (size_t j = 0; j <= i; ++j, ++element) {
            *element = shift >= 0 ? *element * (1 << shift) : (*element >> (-shift - 1)) / 2 + ((*element >> (-shift - 1)) & 1);
        }
        if (shift < 0) {
            element[-1] += (int32_t)m.h / 2 + 1;
        }
    }
    m.head->p_bits += shift;
}

static int32_t largest_variance(model_t m) {
    int32_t largest = 0;
    const int32_t *diagonal = m.p;
    for (size_t i = 0; i < m.h; diagonal += i + 2, ++i) {
        largest = *diagonal > largest ? *diagonal : largest;
    }
    return largest;
}

void fieldelm_fixed_reopen(int32_t *model, float variance) {
    model_t m = parts(model);
    float ratio = variance / ((float)m.head->sigma * fieldelm_fixed_power_of_two(-30));
    for (;;) {
        float add = m.head->p_bits > 100 ? 2e9f : ratio * fieldelm_fixed_power_of_two(m.head->p_bits);
        int32_t largest = largest_variance(m);
        if (add + (float)largest < 0.9f * (float)P_TOP(m.h)) {
            for (size_t i = 0, at = 0; i < m.h; at += i + 2, ++i) {
                m.p[at] += (int32_t)add;
            }
            return;
        }
        rescale_p(m, -1);
    }
}

void fieldelm_fixed_weights(int32_t *model, const float *weight) {
    model_t m = parts(model);
    float largest = 0.0f;
    for (size_t i = 0; i < m.n; ++i) {
        largest = weight[i] > largest ? weight[i] : largest;
    }
    int32_t bits = 0; // the largest scale has 15 bits
    float limit = 1073741823.0f; // 2^30, as a square
    while (bits < 40 && largest * fieldelm_fixed_power_of_two(2 * bits + 2) < limit) {
        ++bits;
    }
    while (bits > -40 && largest * fieldelm_fixed_power_of_two(2 * bits) >= limit) {
        --bits;
    }
    for (size_t i = 0; i < m.n; ++i) {
        m.scale[i] = (uint16_t)fieldelm_fixed_root(weight[i] > 0.0f ? (uint32_t)(weight[i] * fieldelm_fixed_power_of_two(2 * bits)) : 0);
    }
    m.head->scale_bits = bits;
}

// ---- score

// Numbers times 2^bits, rounded, within +-32767; NaN becomes one of these.
static FIELDELM_HOT void to_fixed(const uint32_t *from, size_t n, int32_t bits, int16_t *to) {
    int32_t places = 149 - bits; // less the exponent: how far the mantissa is shifted, but for one bit that rounds
    for (const uint32_t *end = from + n; from < end; ++from, ++to) {
        int32_t number = (int32_t)*from, down = places - (int32_t)(*from << 1 >> 24), value = 0;
        if (down < 25) {
            value = 32767;
            if (down > 7) {
                uint32_t mantissa = ((uint32_t)number << 8 | 0x80000000u) >> 8;
                int32_t rounded = (int32_t)((mantissa >> down) + 1) >> 1;
                value = rounded < value ? rounded : value;
            }
            int32_t sign = number >> 31;
            value = (value ^ sign) - sign;
        }
        *to = (int16_t)value;
    }
}

void fieldelm_fixed_input(const int32_t *model, int32_t *work, const float *x) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    to_fixed((const uint32_t *)x, m.n, m.head->x_bits, w.x); // bits of float32, wherever the compiler puts floats
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

// sums[i mod size] += x[i] or -x[i], by bits of the shift register: 16 to a word, the lowest first, 1 for +
static inline FIELDELM_HOT void fold(const int16_t *x, size_t n, uint32_t *state, int32_t *sums, size_t size) {
    uint32_t signs = 0;
    for (size_t i = 0; i < n; ++i, signs >>= 1) {
        if (i % 16 == 0) {
            signs = next(&state[0], &state[1]);
        }
        sums[i & (size - 1)] += signs & 1 ? x[i] : -x[i];
    }
}

// a_j = sigmoid(gain sum_i(s_ij x_i) + bias b_j), s_ij = d_i H(r(j), i mod size): d random signs, H the Walsh-Hadamard matrix, of
// which `size` is a power of two, at least 64 and 2 h, and of which row r(j) = j (2 floor(size / 2h) + 1) mod size is used (an odd
// stride meets no row twice). Every row of s is as random as d, and any two are orthogonal where n is a multiple of size.
// N. Ailon, B. Chazelle, SIAM J. Comput. 39(1), 2009, use the same random signs and transform.
// Bounds: |x| < 2^15, 1024 of them: sums below 2^25. They are cut where the sigmoid is flat, at |argument| = 8.
static FIELDELM_HOT void project(model_t m, work_t w) {
    uint32_t state[2] = { m.head->register_x, m.head->register_y };
    size_t size = w.padded;
    while (size > 64 && size >= 4 * m.h) {
        size /= 2;
    }
    for (int32_t *e = w.e; e < w.e + size; e += 8) { // size is a multiple of 64
        e[0] = e[1] = e[2] = e[3] = e[4] = e[5] = e[6] = e[7] = 0;
    }
#if defined(FIELDELM_ARMV6M)
    fieldelm_armv6m_fold(w.x, m.n, state, w.e, size);
    fieldelm_armv6m_walsh_hadamard(w.e, size);
#else
    fold(w.x, m.n, state, w.e, size);
    walsh_hadamard(w.e, size);
#endif
    int32_t gain = m.head->gain, down = m.head->x_bits, limit = (int32_t)((8u << (down + 12)) / (uint32_t)gain);
    size_t stride = size / (2 * m.h) * 2 + 1, row = 0;
    for (size_t j = 0; j < m.h; ++j, row = (row + stride) & (size - 1)) {
        int32_t sum = w.e[row];
        sum = sum > limit ? limit : sum < -limit ? -limit : sum;
        int32_t bias = (((int32_t)next(&state[0], &state[1]) - 32768) * m.head->bias) >> 15;
        int32_t z = ((sum * gain) >> down) + bias; // 12 binary places
        int32_t distance = z < 0 ? -z : z;
        distance = distance > 32767 ? 32767 : distance;
        int32_t low = SIGMOID[distance >> 8], value = low + (((SIGMOID[(distance >> 8) + 1] - low) * (distance & 255)) >> 8);
        w.a[j] = ((z < 0 ? 65536 - value : value) + 16) >> 5; // 1 .. 2047
    }
    if (m.h & 1) {
        w.a[m.h] = 0;
    }
}

// e = x 2^up - sum(a beta's upper half); returns the residuals' magnitudes or-ed together.
// Bounds: up <= 11, |x| < 2^15; h 2047 |beta / 2^16| < 2^31 - 2^26 as beta_limit sees to, so |e| < 2^31.
static inline FIELDELM_HOT uint32_t residuals(const int16_t *x, size_t pairs, const int32_t *a, size_t h, const int32_t *beta, int32_t *e,
    int32_t up) {
    int32_t all = 0;
    for (size_t p = 0; p < pairs; ++p, x += 2, e += 2) {
        int32_t even = x[0] * (1 << up), odd = x[1] * (1 << up);
        for (size_t j = 0; j < h; ++j, beta += 2) {
            even -= a[j] * (beta[0] >> 16);
            odd -= a[j] * (beta[1] >> 16);
        }
        e[0] = even;
        e[1] = odd;
        all |= (even ^ even >> 31) | (odd ^ odd >> 31);
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

void fieldelm_fixed_rescore(const int32_t *model, const int32_t *work, float *out) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    int32_t down = w.head[0];
    fieldelm_fixed_worst_t worst;
    worst.first = worst.second = worst.first_index = worst.second_index = 0;
#if defined(FIELDELM_ARMV6M)
    uint64_t sum = fieldelm_armv6m_squares(w.e, m.scale, m.n, down, &worst);
#else
    uint64_t sum = squares(w.e, m.scale, m.n, down, &worst);
#endif
    if (worst.second == 0) { // of equal values the first counts
        worst.second_index = worst.first_index == 0 && m.n > 1 ? 1 : 0;
    }
    // of a residual: e 2^-(x_bits + A_BITS - range)
    float unit = fieldelm_fixed_power_of_two(2 * (down + 14 - m.head->scale_bits - m.head->x_bits - A_BITS + m.head->range));
    out[0] = fieldelm_fixed_to_float(sum) * unit * m.head->inverse_n;
    out[1] = (float)worst.first * unit;
    out[2] = (float)worst.first_index;
    out[3] = (float)worst.second * unit;
    out[4] = (float)worst.second_index;
}

void fieldelm_fixed_score(const int32_t *model, int32_t *work, float *out) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    project(m, w);
    int32_t up = A_BITS - m.head->range;
#if defined(FIELDELM_ARMV6M)
    uint32_t all = fieldelm_armv6m_residuals(w.x, m.pairs, w.a, m.rows, m.beta, w.e, up);
#else
    uint32_t all = residuals(w.x, m.pairs, w.a, m.rows, m.beta, w.e, up);
#endif
    uint32_t bits = bits_of(all);
    w.head[0] = bits > 15 ? (int32_t)bits - 15 : 0;
    w.head[1] = (int32_t)(all >> w.head[0]) + 1;
    fieldelm_fixed_rescore(model, work, out);
}

void fieldelm_fixed_residuals(const int32_t *model, const int32_t *work, float *e) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    float unit = fieldelm_fixed_power_of_two(m.head->range - m.head->x_bits - A_BITS);
    for (size_t i = 0; i < m.n; ++i) {
        e[i] = (float)w.e[i] * unit;
    }
}

// ---- learn

static int32_t beta_limit(size_t h) {
    int32_t limit = (int32_t)(2080374783u / (2047 * (uint32_t)h)); // 2^31 - 2^26 - 1
    return (limit > 32766 ? 32766 : limit) << 16;
}

static int32_t largest_beta(model_t m) {
    int32_t all = 0;
    for (size_t i = 0; i < 2 * m.pairs * m.rows; ++i) {
        all |= m.beta[i] ^ m.beta[i] >> 31;
    }
    return all;
}

// beta += or -= k (e >> mantissa) >> down. Direction 1 rounds down, -1 up: in turn, so that no bias adds up over the years.
static inline FIELDELM_HOT void weights(int32_t *beta, const int32_t *k, size_t h, const int32_t *e, size_t pairs, int32_t mantissa,
    int32_t down, int32_t direction) {
    for (size_t p = 0; p < pairs; ++p, e += 2) {
        int32_t even = e[0] >> mantissa, odd = e[1] >> mantissa;
        for (size_t j = 0; j < h; ++j, beta += 2) {
            beta[0] += direction * ((k[j] * even) >> down);
            beta[1] += direction * ((k[j] * odd) >> down);
        }
    }
}

// u = P a. Bounds: |P| <= P_TOP <= 2^30, a <= 2047, h <= 64: |u| < 2^47; for h up to 32 sums of upper halves times a are below 2^31.
static inline FIELDELM_HOT void gain(const int32_t *p, const int32_t *a, size_t h, int64_t *u) {
    for (size_t i = 0; i < h; ++i) {
        int64_t sum = 0;
        for (size_t j = 0; j < i; ++j, ++p) {
            sum += (int64_t)*p * a[j];
            u[j] += (int64_t)*p * a[i];
        }
        u[i] = sum + (int64_t)*p++ * a[i];
    }
}

// P -= s s' 2^-down, rounded, then P += raise I
static inline FIELDELM_HOT void downdate(int32_t *p, const int32_t *s, size_t h, int32_t down, int32_t raise) {
    int32_t up = down < 0 ? -down : 0, half = down > 0 ? 1 << (down - 1) : 0;
    down = down > 0 ? down : 0;
    for (size_t i = 0; i < h; ++i) {
        int32_t si = s[i] * (1 << up);
        for (size_t j = 0; j <= i; ++j) {
            *p++ -= (si * s[j] + half) >> down;
        }
        p[-1] += raise;
    }
}

bool fieldelm_fixed_learn(int32_t *model, int32_t *work) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    fieldelm_fixed_model_t *head = m.head;
    size_t h = m.h;
#if defined(FIELDELM_ARMV6M)
    if (h <= 32) { // sums of lower halves: 32 65535 2047 < 2^32
        fieldelm_armv6m_gain(m.p, w.a, h, w.u);
    } else { // of lower 15 bits: 64 32767 2047 < 2^32; of upper ones: 64 2^14 2047 < 2^31
        fieldelm_armv6m_gain_large(m.p, w.a, h, w.u);
    }
#else
    gain(m.p, w.a, h, w.u);
#endif
    // mantissas of u, |u| 2^up < 2^15
    uint64_t all = 0;
    for (size_t i = 0; i < h; ++i) {
        all |= (uint64_t)(w.u[i] ^ w.u[i] >> 63);
    }
    int32_t down = (int32_t)bits_of(all) - 14; // one bit in reserve for rounding
    down = down < 1 ? 1 : down;
    int64_t sum = 0;                 // of a u: a'Pa
    uint32_t sum_a = 0;
    for (size_t i = 0; i < h; ++i) {
        int32_t u = (int32_t)((w.u[i] + ((int64_t)1 << (down - 1))) >> down), a = w.a[i];
        w.s[i] = u;
        sum += a * u;
        sum_a += (uint32_t)a;
    }
    if (sum < 0) {
        return false;
    }
    // d = lambda + a'Pa, 30 binary places, rounded up (sum by half a unit of every u)
    sum += sum_a / 2 + 1;
    int64_t d = (int64_t)head->forgetting + 1
        + shifted(sum * (int32_t)((head->sigma >> 15) + 1), down - head->p_bits - 7);
    int32_t d_shift = (int32_t)bits_of((uint64_t)d) - 16;
    uint32_t inverse = 0x80000000u / ((uint32_t)(d >> d_shift) + 1); // 2^15 <= inverse < 2^16
    uint32_t sigma = head->sigma >> 15;
    // gains k = u / d, or -u / d: see `weights`
    int32_t direction = head->rows & 1 ? -1 : 1, factor_k = direction * (int32_t)inverse, largest = 0;
    for (size_t j = 0; j < h; ++j) {
        int32_t t = (w.s[j] * factor_k + 0x4000) >> 15; // |u| <= 2^14, so |t| <= 2^15
        w.k[j] = (t * (int32_t)sigma + 0x4000) >> 16;
        largest |= w.k[j] ^ w.k[j] >> 31;
    }
    if (h & 1) {
        w.k[h] = 0;
    }
    ++largest;
    int32_t step = head->p_bits + d_shift - down - 4 - w.head[0] - 5; // of products of mantissas
    // keep beta within its limit: an upper bound is carried on, the true one looked up when that is reached
    for (;;) {
        step = step > 31 ? 31 : step;
        int64_t most = shifted((int64_t)largest * w.head[1], -step) + 1, limit = beta_limit(h);
        if (head->beta_bound + most <= limit) {
            head->beta_bound += (int32_t)most;
            break;
        }
        head->beta_bound = largest_beta(m);
        if (head->beta_bound + most <= limit) {
            head->beta_bound += (int32_t)most;
            break;
        }
        if (head->range == RANGE_MAX) {
            return false;
        }
        for (size_t i = 0; i < 2 * m.pairs * m.rows; ++i) {
            m.beta[i] = ((m.beta[i] - HALF) >> 1) + HALF;
        }
        ++head->range;
        ++step;
        head->beta_bound = head->beta_bound / 2 + HALF;
    }
    for (; step < 0; ++step) { // products stay below beta's limit
        for (size_t j = 0; j < h; ++j) {
            w.k[j] *= 2;
        }
    }
#if defined(FIELDELM_ARMV6M)
    fieldelm_armv6m_weights(m.beta, w.k, m.rows, w.e, m.pairs, w.head[0], step, direction);
#else
    weights(m.beta, w.k, m.rows, w.e, m.pairs, w.head[0], step, direction);
#endif
    // P -= u u' / d = s s'
    uint32_t ratio = sigma * inverse;
    int32_t exponent = -16 - d_shift;
    if (exponent & 1) {
        ratio >>= 1;
        ++exponent;
    }
    int32_t factor = (int32_t)fieldelm_fixed_root(ratio);
    for (size_t j = 0; j < h; ++j) {
        w.s[j] = (w.s[j] * factor + 0x4000) >> 15; // |s| <= 2^15
    }
    int32_t p_down = head->p_bits - 8 - exponent - 2 * down;
    // Rounding: P stays positive if the diagonal is raised by h/2 for the elements' own, and by h (2 2^down units of u)^2 sigma / lambda
    // for that of s (docs/explanation/kernels.md)
    int64_t raise = shifted((int64_t)h * (int64_t)(head->inverse_forgetting >> 15), 2 * down - head->p_bits - 34);
    raise = (raise < 1 << 28 ? raise : 1 << 28) + (int64_t)h / 2 + 2;
    if (p_down < 31) {
#if defined(FIELDELM_ARMV6M)
        fieldelm_armv6m_downdate(m.p, w.s, h, p_down, (int32_t)raise);
#else
        downdate(m.p, w.s, h, p_down, (int32_t)raise);
#endif
    }
    int32_t most = largest_variance(m);
    // forgetting: P / lambda, unless P would grow beyond its limit
    if (head->inverse_forgetting > 1u << 30) {
        uint64_t grown = (uint64_t)head->sigma * head->inverse_forgetting >> 30;
        if (shifted((int64_t)((uint64_t)most * (grown >> 16)), -head->p_bits) <= (int64_t)P_LIMIT << 14) {
            head->sigma = (uint32_t)grown;
            if (head->sigma >> 31) {
                head->sigma >>= 1;
                --head->p_bits;
            }
        }
    }
    if (most < P_TOP(h) / 2 && head->p_bits < 60) {
        rescale_p(m, 1);
    } else if (most > P_TOP(h) - P_TOP(h) / 64) {
        rescale_p(m, -1);
    }
    ++head->rows;
    return true;
}

bool fieldelm_fixed_step(int32_t *model, int32_t *work, const float *x, float *out) {
    fieldelm_fixed_input(model, work, x);
    fieldelm_fixed_score(model, work, out);
    return fieldelm_fixed_learn(model, work);
}
