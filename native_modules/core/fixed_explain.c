// What explains a row best: the activations c most likely behind it, where fixed_score.c takes those that it causes. See fixed.h.
//
//     G c = beta x,  G = beta beta' + variance rows P = L L',  so  y = W beta x,  c = W' y  with the triangle W = L^-1
//
// W and not the inverse W'W, as its condition is the root of that one's and rounding counts for little: W beta has a norm of at most
// 1. What rounds x off by dx so changes a residual by at most |dx|, and what rounds y off by dy by at most |dy|; |y| <= |x|.
// Explainer: the exponent f of the first word, then W by rows, w in the upper half of a word: W_ij = w_ij 2^-(f + more_i), with
// more_i in the lower half of the row's last word. All bounds hold whatever the words are.
#include "fixed_parts.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off") // the same bits everywhere
#endif

#define LEAST 1e-20f
#define PRODUCT_BITS 5 // that sums of 64 products of 15 bits each are shifted by: 64 2^30 2^-5 = 2^31
#define MORE_MAX 26
#define F_MAX 100

#if defined(FIELDELM_FAST)
void fieldelm_fast_onto(const int32_t *x, size_t pairs, const int32_t *beta, size_t h, int32_t *b);
void fieldelm_fast_solve(const int32_t *w, const int32_t *b, size_t h, int32_t down, int32_t *c);
#endif

typedef union {
    int32_t word;
    float number;
} element_t;

static float number(int64_t value) {
    float size = fieldelm_fixed_to_float((uint64_t)(value < 0 ? -value : value));
    return value < 0 ? -size : size;
}

static inline int32_t limited(int32_t value, int32_t most) {
    return value > most ? most : value < -most ? -most : value;
}

// 1 / sqrt(x), 1e-20 <= x < 2^100
static float inverse_root(float x) {
    int32_t up = 0; // x 4^up is within 2^28 and 2^30
    float scaled = x;
    for (; scaled < 268435456.0f; ++up) {
        scaled *= 4.0f;
    }
    for (; scaled >= 1073741824.0f; --up) {
        scaled *= 0.25f;
    }
    float root = (float)fieldelm_fixed_root((uint32_t)scaled);
    root = 0.5f * (root + scaled / root);
    return fieldelm_fixed_scaled(1.0f / root, up);
}

size_t fieldelm_fixed_explainer_words(size_t h) {
    return h * (h + 1) / 2 + 1;
}

// Product of two rows of beta's upper halves, which are above -2^15. Sums of halves of products: 512 2^16
static int64_t product(const model_t *m, const int32_t *a, const int32_t *b) {
    size_t step = 2 * m->rows;
    uint32_t low = 0;
    int32_t high = 0;
    for (const int32_t *end = a + m->pairs * step; a < end; a += step, b += step) {
        int32_t sum = (int32_t)((uint32_t)((a[0] >> 16) * (b[0] >> 16)) + (uint32_t)((a[1] >> 16) * (b[1] >> 16)));
        low += (uint32_t)sum & 0xffff;
        high += sum >> 16;
    }
    return (int64_t)high * 65536 + low;
}

void fieldelm_fixed_invert(int32_t *model, float variance, int32_t *explainer) {
    model_t m = parts(model);
    int32_t bits = 2 * (m.head->range - m.head->x_bits);
    // variance rows P in units of p
    float rows = (float)(m.head->rows ? m.head->rows : 1);
    float prior = variance * (fieldelm_fixed_scaled((float)m.head->sigma, -30 - m.head->p_bits) * rows);
    m.head->beta_bound = fieldelm_fixed_largest_beta(m);
    // Row by row: those above it are W already. g is a row of G, z = W g one of L; then W's row is -z'W / pivot, 1 / pivot.
    element_t *first = (element_t *)(explainer + 1), *row = first;
    const int32_t *p = m.p;
    for (size_t j = 0; j < m.h; row += ++j) {
        for (size_t k = 0; k <= j; ++k, ++p) {
            float g = number(product(&m, m.beta + 2 * j, m.beta + 2 * k)) * fieldelm_fixed_power_of_two(bits);
            row[k].number = g + prior * (float)*p;
        }
        float pivot = row[j].number, least = pivot * 1e-6f;
        const element_t *above = row;
        for (size_t k = j; k-- > 0;) {
            above -= k + 1;
            float z = 0.0f;
            for (size_t i = 0; i <= k; ++i) {
                z += above[i].number * row[i].number;
            }
            row[k].number = z;
            pivot -= z * z;
        }
        least = least > LEAST ? least : LEAST;
        float inverse = inverse_root(pivot > least ? pivot : least); // NaN: least
        for (size_t k = 0; k < j; ++k) {
            float sum = 0.0f;
            const element_t *below = first + k * (k + 1) / 2;
            for (size_t i = k; i < j; below += ++i) {
                sum -= row[i].number * below[k].number;
            }
            row[k].number = sum * inverse;
        }
        row[j].number = inverse;
    }
    // exponents: a row's largest number fills 15 bits
    int32_t least_exponent = F_MAX;
    row = first;
    for (size_t j = 0; j < m.h; row += ++j) {
        int32_t exponent = 15 + 127;
        for (size_t k = 0; k <= j; ++k) {
            int32_t other = 15 + 126 - (int32_t)((uint32_t)row[k].word << 1 >> 24); // |number| 2^other is below 2^15
            exponent = other < exponent ? other : exponent;
        }
        exponent = limited(exponent, F_MAX);
        float unit = fieldelm_fixed_power_of_two(exponent);
        for (size_t k = 0; k <= j; ++k) {
            float w = row[k].number * unit;
            w = w < 32767.0f ? w > -32767.0f ? w : -32767.0f : 32767.0f; // NaN: 32767
            row[k].word = (int32_t)(w < 0.0f ? w - 0.5f : w + 0.5f) * 65536;
        }
        row[j].word += exponent + F_MAX; // until the least one is known
        least_exponent = exponent < least_exponent ? exponent : least_exponent;
    }
    explainer[0] = least_exponent;
    row = first;
    for (size_t j = 0; j < m.h; row += ++j) {
        int32_t more = (row[j].word & 0xffff) - F_MAX - least_exponent;
        row[j].word = (row[j].word & -65536) | (more < MORE_MAX ? more : MORE_MAX);
    }
}

// b = beta's upper halves times x. Bounds: as fixed_explain shifts x, |b| < 2^30 + 2^24; what a damaged model makes wraps around.
static inline FIELDELM_HOT void onto(const int32_t *x, size_t pairs, const int32_t *beta, size_t h, int32_t *b) {
    for (size_t j = 0; j < h; ++j, beta += 2) {
        uint32_t sum = 0;
        for (size_t pair = 0; pair < pairs; ++pair) {
            const int32_t *weight = beta + 2 * pair * h;
            sum += (uint32_t)((weight[0] >> 16) * x[2 * pair]) + (uint32_t)((weight[1] >> 16) * x[2 * pair + 1]);
        }
        b[j] = (int32_t)sum;
    }
}

// y = W b 2^-down, down > 0, rounded, within 15 bits, and c = W' y. Bounds: |w| <= 2^15, |b| < 2^15, |y| < 2^15, h <= 64 and PRODUCT_BITS: sums below 2^31
static inline FIELDELM_HOT void solve(const int32_t *w, const int32_t *b, size_t h, int32_t down, int32_t *c) {
    for (size_t i = 0; i < h; w += ++i) {
        int32_t sum = 0, more = w[i] & 31;
        for (size_t j = 0; j <= i; ++j) {
            sum += ((w[j] >> 16) * b[j]) >> PRODUCT_BITS;
        }
        int32_t shift = down + more - 1;
        int32_t y = limited(((sum >> (shift > 31 ? 31 : shift)) + 1) >> 1, 32767);
        shift = more > 31 - PRODUCT_BITS ? 31 : PRODUCT_BITS + more;
        c[i] = (int32_t)(h - i) / 2; // of as many roundings down
        for (size_t j = 0; j <= i; ++j) {
            c[j] += ((w[j] >> 16) * y) >> shift;
        }
    }
}

// x 2^-down, rounded, within +-most < 2^16
static __attribute__((noinline)) void place(int32_t *x, size_t count, int32_t down, int32_t most) {
    int32_t *end = x + count;
    if (down > 0) {
        for (down = down > 31 ? 31 : down - 1; x < end; ++x) {
            *x = limited(((*x >> down) + 1) >> 1, most);
        }
    } else {
        down = down < -15 ? -15 : down;
        for (; x < end; ++x) {
            *x = limited(limited(*x, 1 << 15) * (1 << -down), most);
        }
    }
}

static inline uint32_t magnitudes(const int32_t *x, size_t count) {
    int32_t all = 0;
    for (const int32_t *end = x + count; x < end; ++x) {
        all |= *x ^ *x >> 31;
    }
    return (uint32_t)all;
}

void fieldelm_fixed_explain(const int32_t *model, int32_t *work, const int32_t *explainer, float *out) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    // |x|^2 < 2^size, in units of 2^-x_bits
    uint32_t squares = (uint32_t)m.n;
    const int16_t *from = w.x;
    for (int32_t *to = w.e, *end = to + 2 * m.pairs; to < end; ++to) {
        int32_t x = *from++;
        squares += (uint32_t)(x * x) >> 10; // 1024 2^20
        *to = x;
    }
    int32_t size = (int32_t)bits_of(squares) + 10;
    // |b_j| <= sqrt(n) |x| largest beta: x is shifted until that is below 2^30; its rounding adds n / 2 2^15 at most
    uint32_t largest = (uint32_t)(m.head->beta_bound >> 16 & 0x7fff) + 1;
    int32_t down = (size + (int32_t)bits_of(m.n - 1) + 1) / 2 + (int32_t)bits_of(largest) - 30;
    down = down > 0 ? down : 0;
    if (down > 0) {
        place(w.e, 2 * m.pairs, down, 32767);
    }
#if defined(FIELDELM_FAST)
    fieldelm_fast_onto(w.e, m.pairs, m.beta, m.rows, w.s);
#else
    onto(w.e, m.pairs, m.beta, m.rows, w.s);
#endif
    int32_t b_down = (int32_t)bits_of(magnitudes(w.s, m.h)) - 15;
    b_down = b_down > 0 ? b_down : 0;
    if (b_down > 0) {
        place(w.s, m.h, b_down, 32767);
    }
    // y in units of 2^-y_bits; |y| <= |x|, of which there is one bit in reserve
    int32_t f = limited(explainer[0], F_MAX), x_bits = m.head->x_bits, range = m.head->range;
    int32_t y_bits = 14 - (size + 1) / 2 + x_bits;
    int32_t y_down = f - PRODUCT_BITS - b_down - down - range + 2 * x_bits - y_bits;
    if (y_down < 1) {
        y_bits += y_down - 1;
        y_down = 1;
    }
#if defined(FIELDELM_FAST)
    fieldelm_fast_solve(explainer + 1, w.s, m.h, y_down, w.k);
#else
    solve(explainer + 1, w.s, m.h, y_down, w.k);
#endif
    // c in units of 2^-(A_BITS - less): below 2^spare, and h 2^spare largest <= 2^30, x 2^up < 2^26: no residual leaves its range
    int32_t c_down = f + y_bits - PRODUCT_BITS - A_BITS, up = A_BITS - range, less = 0;
    int32_t spare = 30 - (int32_t)bits_of((uint32_t)m.h * largest);
    spare = spare < 15 ? spare : 15;
    int32_t over = (int32_t)bits_of(magnitudes(w.k, m.h)) - c_down - spare;
    if (over > 0) {
        less = over < up ? over : up;
    }
    place(w.k, m.h, c_down + less, (1 << spare) - 1);
    if (m.h & 1) {
        w.k[m.h] = 0;
    }
    uint32_t all = fieldelm_fixed_fit(&m, &w, w.k, up - less);
    if (less) {
        for (size_t i = 0; i < m.n; ++i) {
            w.e[i] = limited(w.e[i], INT32_MAX >> less) * (1 << less);
        }
        all = magnitudes(w.e, m.n);
    }
    fieldelm_fixed_mantissas(&w, all);
    fieldelm_fixed_sum(&m, &w, out);
}
