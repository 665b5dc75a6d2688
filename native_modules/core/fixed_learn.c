// The autoencoder in fixed point: recursive least squares, one row at a time.
#include "fixed_parts.h"

#if defined(FIELDELM_FAST)
void fieldelm_fast_weights(int32_t *beta, const int32_t *k, size_t h, const int32_t *e, size_t pairs, int32_t mantissa,
    int32_t down, int32_t direction);
void fieldelm_fast_gain(const int32_t *p, const int32_t *a, size_t h, int64_t *u);
void fieldelm_armv6m_gain_large(const int32_t *p, const int32_t *a, size_t h, int64_t *u);
void fieldelm_fast_downdate(int32_t *p, const int32_t *s, size_t h, int32_t down, int32_t raise);
#endif

static int32_t beta_limit(size_t h) {
    int32_t limit = (int32_t)(2080374783u / (2047 * (uint32_t)h)); // 2^31 - 2^26 - 1
    return (limit > 32766 ? 32766 : limit) << 16;
}

int32_t fieldelm_fixed_largest_beta(model_t m) {
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

// x >> down, 0 <= down < 64, of which the lower word is asked for
static inline int32_t low_word(int64_t x, int32_t down) {
    int32_t high = (int32_t)(x >> 32);
    return down > 31 ? high >> (down - 32) : (int32_t)((uint32_t)x >> down | (uint32_t)high << 1 << (31 - down));
}

// Loops that are functions of their own: with all of the learner's variables around them the compiler runs out of registers.
#define APART __attribute__((noinline))

// s = u 2^-down, rounded, down > 0
static APART void mantissas(const int64_t *u, size_t h, int32_t down, int32_t *s) {
    --down;
    for (const int32_t *end = s + h; s < end; ++s, ++u) {
        *s = (low_word(*u, down) + 1) >> 1;
    }
}

// a's; and the sum of a. Bounds: 64 2047 2^14 < 2^31
static APART int32_t product(const int32_t *a, const int32_t *s, size_t h, int32_t *sum) {
    int32_t a_s = 0, sum_a = 0;
    for (const int32_t *end = a + h; a < end; ++a, ++s) {
        a_s += *a * *s;
        sum_a += *a;
    }
    *sum = sum_a;
    return a_s;
}

// to = ((from factor 2^-15) sigma 2^-16), each product rounded; returns their magnitudes or-ed together. Bounds: |from| <= 2^14,
// |factor|, sigma <= 2^16
static APART int32_t gains(const int32_t *from, size_t h, int32_t factor, int32_t sigma, int32_t *to) {
    int32_t all = 0;
    for (const int32_t *end = from + h; from < end; ++from, ++to) {
        int32_t t = (*from * factor + 0x4000) >> 15; // |t| <= 2^15
        *to = (t * sigma + 0x4000) >> 16;
        all |= *to ^ *to >> 31;
    }
    return all;
}

static APART void scale(int32_t *s, size_t h, int32_t factor) {
    for (const int32_t *end = s + h; s < end; ++s) {
        *s = (*s * factor + 0x4000) >> 15;
    }
}

bool fieldelm_fixed_learn(int32_t *model, int32_t *work) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    fieldelm_fixed_model_t *head = m.head;
    size_t h = m.h;
#if defined(FIELDELM_ARMV7EM)
    fieldelm_fast_gain(m.p, w.a, h, w.u);
#elif defined(FIELDELM_ARMV6M)
    if (h <= 32) { // sums of lower halves: 32 65535 2047 < 2^32
        fieldelm_fast_gain(m.p, w.a, h, w.u);
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
    mantissas(w.u, h, down, w.s);
    int32_t sum_a, a_u = product(w.a, w.s, h, &sum_a); // a'Pa
    if (a_u < 0) {
        return false;
    }
    // d = lambda + a'Pa, 30 binary places, rounded up (sum by half a unit of every u)
    int64_t sum = a_u + sum_a / 2 + 1;
    int64_t d = (int64_t)head->forgetting + 1
        + shifted(sum * (int32_t)((head->sigma >> 15) + 1), down - head->p_bits - 7);
    int32_t d_shift = (int32_t)bits_of((uint64_t)d) - 16;
    uint32_t inverse = 0x80000000u / ((uint32_t)(d >> d_shift) + 1); // 2^15 <= inverse < 2^16
    uint32_t sigma = head->sigma >> 15;
    // gains k = u / d, or -u / d: see `weights`
    int32_t direction = head->rows & 1 ? -1 : 1, largest = gains(w.s, h, direction * (int32_t)inverse, (int32_t)sigma, w.k) + 1;
    if (h & 1) {
        w.k[h] = 0;
    }
    int32_t step = head->p_bits + d_shift - down - 4 - w.head[0] - 5; // of products of mantissas
    // keep beta within its limit: an upper bound is carried on, the true one looked up when that is reached
    for (;;) {
        step = step > 31 ? 31 : step;
        int64_t most = shifted((int64_t)largest * w.head[1], -step) + 1, limit = beta_limit(h);
        if (head->beta_bound + most <= limit) {
            head->beta_bound += (int32_t)most;
            break;
        }
        head->beta_bound = fieldelm_fixed_largest_beta(m);
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
#if defined(FIELDELM_FAST)
    if (FIELDELM_FAST(step > 0)) {
        fieldelm_fast_weights(m.beta, w.k, m.rows, w.e, m.pairs, w.head[0], step, direction);
    } else
#endif
    {
        weights(m.beta, w.k, m.rows, w.e, m.pairs, w.head[0], step, direction);
    }
    // P -= u u' / d = s s'
    uint32_t ratio = sigma * inverse;
    int32_t exponent = -16 - d_shift;
    if (exponent & 1) {
        ratio >>= 1;
        ++exponent;
    }
    scale(w.s, h, (int32_t)fieldelm_fixed_root(ratio)); // |s| <= 2^15
    int32_t p_down = head->p_bits - 8 - exponent - 2 * down;
    // Rounding: P stays positive if the diagonal is raised by h/2 for the elements' own, and by h (2 2^down units of u)^2 sigma / lambda
    // for that of s (docs/reference/kernels.md)
    int64_t raise = shifted((int64_t)h * (int64_t)(head->inverse_forgetting >> 15), 2 * down - head->p_bits - 34);
    raise = (raise < 1 << 28 ? raise : 1 << 28) + (int64_t)h / 2 + 2;
    if (p_down < 31) {
#if defined(FIELDELM_FAST)
        if (FIELDELM_FAST(p_down > 1)) {
            fieldelm_fast_downdate(m.p, w.s, h, p_down, (int32_t)raise);
        } else
#endif
        {
            downdate(m.p, w.s, h, p_down, (int32_t)raise);
        }
    }
    int32_t most = fieldelm_fixed_largest_variance(m);
    fieldelm_fixed_limit(m, most);
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
        fieldelm_fixed_rescale(m, 1);
    } else if (most > P_TOP(h) - P_TOP(h) / 64) {
        fieldelm_fixed_rescale(m, -1);
    }
    ++head->rows;
    return true;
}

bool fieldelm_fixed_step(int32_t *model, int32_t *work, const float *x, float *out) {
    fieldelm_fixed_input(model, work, x);
    fieldelm_fixed_score(model, work, out);
    return fieldelm_fixed_learn(model, work);
}
