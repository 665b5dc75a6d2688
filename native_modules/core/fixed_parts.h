// What the parts of the autoencoder share: where the numbers of a model and of its work lie, and small helpers.
//
// Model: header (fieldelm_fixed_model_t), beta, P, scales. Columns of beta lie in pairs, column 2 p and 2 p + 1 of row j at
// beta[2 (p rows + j)], so that one activation serves two products; n and h are padded to even numbers there, with inputs,
// activations and gains of 0. P is packed as the rows of its lower triangle.

#ifndef FIELDELM_FIXED_PARTS_H
#define FIELDELM_FIXED_PARTS_H

#include "fixed.h"

#define A_BITS FIXED_A_BITS
#define HALF 0x8000 // beta is stored plus half a unit of its upper 16 bits: taking them rounds
#define P_TOP(h) ((h) <= 32 ? 1 << 30 : 1 << 29) // no element of P is larger
#define P_LIMIT 10000
#define RANGE_MAX A_BITS

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

static inline size_t even(size_t count) {
    return count + (count & 1);
}

static inline size_t padded_size(size_t n, size_t h) {
    size_t size = 64;
    while (size < n || size < h) {
        size *= 2;
    }
    return size;
}

// Words before P, and before the scales.
static inline size_t p_place(size_t n, size_t h) {
    return sizeof(fieldelm_fixed_model_t) / 4 + even(n) * even(h);
}

static inline size_t scale_place(size_t n, size_t h) {
    return p_place(n, h) + h * (h + 1) / 2;
}

static inline model_t parts(const int32_t *words) {
    int32_t *model = (int32_t *)(uintptr_t)words;
    fieldelm_fixed_model_t *head = (fieldelm_fixed_model_t *)model;
    size_t n = head->n, h = head->h;
    model_t m = { head, model + sizeof(fieldelm_fixed_model_t) / 4, model + p_place(n, h),
        (uint16_t *)(model + scale_place(n, h)), n, h, (n + 1) / 2, even(h) };
    return m;
}

static inline work_t room(const int32_t *words, size_t n, size_t h) {
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

static inline uint32_t bits_of(uint64_t value) { // 0 for 0
    uint32_t x = (uint32_t)(value >> 32), bits = 32;
    if (x == 0) {
        x = (uint32_t)value;
        bits = 0;
    }
#if defined(FIELDELM_ARMV7EM)
    return x ? bits + 32 - (uint32_t)__builtin_clz(x) : 0;
#else
    for (uint32_t step = 16; step > 0; step /= 2) {
        if (x >> step) {
            x >>= step;
            bits += step;
        }
    }
    return bits + x;
#endif
}

static inline int64_t shifted(int64_t x, int32_t left) {
    return left >= 0 ? x * ((int64_t)1 << (left > 62 ? 62 : left)) : x >> (left < -63 ? 63 : -left);
}

// The shift register of fieldelm_core.h.
static inline uint32_t next(uint32_t *x, uint32_t *y) {
    uint32_t t = (*x ^ *x << 5) & 0xffff;
    *x = *y;
    *y = *y ^ *y >> 1 ^ t ^ t >> 3;
    return *y;
}

// P's numbers times 2^shift (negative: rounded, and the diagonal raised so that P stays positive)
void fieldelm_fixed_rescale(model_t m, int32_t shift);

// Halves P, by its exponent alone, until no variance (`largest` of P's numbers) is above sigma P_LIMIT: what rounding asks for on the
// diagonal grows with the square of P, so that a much larger one would run away.
void fieldelm_fixed_limit(model_t m, int32_t largest);

// Largest element of P's diagonal.
int32_t fieldelm_fixed_largest_variance(model_t m);

// Magnitudes of beta's numbers or-ed together: none is larger.
int32_t fieldelm_fixed_largest_beta(model_t m);

// e = x 2^up - a' beta's upper half; returns the residuals' magnitudes or-ed together.
uint32_t fieldelm_fixed_fit(const model_t *m, const work_t *w, const int32_t *a, int32_t up);

// Shift of the residuals' mantissas, and the largest of them, by what fieldelm_fixed_fit returned.
void fieldelm_fixed_mantissas(const work_t *w, uint32_t all);

// See fieldelm_fixed_rescore.
void fieldelm_fixed_sum(const model_t *m, const work_t *w, float *out);

#endif
