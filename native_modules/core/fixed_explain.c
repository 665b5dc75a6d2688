// What explains a row best: the activations most likely behind it, where fixed_score.c takes those that it causes. See fixed.h.
#include "fixed_parts.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off") // the same bits everywhere
#endif

#define LEAST 1e-20f

static float number(int64_t value) {
    float size = fieldelm_fixed_to_float((uint64_t)(value < 0 ? -value : value));
    return value < 0 ? -size : size;
}

// rows P in units of p
static float information(model_t m) {
    return fieldelm_fixed_scaled((float)m.head->sigma, -30 - m.head->p_bits) * (float)(m.head->rows ? m.head->rows : 1);
}

size_t fieldelm_fixed_factor_floats(size_t h) {
    return h * (h + 1) / 2 + h + 1;
}

void fieldelm_fixed_factor(const int32_t *model, float variance, float *factor) {
    model_t m = parts(model);
    int32_t bits = 2 * (m.head->range - m.head->x_bits);
    float prior = variance * information(m);
    float *row = factor;
    uint32_t largest = 1; // of the upper halves of beta
    for (size_t i = 0; i < 2 * m.pairs * m.rows; ++i) {
        int32_t value = m.beta[i] >> 16;
        uint32_t size = (uint32_t)(value < 0 ? -value : value);
        largest = size > largest ? size : largest;
    }
    // with no larger activations no residual leaves its range: x 2^up < 2^26, and a beta may take the rest
    uint32_t most = (0x7fffffffu - (1u << 26)) / ((uint32_t)m.h * largest);
    factor[fieldelm_fixed_factor_floats(m.h) - 1] = (float)(most < 32767 ? most : 32767);
    const int32_t *p = m.p;
    for (size_t j = 0; j < m.h; row += ++j) {
        const float *other = factor;
        for (size_t k = 0; k <= j; other += ++k, ++p) {
            const int32_t *a = m.beta + 2 * j, *b = m.beta + 2 * k;
            int64_t sum = 0;
            for (size_t pair = 0; pair < m.pairs; ++pair, a += 2 * m.rows, b += 2 * m.rows) {
                sum += (int64_t)(a[0] >> 16) * (b[0] >> 16) + (int64_t)(a[1] >> 16) * (b[1] >> 16);
            }
            float value = number(sum) * fieldelm_fixed_power_of_two(bits) + prior * (float)*p;
            for (size_t i = 0; i < k && k < j; ++i) {
                value -= row[i] * other[i]; // what is in the row up to k is L D as yet
            }
            row[k] = value;
        }
        float pivot = row[j], least = pivot * 1e-6f;
        for (size_t k = 0, diagonal = 0; k < j; diagonal += ++k + 1) {
            float l = row[k] * factor[diagonal];
            pivot -= row[k] * l;
            row[k] = l;
        }
        least = least > LEAST ? least : LEAST;
        row[j] = 1.0f / (pivot > least ? pivot : least);
    }
}

void fieldelm_fixed_explain(const int32_t *model, int32_t *work, float *factor, float *out) {
    model_t m = parts(model);
    work_t w = room(work, m.n, m.h);
    float *c = factor + m.h * (m.h + 1) / 2, most = c[m.h];
    float unit = fieldelm_fixed_power_of_two(m.head->range - 2 * m.head->x_bits);
    most = most < 32767.0f ? most : 32767.0f;
    // c = beta x, then L D L' c = that
    const float *row = factor;
    for (size_t j = 0; j < m.h; row += ++j) {
        const int32_t *b = m.beta + 2 * j;
        int64_t sum = 0;
        for (size_t pair = 0; pair < m.pairs; ++pair, b += 2 * m.rows) {
            sum += (int64_t)(b[0] >> 16) * w.x[2 * pair] + (int64_t)(b[1] >> 16) * w.x[2 * pair + 1];
        }
        float value = number(sum) * unit;
        for (size_t i = 0; i < j; ++i) {
            value -= row[i] * c[i];
        }
        c[j] = value;
    }
    for (size_t j = m.h; j-- > 0;) {
        row -= j + 1;
        float value = c[j] * row[j];
        const float *below = row + j + 1 + j;
        for (size_t i = j + 1; i < m.h; below += ++i) {
            value -= *below * c[i];
        }
        c[j] = value;
    }
    for (size_t j = 0; j < m.h; ++j) {
        float value = c[j] * (float)(1 << FIXED_A_BITS);
        value = value < most ? value > -most ? value : -most : most; // NaN: most
        w.k[j] = (int32_t)(value < 0.0f ? value - 0.5f : value + 0.5f);
    }
    if (m.h & 1) {
        w.k[m.h] = 0;
    }
    fieldelm_fixed_fit(model, work, w.k, out);
}

void fieldelm_fixed_predict(const int32_t *model, int32_t *work, float *out) {
    model_t m = parts(model);
    fieldelm_fixed_fit(model, work, room(work, m.n, m.h).a, out);
}
