// Kernels of the node: from raw samples to bands, and one step of the OS-ELM autoencoder.
//
// Portable C11. No globals, no allocation, no libm, no libc: every kernel is a pure function on the caller's buffers,
// and the lengths are the caller's promise (the binding checks them). Number format: IEEE 754 binary32 throughout,
// int16 samples, uint16 bin indices. Buffers of one call must not overlap unless said otherwise.
// n: inputs (bands), h: hidden units. Matrices are row-major.
//
// docs/reference/kernels.md has the equations with their sources and the errors measured against float64.

#ifndef FIELDELM_CORE_H
#define FIELDELM_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---- maths.c: what libm would give

// e^x. Relative error below 1.5e-7 for |x| <= 87; x is limited to that range; NaN gives NaN.
float fieldelm_exp(float x);

// Natural logarithm. Absolute error below 1e-7 + 1e-7 |ln x|. x below 2^-100, zero and negative numbers count as
// 2^-100; +infinity and NaN are returned as they are.
float fieldelm_log(float x);

// Square root. Relative error below 1.5e-7 for normal numbers; zero and negative numbers give 0, +infinity and NaN are
// returned as they are.
float fieldelm_sqrt(float x);

// Cosine and sine of i/n of a full turn, i < n <= 2^28. Absolute error below 1e-7; exact at the quarter turns.
void fieldelm_turn(uint32_t i, uint32_t n, float *cosine, float *sine);

// ---- spectrum.c: from raw samples to bands

// Tables for an N-point transform, N a power of two from 4 to 32768, of m <= N samples:
// twiddle[2k], twiddle[2k+1] = cos, sin of 2 pi k / N for k < N/2 (N floats in all);
// window[i] = (1 - cos(2 pi i / m)) / 2, the periodic Hann window.
void fieldelm_fft_tables(float *twiddle, size_t size, float *window, size_t m);

// One-sided power spectrum of one channel of interleaved samples, in counts^2.
// samples: m rows of `axes` counts, of which column `channel` is used; the mean is removed, the window applied, zeros are
// appended up to N = `size`. work: N + 2 floats, holds the N/2 + 1 complex bins afterwards. power: N/2 + 1 floats, whose
// sum is sum((w (x - mean))^2) / sum(w^2). stats: mean, variance (population), minimum, maximum of the raw samples; mean
// and variance are computed in integers and rounded once.
// Bounds: any int16 samples and m <= N <= 32768; no intermediate result exceeds 2^63 or float range.
void fieldelm_power_spectrum(const int16_t *samples, size_t channel, size_t axes, const float *window, size_t m,
    const float *twiddle, size_t size, float *work, float *power, float *stats);

// total[i] += power[i]
void fieldelm_accumulate(float *total, const float *power, size_t length);

// RMS velocity in mm/s of a power spectrum of acceleration: sqrt(sum(power[k] (scale / (2 pi f_k))^2)) * 1000 over the
// bins k >= 1 with low <= f_k = k * bin_width <= high (Hz). scale: m/s^2 per count.
float fieldelm_velocity(const float *power, size_t length, float bin_width, float low, float high, float scale);

// True if the n + 1 edges rise strictly and none is above `length`.
bool fieldelm_edges_valid(const uint16_t *edges, size_t n, size_t length);

// out[i] = gain * ln(mean(spectrum[edges[i]] .. spectrum[edges[i+1] - 1]) + floor) + offset; edges must be valid.
void fieldelm_bands(const float *spectrum, const uint16_t *edges, float floor, float gain, float offset, float *out,
    size_t n);

// ---- elm.c: the autoencoder

// Shift register that the hidden layer is drawn from (see docs/reference/kernels.md): two 16-bit words, period 2^32 - 1.
typedef struct {
    uint16_t x, y;
} fieldelm_register_t;

fieldelm_register_t fieldelm_register(uint32_t seed);
uint16_t fieldelm_register_next(fieldelm_register_t *state);

// a[j] = sigmoid(gain * sum_i(s_ij x[i]) + bias_scale * b_j), s_ij = +1 or -1 and b_j in [-1, 1) from the shift register.
// The sigmoid's argument is limited to -30 .. 30.
void fieldelm_hidden(const float *x, size_t n, uint32_t seed, float gain, float bias_scale, float *a, size_t h);

// e = x - a^T beta, beta h x n. e may be x itself.
void fieldelm_residuals(const float *x, size_t n, const float *a, size_t h, const float *beta, float *e);

// out = mean(w e^2), largest w e^2, its index, second largest, its index. Of equal values the first counts as larger;
// the second is 0 at index 0 if n is 1. Indices are exact up to n = 2^24.
void fieldelm_score(const float *e, const float *weight, size_t n, float *out);

// One step of recursive least squares with forgetting factor 0 < lambda <= 1:
//   u = P a;  d = lambda + a^T u;  k = u / d;  beta += k e^T;  P = (P - k u^T) / lambda
// p: lower triangle of the symmetric P by rows, p[i (i + 1) / 2 + j] for j <= i; beta h x n; u: h floats of work.
// Returns false, and leaves p and beta as they were, if d is not positive, or if d or an element of e is not a number or
// beyond 1e15. Where dividing by lambda would take an element of P's diagonal above FIELDELM_P_LIMIT, this step does not
// divide: inputs that excite only some directions for long would otherwise inflate P in the others without bound.
#define FIELDELM_P_LIMIT 1e4f
bool fieldelm_update(float *p, float *beta, const float *a, size_t h, const float *e, size_t n, float lambda, float *u);

#endif
