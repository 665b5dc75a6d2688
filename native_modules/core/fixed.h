// Fixed-point kernels: the arithmetic of fieldelm_core.h for processors without floating point.
//
// Portable C11 without globals, allocation, libm or libc. Shifts of negative numbers are arithmetic, left ones, too, and conversions
// to narrower signed types wrap, as on every compiler this is built with. Where armv6m_*.S or armv7em_*.S has an assembly version
// of a loop, it gives the same bits; the C below is the definition.
//
// docs/explanation/kernels.md tells why the formats are what they are.

#ifndef FIELDELM_FIXED_H
#define FIELDELM_FIXED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Hot loops run from RAM in firmware for the RP2040 (section .time_critical of the pico-sdk): flash may have to be waited for.
// MicroPython compiles for size, which makes them slower by a fifth; memset and memcpy are not there to be called in a native module.
#if defined(PICO_ON_DEVICE) && defined(__ARM_ARCH_6M__)
#define FIELDELM_HOT __attribute__((section(".time_critical.fieldelm")))
#else
#define FIELDELM_HOT
#endif
#if defined(__GNUC__) && !defined(__clang__) && defined(__ARM_ARCH)
#pragma GCC optimize("O2", "no-tree-loop-distribute-patterns")
#endif

// armv6m_*.S and armv7em_*.S; FIELDELM_PORTABLE leaves them out. Loops that both have are called fieldelm_fast_....
#if !defined(FIELDELM_PORTABLE)
#if defined(__ARM_ARCH_6M__)
#define FIELDELM_ARMV6M 1
#define FIELDELM_FAST(armv7em_can) true
#elif defined(__ARM_FEATURE_DSP) && __ARM_ARCH_PROFILE == 'M'
#define FIELDELM_ARMV7EM 1
#define FIELDELM_FAST(armv7em_can) (armv7em_can)
#endif
#endif

// ---- fixed_spectrum.c: int16 samples to power and bands

// Transform sizes: powers of two from FIXED_FFT_MIN to FIXED_FFT_MAX.
#define FIXED_FFT_MIN 64
#define FIXED_FFT_MAX 4096

// Number of 32-bit words of the tables of an N-point transform.
size_t fieldelm_fixed_table_words(size_t size);

// Tables for `size` = N points and m <= N samples. window: N numbers, periodic Hann of m samples in units of 2^-15
// (at most 32767), then zeros.
void fieldelm_fixed_tables(int32_t *table, size_t size, uint16_t *window, size_t m);

// Overall values of one channel of m <= 32768 rows of `axes` interleaved samples.
typedef struct {
    int32_t sum;      // |sum| <= 2^30
    uint64_t squares; // <= 2^45
    int32_t low, high;
} fieldelm_fixed_stats_t;
void fieldelm_fixed_stats(const int16_t *samples, size_t channel, size_t axes, size_t m, fieldelm_fixed_stats_t *stats);

// One-sided power spectrum: power[k], k = 0 .. N/2, in units of (4 N / 3 m) 4^-p counts^2 (`m` long Hann window).
// Returns p, -1 to 15. work: N words. power: N/2 + 1 words.
int32_t fieldelm_fixed_power(const int16_t *samples, size_t channel, size_t axes, size_t m, const uint16_t *window,
    const int32_t *table, size_t size, const fieldelm_fixed_stats_t *stats, int32_t *work, uint32_t *power);

// Both in one.
int32_t fieldelm_fixed_spectrum(const int16_t *samples, size_t channel, size_t axes, size_t m, const uint16_t *window,
    const int32_t *table, size_t size, fieldelm_fixed_stats_t *stats, int32_t *work, uint32_t *power);

// log2(value) in units of 2^-16 for value >= 1; 0 for 0. Absolute error below 4.5e-5.
int32_t fieldelm_fixed_log2(uint64_t value);

// A floor for fieldelm_fixed_bands: below 2^47; 0 for NaN and below 0.
uint64_t fieldelm_fixed_floor(float floor);

// out[i] = gain log2(floor count + sum(power[edges[i]] .. power[edges[i+1] - 1])) + base - offset[i], all in units of 2^-16 but
// gain, 0 to 2^16: 2^-15. floor: per bin, below 2^47, so that no sum of at most 32769 bins reaches 2^63. edges must be valid. out
// may be offset.
void fieldelm_fixed_bands(const uint32_t *power, const uint16_t *edges, uint64_t floor, int32_t gain, int32_t base,
    const int32_t *offset, int32_t *out, size_t n);

// ---- fixed_levels.c: from power to what the learner takes

// mean, variance (population), least and largest of the m <= 32768 samples; the first two are rounded once
void fieldelm_fixed_moments(const fieldelm_fixed_stats_t *stats, size_t m, float *out);

// total 4^-result = total 4^-total_scale + power 4^-scale, in place; returns the result's scale, as large as both allow without
// overflow, off by less than 1.5 of its units. Scales: -2 to 15.
int32_t fieldelm_fixed_add(uint32_t *total, int32_t total_scale, const uint32_t *power, int32_t scale, size_t bins);

// factor sqrt(2^22 4^-scale sum(power[k] / k^2)) over 1 <= from <= k < to <= 2049. Relative error below 3e-4.
float fieldelm_fixed_velocity(const uint32_t *power, int32_t scale, size_t from, size_t to, float factor);

// out[i] = gain ln(4^-scale mean(power[edges[i]] .. power[edges[i+1] - 1]) + floor) + offset - center[i] in steps of 2^-16, error below
// 1e-4; without `center` that is 0. params: floor, gain (0 to 1), offset; an empty mean counts as one unit. edges must be valid.
void fieldelm_fixed_levels(const uint32_t *power, int32_t scale, const uint16_t *edges, const float *params, const float *center,
    float *out, size_t n);

// ---- fixed_model.c, fixed_score.c, fixed_explain.c, fixed_learn.c: the autoencoder

// floor(sqrt(x))
uint32_t fieldelm_fixed_root(uint32_t x);

// 2^exponent, -126 to 127 (below: 0)
float fieldelm_fixed_power_of_two(int32_t exponent);

// value 2^exponent for value >= 0; 0 below 2^-126, and infinite beyond the range. (Without floating point a product is 140 cycles.)
float fieldelm_fixed_scaled(float value, int32_t exponent);

// The value, rounded to 24 bits. (libgcc would do that by way of double precision.)
float fieldelm_fixed_to_float(uint64_t value);

// What a model is made of, one block of words: this header, then beta, P and the scales of the residuals.
typedef struct {
    uint32_t format;       // FIXED_FORMAT
    uint16_t n, h;         // inputs, hidden units
    uint32_t seed;
    uint16_t register_x, register_y; // shift register of the projection, as the seed sets it
    float inverse_n;
    int32_t x_bits;        // an input of 1 is 2^x_bits, 0 <= x_bits <= 15
    int32_t gain, bias;    // of the projection, 12 binary places
    int32_t range;         // beta_ij = (beta[...] - 2^15) 2^(range - 16) in units of the inputs
    int32_t beta_bound;    // |beta[...]| is nowhere larger
    int32_t p_bits;        // P_ij = p[...] 2^-p_bits sigma 2^-30
    uint32_t sigma;        // 2^30 <= sigma < 2^31: forgetting multiplies it
    uint32_t forgetting, inverse_forgetting; // 2^30 lambda, 2^30 / lambda
    int32_t scale_bits;    // sqrt(weight_i) = scale_i 2^-scale_bits
    uint32_t rows;         // learned since P was opened
} fieldelm_fixed_model_t;

#define FIXED_FORMAT 0x31584645u // "EFX1"
#define FIXED_INPUTS_MAX 1024
#define FIXED_HIDDEN_MAX 64
#define FIXED_GAIN_MAX 8192 // 2, with 12 binary places
#define FIXED_A_BITS 11 // an activation of 1 is 2^11

// Places of the parts in words: beta, p, scale (uint16, n of them), and the end.
size_t fieldelm_fixed_beta_at(void);
size_t fieldelm_fixed_p_at(size_t n, size_t h);
size_t fieldelm_fixed_scale_at(size_t n, size_t h);
size_t fieldelm_fixed_model_words(size_t n, size_t h);

// Work of one step in words: residuals (padded to a power of two), inputs, activations, gains.
size_t fieldelm_fixed_work_words(size_t n, size_t h);

// Untrained model: beta 0, P = `variance` I, weights 1, no forgetting. gain, bias_scale: as in fieldelm_hidden.
void fieldelm_fixed_init(int32_t *model, size_t n, size_t h, uint32_t seed, int32_t x_bits, float gain, float bias_scale,
    float variance);

// 0 < lambda <= 1
void fieldelm_fixed_forget(int32_t *model, float lambda);

// P += variance I
void fieldelm_fixed_reopen(int32_t *model, float variance);

// Weights of the squared residuals in the score.
void fieldelm_fixed_weights(int32_t *model, const float *weight);

// x[i] in units of 2^-x_bits, saturated to int16, into the work buffer.
void fieldelm_fixed_input(const int32_t *model, int32_t *work, const float *x);

// The same for x in units of 2^-16.
void fieldelm_fixed_input_bands(const int32_t *model, int32_t *work, const int32_t *x);

// Score of the inputs in the work buffer: out[0] = mean(w e^2), out[1], out[2] = largest w e^2 and its index,
// out[3], out[4] = second largest and its index.
void fieldelm_fixed_score(const int32_t *model, int32_t *work, float *out);

// The same with other weights.
void fieldelm_fixed_rescore(const int32_t *model, const int32_t *work, float *out);

// Words of an explainer.
size_t fieldelm_fixed_explainer_words(size_t h);

// Makes the explainer: the inverse of the triangle L of L L' = beta beta' + variance rows P. `variance` is that of an input about its
// reconstruction. Where the model has changed little since, an earlier explainer will do: at the minimum below, the score depends on
// it in second order only. Of the model its bound of beta is set to what it is.
void fieldelm_fixed_invert(int32_t *model, float variance, int32_t *explainer);

// Score of the inputs in the work buffer by the activations c that explain them best, not those that they cause: c makes
// |x - beta' c|^2 / variance + rows c'Pc least. Residuals and out are those of c.
void fieldelm_fixed_explain(const int32_t *model, int32_t *work, const int32_t *explainer, float *out);

// The activations that the inputs in the work buffer cause, and their residuals, which are those to learn from; no score.
void fieldelm_fixed_predict(const int32_t *model, int32_t *work);

// Learn the row scored (by fieldelm_fixed_score) or predicted last. False, and nothing is changed, if the model's range is exhausted (weights beyond 2^11 times that of
// the inputs).
bool fieldelm_fixed_learn(int32_t *model, int32_t *work);

// Score, then learn: fieldelm_fixed_input, _score and _learn.
bool fieldelm_fixed_step(int32_t *model, int32_t *work, const float *x, float *out);

// Residuals of the row scored last.
void fieldelm_fixed_residuals(const int32_t *model, const int32_t *work, float *e);

// mean((a - b)^2); numbers count in steps of 2^-11 and are cut at +-16. 1 <= n < 2^16
float fieldelm_fixed_square(const float *a, const float *b, size_t n);

// ---- fixed_window.c: from samples to a decision in one call

typedef struct {
    // the window: see fieldelm_fixed_power
    size_t channel, axes, m, size;
    const uint16_t *window;
    const int32_t *table;
    int32_t *work;
    uint32_t *power;
    // its bands: see fieldelm_fixed_bands; floor in counts^2 a bin, base of power in units of 4 N / 3 m counts^2
    const uint16_t *edges;
    float floor;
    int32_t gain, base;
    const int32_t *offset;
    int32_t *bands; // in units of 2^-16; the model's inputs
    // the model
    int32_t *model, *model_work;
    const int32_t *explainer;      // or NULL: score by the activations that a row causes
    float worst_weight;            // score = out[0] + worst_weight out[1] of fieldelm_fixed_score
    float learn_from, learn_below; // the row is learned if its score is from here to less than there
} fieldelm_fixed_plan_t;

// Samples to stats, power, bands and score; learned if the score says so. out: as of fieldelm_fixed_score, then the score.
// Returns whether the row was learned.
bool fieldelm_fixed_window(const int16_t *samples, const fieldelm_fixed_plan_t *plan, fieldelm_fixed_stats_t *stats, float *out);

// The same up to the bands.
void fieldelm_fixed_window_bands(const int16_t *samples, const fieldelm_fixed_plan_t *plan, fieldelm_fixed_stats_t *stats);

#endif
