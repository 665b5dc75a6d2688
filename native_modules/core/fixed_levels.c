// From power spectra in fixed point to what the learner takes: sums over axes, RMS velocity, levels of bands.
#include "fixed.h"

void fieldelm_fixed_moments(const fieldelm_fixed_stats_t *stats, size_t m, float *out) {
    // m^2 variance = m squares - sum^2, below 2^60 as m <= 2^15
    uint64_t sum = (uint64_t)(stats->sum < 0 ? -(int64_t)stats->sum : stats->sum), spread = m * stats->squares - sum * sum;
    float rows = (float)(uint32_t)m;
    out[0] = (stats->sum < 0 ? -fieldelm_fixed_to_float(sum) : fieldelm_fixed_to_float(sum)) / rows;
    out[1] = fieldelm_fixed_to_float(spread) / rows / rows;
    out[2] = (float)stats->low;
    out[3] = (float)stats->high;
}

static uint32_t rounded_down(uint32_t value, int32_t down) { // to the nearest
    return down > 31 ? 0 : down > 0 ? (value >> down) + (value >> (down - 1) & 1) : value;
}

int32_t fieldelm_fixed_add(uint32_t *total, int32_t total_scale, const uint32_t *power, int32_t scale, size_t bins) {
    int32_t result = total_scale < scale ? total_scale : scale, down = 2 * (total_scale - result), other = 2 * (scale - result);
    uint32_t all = 0; // one of the two is not shifted: if both have their highest bit clear no sum reaches 2^32
    for (size_t i = 0; i < bins; ++i) {
        all |= total[i] >> (down > 31 ? 31 : down) | power[i] >> (other > 31 ? 31 : other);
    }
    if (all >> 31) {
        --result;
        down += 2;
        other += 2;
    }
    for (size_t i = 0; i < bins; ++i) {
        total[i] = rounded_down(total[i], down) + rounded_down(power[i], other);
    }
    return result;
}

// 2^22 sum(power[k] / k^2) over from <= k < to.
// Of k with bit j as the highest, r = 2^(15 + j) / k, 2^14 < r <= 2^15, follows from that of k - 1 by one step of Newton's method
// for reciprocals, r (2 - k r): its error is the square of the one before, 1/k of it, so for k > 64 below 2.5e-4; up to there
// r is divided out. w = 2^(16 + 2 j) / k^2 <= 2^16. Bounds: a power of two of k has at most 2^10 bins (N <= 4096) of less than
// 2^32, times 2^22 / 4^j; from j = 1 on fewer than 2^(32 + j + 22 - 2 j): the sum over all is below 2^57.
static uint64_t over_squares(const uint32_t *power, size_t from, size_t to) {
    uint64_t total = 0;
    uint32_t r = 0, highest = 0;
    while ((size_t)2 << highest <= from) {
        ++highest;
    }
    for (size_t k = from; k < to;) {
        size_t end = (size_t)2 << highest;
        uint64_t sum = 0;
        for (end = end < to ? end : to; k < end; ++k) {
            if (k <= 64 || k == from) {
                r = (1u << (15 + highest)) / (uint32_t)k;
            } else {
                uint32_t rest = (uint32_t)k * r >> highest; // 2^15 r k / 2^(15 + j), near 2^15
                r = r * (65536 - rest) >> 15;
            }
            uint32_t w = r * r >> 14;
            w = w > 65536 ? 65536 : w;
            sum += (power[k] >> 16) * w + ((power[k] & 0xffff) * w >> 16);
        }
        total += sum << (22 - 2 * highest);
        r *= 2;
        ++highest;
    }
    return total;
}

float fieldelm_fixed_velocity(const uint32_t *power, int32_t scale, size_t from, size_t to, float factor) {
    uint64_t total = over_squares(power, from, to);
    int32_t exponent = -scale; // of the root of total 4^-scale
    while (total >> 32) {
        total >>= 2;
        ++exponent;
    }
    while (total != 0 && total >> 30 == 0) {
        total <<= 2;
        --exponent;
    }
    return (float)fieldelm_fixed_root((uint32_t)total) * fieldelm_fixed_power_of_two(exponent) * factor;
}

uint64_t fieldelm_fixed_floor(float floor) {
    union {
        float number;
        uint32_t bits;
    } value = { .number = floor };
    if (!(floor >= 1.0f)) {
        return 0;
    }
    int32_t up = (int32_t)(value.bits >> 23) - 150; // of the mantissa of 24 bits
    uint64_t mantissa = (value.bits & 0x7fffff) | 0x800000;
    return up > 22 ? (uint64_t)0xffffff << 23 : up >= 0 ? mantissa << up : mantissa >> -up;
}

// value of 16 binary places, below 64, times gain of 24, up to 1; off by less than 2 units
static inline int32_t times(int32_t value, uint32_t gain) {
    return (int32_t)(((uint32_t)value >> 16) * gain >> 8) + (int32_t)(((uint32_t)value & 0xffff) * (gain >> 8) >> 16);
}

void fieldelm_fixed_levels(const uint32_t *power, int32_t scale, const uint16_t *edges, const float *params,
    const float *center, float *out, size_t n) {
    typedef union {
        int32_t fixed;
        float number;
    } level_t;
    level_t *level = (level_t *)out;
    for (size_t i = 0; i < n; ++i) {
        level[i].fixed = 0;
    }
    uint64_t floor = fieldelm_fixed_floor(params[0] * fieldelm_fixed_power_of_two(2 * scale));
    fieldelm_fixed_bands(power, edges, floor, 1 << 15, 0, &level->fixed, &level->fixed, n); // logarithms of the sums
    uint32_t gain = (uint32_t)(params[1] * 11629080.0f + 0.5f); // ln(2) 2^24
    int32_t base = (int32_t)(params[2] * 65536.0f) - scale * (int32_t)(gain >> 7), wide = 0;
    size_t before = 0;
    for (size_t i = 0; i < n; ++i) {
        size_t width = (size_t)edges[i + 1] - edges[i];
        if (width != before) {
            before = width;
            wide = times(fieldelm_fixed_log2(width), gain);
        }
        float value = (float)(times(level[i].fixed, gain) - wide + base) * 0x1p-16f;
        level[i].number = center ? value - center[i] : value;
    }
}
