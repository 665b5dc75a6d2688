// Elementary functions without libm.
#include "fieldelm_core.h"

typedef union {
    float number;
    uint32_t bits;
} float_bits_t;

float fieldelm_exp(float x) {
    if (x != x) {
        return x;
    }
    x = x > 87.0f ? 87.0f : x < -87.0f ? -87.0f : x;
    // e^x = 2^k e^r with |r| <= ln(2)/2; ln(2) in two parts, the first exact when multiplied by k
    int32_t k = (int32_t)(x * 1.44269504f + (x < 0.0f ? -0.5f : 0.5f));
    float r = x - (float)k * 0.693359375f + (float)k * 2.12194440e-4f;
    // polynomial for e^r: S. Moshier, Cephes, expf.c
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    float_bits_t power = { .bits = (uint32_t)(k + 127) << 23 };
    return y * power.number;
}

float fieldelm_log(float x) {
    float_bits_t v = { .number = x };
    if ((v.bits & 0x7fffffff) >= 0x7f800000 && v.bits != 0xff800000) {
        return x; // NaN, +infinity
    }
    if (x < 0x1p-100f) {
        v.number = 0x1p-100f;
    }
    // x = 2^k m with sqrt(1/2) <= m < sqrt(2); 0x3f3504f3 is sqrt(1/2)
    int32_t k = (int32_t)(v.bits - 0x3f3504f3u) >> 23;
    v.bits -= (uint32_t)k << 23;
    // ln m = 2 artanh(s), s = (m - 1) / (m + 1), |s| < 0.172
    float f = v.number - 1.0f, s = f / (2.0f + f), z = s * s;
    float series = z * (0.333333333f + z * (0.2f + z * (0.142857143f + z * 0.111111111f)));
    return (float)k * 0.693359375f + ((float)k * -2.12194440e-4f + 2.0f * s * series + 2.0f * s);
}

float fieldelm_sqrt(float x) {
    float_bits_t v = { .number = x };
    if (x <= 0.0f) {
        return 0.0f;
    }
    if (v.bits >= 0x7f800000) {
        return x; // NaN, +infinity
    }
    v.bits = 0x1fbd1df5 + (v.bits >> 1); // halves the exponent: within 4 %
    for (int i = 0; i < 3; ++i) {
        v.number = 0.5f * (v.number + x / v.number);
    }
    return v.number;
}

void fieldelm_turn(uint32_t i, uint32_t n, float *cosine, float *sine) {
    // eighth of a turn, and the angle within it in units of pi/4, mirrored in the odd ones
    uint32_t octant = 8 * i / n, rest = 8 * i - octant * n;
    float t = 0.785398163f * ((float)(octant & 1 ? n - rest : rest) / (float)n), z = t * t;
    float c = 1.0f - z * (0.5f - z * (0.0416666667f - z * (1.38888889e-3f - z * 2.48015873e-5f)));
    float s = t - t * z * (0.166666667f - z * (8.33333333e-3f - z * (1.98412698e-4f - z * 2.75573192e-6f)));
    // octants 1, 2, 5, 6 swap the two; 2 to 5 have a negative cosine, 4 to 7 a negative sine
    bool swap = ((octant + 1) & 2) != 0;
    float a = swap ? s : c, b = swap ? c : s;
    *cosine = octant >= 2 && octant < 6 ? -a : a;
    *sine = octant >= 4 ? -b : b;
}
