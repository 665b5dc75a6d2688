// The OS-ELM autoencoder: hidden layer from a shift register, residuals, score, one sequential update.
#include "fieldelm_core.h"

fieldelm_register_t fieldelm_register(uint32_t seed) {
    fieldelm_register_t state = { (uint16_t)(seed >> 16) ^ 0x9e37, (uint16_t)seed ^ 0x79b9 };
    if (state.x == 0 && state.y == 0) {
        state.y = 1; // the only state that never changes
    }
    for (int i = 0; i < 32; ++i) {
        fieldelm_register_next(&state);
    }
    return state;
}

uint16_t fieldelm_register_next(fieldelm_register_t *state) {
    uint16_t t = (uint16_t)(state->x ^ (state->x << 5));
    state->x = state->y;
    state->y = (uint16_t)(state->y ^ (state->y >> 1) ^ t ^ (t >> 3));
    return state->y;
}

void fieldelm_hidden(const float *x, size_t n, uint32_t seed, float gain, float bias_scale, float *a, size_t h) {
    fieldelm_register_t state = fieldelm_register(seed);
    for (size_t j = 0; j < h; ++j) {
        float bias = (float)((int32_t)fieldelm_register_next(&state) - 32768) * (bias_scale / 32768.0f);
        float sum = 0.0f;
        uint16_t signs = 0;
        for (size_t i = 0; i < n; ++i, signs >>= 1) {
            if (i % 16 == 0) {
                signs = fieldelm_register_next(&state);
            }
            sum += signs & 1 ? x[i] : -x[i];
        }
        float z = gain * sum + bias;
        z = z > 30.0f ? 30.0f : z < -30.0f ? -30.0f : z;
        a[j] = 1.0f / (1.0f + fieldelm_exp(-z));
    }
}

void fieldelm_residuals(const float *x, size_t n, const float *a, size_t h, const float *beta, float *e) {
    for (size_t i = 0; i < n; ++i) {
        e[i] = x[i];
    }
    for (size_t j = 0; j < h; ++j, beta += n) {
        for (size_t i = 0; i < n; ++i) {
            e[i] -= a[j] * beta[i];
        }
    }
}

void fieldelm_score(const float *e, const float *weight, size_t n, float *out) {
    float sum = 0.0f, first = -1.0f, second = -1.0f;
    size_t first_index = 0, second_index = 0;
    for (size_t i = 0; i < n; ++i) {
        float value = weight[i] * e[i] * e[i];
        sum += value;
        if (value > first) {
            second = first;
            second_index = first_index;
            first = value;
            first_index = i;
        } else if (value > second) {
            second = value;
            second_index = i;
        }
    }
    out[0] = sum / (float)n;
    out[1] = first < 0.0f ? 0.0f : first;
    out[2] = (float)first_index;
    out[3] = second < 0.0f ? 0.0f : second;
    out[4] = (float)second_index;
}

bool fieldelm_update(float *p, float *beta, const float *a, size_t h, const float *e, size_t n, float lambda, float *u) {
    // u = P a, each stored element used for both of its places
    const float *row = p;
    for (size_t i = 0; i < h; row += ++i) { // row i has i + 1 elements
        float sum = 0.0f;
        for (size_t j = 0; j < i; ++j) {
            sum += row[j] * a[j];
            u[j] += row[j] * a[i];
        }
        u[i] = sum + row[i] * a[i];
    }
    float d = lambda;
    for (size_t i = 0; i < h; ++i) {
        d += a[i] * u[i];
    }
    bool sound = d > 0.0f && d <= 1e15f; // false for NaN
    for (size_t i = 0; i < n; ++i) {
        sound = sound && e[i] >= -1e15f && e[i] <= 1e15f;
    }
    if (!sound) {
        return false;
    }
    // forgetting pauses where it would inflate P beyond what binary32 can carry beside its smallest eigenvalues
    float largest = 0.0f;
    row = p;
    for (size_t i = 0; i < h; row += ++i) {
        float variance = row[i] - u[i] / d * u[i];
        largest = variance > largest ? variance : largest;
    }
    float divisor = largest > FIELDELM_P_LIMIT * lambda ? 1.0f : lambda;
    float *element = p;
    for (size_t i = 0; i < h; ++i, beta += n) {
        float k = u[i] / d;
        for (size_t j = 0; j <= i; ++j, ++element) {
            *element = (*element - k * u[j]) / divisor;
        }
        for (size_t j = 0; j < n; ++j) {
            beta[j] += k * e[j];
        }
    }
    return true;
}
