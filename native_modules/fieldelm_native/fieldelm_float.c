// The float kernels as native module `fieldelm_float`: the baseline of `fieldelm bench kernels`. No node runs them.
//
// Every buffer is checked for its type code, length and alignment before a kernel sees it; a wrong one is a ValueError
// that names the argument. No float is an argument or a result of a call, and no call allocates (but for an exception).

#include "binding.h"
#include "fieldelm_core.h"

static const float *input(mp_obj_t object, const char *argument, size_t length) {
    return fieldelm_elements(object, argument, 'f', &length, MP_BUFFER_READ);
}

static float *output(mp_obj_t object, const char *argument, size_t length) {
    return fieldelm_elements(object, argument, 'f', &length, MP_BUFFER_RW);
}

// N of a twiddle table
static size_t transform_size(size_t length) {
    if (length < 4 || length > 32768 || (length & (length - 1)) != 0) {
        fieldelm_refuse("twiddle", "a power of two from 4 to 32768 as length", "", 0);
    }
    return length;
}

// fft_tables(twiddle, window)
static mp_obj_t fft_tables(mp_obj_t twiddle_in, mp_obj_t window_in) {
    size_t size = 0, m = 0;
    float *twiddle = fieldelm_elements(twiddle_in, "twiddle", 'f', &size, MP_BUFFER_RW);
    float *window = fieldelm_elements(window_in, "window", 'f', &m, MP_BUFFER_RW);
    if (m > transform_size(size)) {
        fieldelm_refuse("window", "array('f')", " no longer than", size);
    }
    fieldelm_fft_tables(twiddle, size, window, m);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(fft_tables_obj, fft_tables);

// power_spectrum(samples, channel, axes, window, twiddle, work, power, stats)
static mp_obj_t power_spectrum(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    mp_int_t channel = mp_obj_get_int(args[1]), axes = mp_obj_get_int(args[2]);
    if (axes < 1 || axes > 32767) {
        fieldelm_refuse("axes", "a number from 1 to 32767", "", 0);
    }
    if (channel < 0 || channel >= axes) {
        fieldelm_refuse("channel", "a number from 0", " to less than", (size_t)axes);
    }
    size_t m = 0, size = 0;
    const float *window = fieldelm_elements(args[3], "window", 'f', &m, MP_BUFFER_READ);
    const float *twiddle = fieldelm_elements(args[4], "twiddle", 'f', &size, MP_BUFFER_READ);
    if (m > transform_size(size)) {
        fieldelm_refuse("window", "array('f')", " no longer than", size);
    }
    size_t length = m * (size_t)axes;
    const int16_t *samples = fieldelm_elements(args[0], "samples", 'h', &length, MP_BUFFER_READ);
    float *work = output(args[5], "work", size + 2), *power = output(args[6], "power", size / 2 + 1);
    float *stats = output(args[7], "stats", 4);
    fieldelm_power_spectrum(samples, (size_t)channel, (size_t)axes, window, m, twiddle, size, work, power, stats);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(power_spectrum_obj, 8, 8, power_spectrum);

// accumulate(total, power)
static mp_obj_t accumulate(mp_obj_t total_in, mp_obj_t power_in) {
    size_t length = 0;
    float *total = fieldelm_elements(total_in, "total", 'f', &length, MP_BUFFER_RW);
    fieldelm_accumulate(total, input(power_in, "power", length), length);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(accumulate_obj, accumulate);

// velocity(power, params, out)
static mp_obj_t velocity(mp_obj_t power_in, mp_obj_t params_in, mp_obj_t out_in) {
    size_t length = 0;
    const float *power = fieldelm_elements(power_in, "power", 'f', &length, MP_BUFFER_READ);
    const float *params = input(params_in, "params", 4);
    *output(out_in, "out", 1) = fieldelm_velocity(power, length, params[0], params[1], params[2], params[3]);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(velocity_obj, velocity);

// bands(spectrum, edges, params, out)
static mp_obj_t bands(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t length = 0, n = 0;
    const float *spectrum = fieldelm_elements(args[0], "spectrum", 'f', &length, MP_BUFFER_READ);
    float *out = fieldelm_elements(args[3], "out", 'f', &n, MP_BUFFER_RW);
    size_t edge_count = n + 1;
    const uint16_t *edges = fieldelm_elements(args[1], "edges", 'H', &edge_count, MP_BUFFER_READ);
    const float *params = input(args[2], "params", 3);
    if (!fieldelm_edges_valid(edges, n, length)) {
        fieldelm_refuse("edges", "rising bin indices", " up to", length);
    }
    fieldelm_bands(spectrum, edges, params[0], params[1], params[2], out, n);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(bands_obj, 4, 4, bands);

// hidden(x, seed, params, a)
static mp_obj_t hidden(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t n = 0, h = 0;
    const float *x = fieldelm_elements(args[0], "x", 'f', &n, MP_BUFFER_READ);
    uint32_t seed = (uint32_t)mp_obj_get_int_truncated(args[1]);
    const float *params = input(args[2], "params", 2);
    float *a = fieldelm_elements(args[3], "a", 'f', &h, MP_BUFFER_RW);
    fieldelm_hidden(x, n, seed, params[0], params[1], a, h);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(hidden_obj, 4, 4, hidden);

// residuals(x, a, beta, e)
static mp_obj_t residuals(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t n = 0, h = 0;
    const float *x = fieldelm_elements(args[0], "x", 'f', &n, MP_BUFFER_READ);
    const float *a = fieldelm_elements(args[1], "a", 'f', &h, MP_BUFFER_READ);
    const float *beta = input(args[2], "beta", h * n);
    fieldelm_residuals(x, n, a, h, beta, output(args[3], "e", n));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(residuals_obj, 4, 4, residuals);

// score(e, weight, out)
static mp_obj_t score(mp_obj_t e_in, mp_obj_t weight_in, mp_obj_t out_in) {
    size_t n = 0;
    const float *e = fieldelm_elements(e_in, "e", 'f', &n, MP_BUFFER_READ);
    const float *weight = input(weight_in, "weight", n);
    fieldelm_score(e, weight, n, output(out_in, "out", 5));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(score_obj, score);

// update(p, beta, a, e, params, u) -> True, or False if the step was refused
static mp_obj_t update(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t n = 0, h = 0;
    const float *a = fieldelm_elements(args[2], "a", 'f', &h, MP_BUFFER_READ);
    const float *e = fieldelm_elements(args[3], "e", 'f', &n, MP_BUFFER_READ);
    float *p = output(args[0], "p", h * (h + 1) / 2), *beta = output(args[1], "beta", h * n);
    const float *params = input(args[4], "params", 1);
    float *u = output(args[5], "u", h);
    if (!(params[0] > 0.0f && params[0] <= 1.0f)) {
        fieldelm_refuse("params", "a forgetting factor above 0 and not above 1", "", 0);
    }
    return mp_obj_new_bool(fieldelm_update(p, beta, a, h, e, n, params[0], u));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(update_obj, 6, 6, update);

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    mp_store_global(MP_QSTR_fft_tables, MP_OBJ_FROM_PTR(&fft_tables_obj));
    mp_store_global(MP_QSTR_power_spectrum, MP_OBJ_FROM_PTR(&power_spectrum_obj));
    mp_store_global(MP_QSTR_accumulate, MP_OBJ_FROM_PTR(&accumulate_obj));
    mp_store_global(MP_QSTR_velocity, MP_OBJ_FROM_PTR(&velocity_obj));
    mp_store_global(MP_QSTR_bands, MP_OBJ_FROM_PTR(&bands_obj));
    mp_store_global(MP_QSTR_hidden, MP_OBJ_FROM_PTR(&hidden_obj));
    mp_store_global(MP_QSTR_residuals, MP_OBJ_FROM_PTR(&residuals_obj));
    mp_store_global(MP_QSTR_score, MP_OBJ_FROM_PTR(&score_obj));
    mp_store_global(MP_QSTR_update, MP_OBJ_FROM_PTR(&update_obj));
    MP_DYNRUNTIME_INIT_EXIT
}
