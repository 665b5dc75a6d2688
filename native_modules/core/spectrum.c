// From raw samples to power spectrum, velocity and bands.
#include "fieldelm_core.h"

void fieldelm_fft_tables(float *twiddle, size_t size, float *window, size_t m) {
    for (size_t k = 0; k < size / 2; ++k) {
        fieldelm_turn((uint32_t)k, (uint32_t)size, &twiddle[2 * k], &twiddle[2 * k + 1]);
    }
    for (size_t i = 0; i < m; ++i) {
        float cosine, sine;
        fieldelm_turn((uint32_t)i, (uint32_t)m, &cosine, &sine);
        window[i] = 0.5f - 0.5f * cosine;
    }
}

// In-place complex transform of `points` (a power of two) pairs, forward, radix 2, decimation in time.
// The twiddle table is that of a transform twice as long.
static void transform(float *z, size_t points, const float *twiddle) {
    for (size_t i = 1, j = 0; i < points; ++i) { // j: i with its bits reversed
        size_t bit = points >> 1;
        for (; j & bit; bit >>= 1) {
            j ^= bit;
        }
        j ^= bit;
        if (i < j) {
            float re = z[2 * i], im = z[2 * i + 1];
            z[2 * i] = z[2 * j];
            z[2 * i + 1] = z[2 * j + 1];
            z[2 * j] = re;
            z[2 * j + 1] = im;
        }
    }
    for (size_t half = 1; half < points; half *= 2) {
        size_t stride = points / half; // 2 points / (2 half)
        for (size_t k = 0; k < half; ++k) {
            float c = twiddle[2 * k * stride], s = twiddle[2 * k * stride + 1];
            for (size_t i = k; i < points; i += 2 * half) {
                float *p = &z[2 * i], *q = &z[2 * (i + half)];
                float re = q[0] * c + q[1] * s, im = q[1] * c - q[0] * s;
                q[0] = p[0] - re;
                q[1] = p[1] - im;
                p[0] += re;
                p[1] += im;
            }
        }
    }
}

// Bins 0 .. size/2 of the real signal z[0 .. size-1], in place (size + 2 floats).
static void real_transform(float *z, size_t size, const float *twiddle) {
    size_t points = size / 2;
    transform(z, points, twiddle);
    float re = z[0], im = z[1];
    z[0] = re + im;
    z[1] = 0.0f;
    z[size] = re - im;
    z[size + 1] = 0.0f;
    for (size_t k = 1; k <= points / 2; ++k) {
        // transforms of the even and of the odd samples from bins k and points - k of the packed ones
        float *p = &z[2 * k], *q = &z[2 * (points - k)];
        float even_re = 0.5f * (p[0] + q[0]), even_im = 0.5f * (p[1] - q[1]);
        float odd_re = 0.5f * (p[1] + q[1]), odd_im = 0.5f * (q[0] - p[0]);
        float c = twiddle[2 * k], s = twiddle[2 * k + 1];
        float turned_re = odd_re * c + odd_im * s, turned_im = odd_im * c - odd_re * s;
        q[0] = even_re - turned_re;
        q[1] = turned_im - even_im;
        p[0] = even_re + turned_re;
        p[1] = even_im + turned_im;
    }
}

void fieldelm_power_spectrum(const int16_t *samples, size_t channel, size_t axes, const float *window, size_t m,
    const float *twiddle, size_t size, float *work, float *power, float *stats) {
    int32_t sum = 0, low = samples[channel], high = low; // |sum| <= 2^30
    uint64_t squares = 0;                                // <= 2^45
    for (size_t i = 0; i < m; ++i) {
        int32_t x = samples[i * axes + channel];
        sum += x;
        squares += (uint32_t)(x * x);
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    // the mean as a whole number and the rest: the former is subtracted exactly, however large it is beside the signal
    int32_t offset = sum / (int32_t)m;
    float rest = (float)(sum - offset * (int32_t)m) / (float)m;
    stats[0] = (float)sum / (float)m;
    stats[1] = (float)(m * squares - (uint64_t)((int64_t)sum * sum)) / ((float)m * (float)m);
    stats[2] = (float)low;
    stats[3] = (float)high;

    float window_energy = 0.0f;
    for (size_t i = 0; i < m; ++i) {
        work[i] = window[i] * ((float)(samples[i * axes + channel] - offset) - rest);
        window_energy += window[i] * window[i];
    }
    for (size_t i = m; i < size; ++i) {
        work[i] = 0.0f;
    }
    real_transform(work, size, twiddle);
    float scale = window_energy > 0.0f ? 1.0f / ((float)size * window_energy) : 0.0f;
    for (size_t k = 0; k <= size / 2; ++k) {
        float re = work[2 * k], im = work[2 * k + 1];
        float both_sides = k == 0 || k == size / 2 ? 1.0f : 2.0f;
        power[k] = both_sides * scale * (re * re + im * im);
    }
}

void fieldelm_accumulate(float *total, const float *power, size_t length) {
    for (size_t i = 0; i < length; ++i) {
        total[i] += power[i];
    }
}

float fieldelm_velocity(const float *power, size_t length, float bin_width, float low, float high, float scale) {
    float sum = 0.0f;
    for (size_t k = 1; k < length; ++k) {
        float frequency = (float)k * bin_width;
        if (frequency >= low && frequency <= high) {
            float factor = scale / (6.28318531f * frequency);
            sum += power[k] * (factor * factor);
        }
    }
    return 1000.0f * fieldelm_sqrt(sum);
}

bool fieldelm_edges_valid(const uint16_t *edges, size_t n, size_t length) {
    for (size_t i = 0; i < n; ++i) {
        if (edges[i] >= edges[i + 1]) {
            return false;
        }
    }
    return edges[n] <= length;
}

void fieldelm_bands(const float *spectrum, const uint16_t *edges, float floor, float gain, float offset, float *out,
    size_t n) {
    for (size_t i = 0; i < n; ++i) {
        float sum = 0.0f;
        for (size_t k = edges[i]; k < edges[i + 1]; ++k) {
            sum += spectrum[k];
        }
        float mean = sum / (float)(edges[i + 1] - edges[i]);
        out[i] = gain * fieldelm_log(mean + floor) + offset;
    }
}
