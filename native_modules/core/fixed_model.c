// A model of the autoencoder in fixed point: its sizes, its start, what may be changed in it from outside.
#include "fixed_parts.h"

size_t fieldelm_fixed_beta_at(void) {
    return sizeof(fieldelm_fixed_model_t) / 4;
}

size_t fieldelm_fixed_p_at(size_t n, size_t h) {
    return p_place(n, h);
}

size_t fieldelm_fixed_scale_at(size_t n, size_t h) {
    return scale_place(n, h);
}

size_t fieldelm_fixed_model_words(size_t n, size_t h) {
    return scale_place(n, h) + (n + 1) / 2;
}

size_t fieldelm_fixed_work_words(size_t n, size_t h) {
    return 2 + 2 * h + padded_size(n, h) + 3 * even(h) + (n + 1) / 2;
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

float fieldelm_fixed_power_of_two(int32_t exponent) {
    union {
        uint32_t bits;
        float number;
    } value = { .bits = exponent < -126 ? 0 : (uint32_t)(exponent + 127) << 23 };
    return value.number;
}

float fieldelm_fixed_scaled(float value, int32_t exponent) {
    union {
        float number;
        uint32_t bits;
    } made = { .number = value };
    exponent += (int32_t)(made.bits >> 23);
    if (made.bits >> 23 == 0 || exponent < 1) {
        return 0.0f;
    }
    made.bits = exponent > 254 ? 255u << 23 : (made.bits & 0x7fffff) | (uint32_t)exponent << 23;
    return made.number;
}

float fieldelm_fixed_to_float(uint64_t value) {
    int32_t down = (int32_t)bits_of(value) - 24;
    if (down <= 0) {
        return (float)(uint32_t)value;
    }
    return fieldelm_fixed_scaled((float)(uint32_t)((value + ((uint64_t)1 << (down - 1))) >> down), down);
}

static int32_t rounded(float x) { // within +-2^30
    return (int32_t)(x < 0.0f ? x - 0.5f : x + 0.5f);
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

void fieldelm_fixed_rescale(model_t m, int32_t shift) {
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

int32_t fieldelm_fixed_largest_variance(model_t m) {
    int32_t largest = 0;
    const int32_t *diagonal = m.p;
    for (size_t i = 0; i < m.h; diagonal += i + 2, ++i) {
        largest = *diagonal > largest ? *diagonal : largest;
    }
    return largest;
}

void fieldelm_fixed_limit(model_t m, int32_t largest) {
    while (m.head->p_bits < 31 && (m.head->p_bits < 0 || largest >> m.head->p_bits > P_LIMIT)) {
        ++m.head->p_bits;
    }
}

void fieldelm_fixed_reopen(int32_t *model, float variance) {
    model_t m = parts(model);
    m.head->rows &= 1; // what was learned before counts for little now; the learner rounds every other row the other way
    float ratio = variance / ((float)m.head->sigma * fieldelm_fixed_power_of_two(-30));
    for (;;) {
        float add = m.head->p_bits > 100 ? 2e9f : ratio * fieldelm_fixed_power_of_two(m.head->p_bits);
        int32_t largest = fieldelm_fixed_largest_variance(m);
        if (add + (float)largest < 0.9f * (float)P_TOP(m.h)) {
            for (size_t i = 0, at = 0; i < m.h; at += i + 2, ++i) {
                m.p[at] += (int32_t)add;
            }
            fieldelm_fixed_limit(m, fieldelm_fixed_largest_variance(m));
            return;
        }
        fieldelm_fixed_rescale(m, -1);
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
