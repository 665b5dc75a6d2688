// The kernels as MicroPython module `fieldelm_native`: one source for the native module (.mpy) and for the user C module.
//
// Every buffer is checked for its type code, length and alignment before a kernel sees it; a wrong one is a ValueError
// that names the argument. No float is an argument or a result of a call, and no call allocates (but for an exception).

#include "binding.h"
#include "fieldelm_core.h"

// Version of the functions' arguments; device/fieldelm/kernels.py takes no other.
#define INTERFACE 2

void fieldelm_refuse(const char *argument, const char *what, const char *bound, size_t number) {
    char text[96];
    size_t length = 0;
    const char *parts[] = { argument, ": expected ", what, number > 0 ? bound : "" };
    for (size_t i = 0; i < 4; ++i) {
        for (const char *c = parts[i]; *c != 0 && length < sizeof(text) - 24; ++c) {
            text[length++] = *c;
        }
    }
    if (number > 0) {
        text[length++] = ' ';
        size_t digits = 1;
        for (size_t rest = number; rest >= 10; rest /= 10) {
            ++digits;
        }
        for (size_t i = digits; i-- > 0; number /= 10) {
            text[length + i] = (char)('0' + number % 10);
        }
        length += digits;
    }
    mp_raise_type_arg(&mp_type_ValueError, mp_obj_new_str(text, length));
}

void *fieldelm_elements(mp_obj_t object, const char *argument, char code, size_t *length, int access) {
    mp_buffer_info_t buffer;
    size_t size = code == 'h' || code == 'H' ? sizeof(int16_t) : sizeof(int32_t);
    if (!mp_get_buffer(object, &buffer, access) || buffer.typecode != code || (uintptr_t)buffer.buf % size != 0
        || buffer.len < size || (*length != 0 && buffer.len / size != *length)) {
        const char *what = code == 'f' ? "array('f')" : code == 'h' ? "array('h')" : code == 'H' ? "array('H')"
            : code == 'I' ? "array('I')" : "array('i')";
        fieldelm_refuse(argument, what, " of length", *length);
    }
    *length = buffer.len / size;
    return buffer.buf;
}

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

#if defined(MICROPY_ENABLE_DYNRUNTIME)

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    mp_store_global(MP_QSTR_INTERFACE, MP_OBJ_NEW_SMALL_INT(INTERFACE));
    mp_store_global(MP_QSTR_fft_tables, MP_OBJ_FROM_PTR(&fft_tables_obj));
    mp_store_global(MP_QSTR_power_spectrum, MP_OBJ_FROM_PTR(&power_spectrum_obj));
    mp_store_global(MP_QSTR_accumulate, MP_OBJ_FROM_PTR(&accumulate_obj));
    mp_store_global(MP_QSTR_velocity, MP_OBJ_FROM_PTR(&velocity_obj));
    mp_store_global(MP_QSTR_bands, MP_OBJ_FROM_PTR(&bands_obj));
    mp_store_global(MP_QSTR_hidden, MP_OBJ_FROM_PTR(&hidden_obj));
    mp_store_global(MP_QSTR_residuals, MP_OBJ_FROM_PTR(&residuals_obj));
    mp_store_global(MP_QSTR_score, MP_OBJ_FROM_PTR(&score_obj));
    mp_store_global(MP_QSTR_update, MP_OBJ_FROM_PTR(&update_obj));
    mp_store_global(MP_QSTR_fixed_size, MP_OBJ_FROM_PTR(&fieldelm_fixed_size_obj));
    mp_store_global(MP_QSTR_fixed_init, MP_OBJ_FROM_PTR(&fieldelm_fixed_init_obj));
    mp_store_global(MP_QSTR_fixed_reopen, MP_OBJ_FROM_PTR(&fieldelm_fixed_reopen_obj));
    mp_store_global(MP_QSTR_fixed_weights, MP_OBJ_FROM_PTR(&fieldelm_fixed_weights_obj));
    mp_store_global(MP_QSTR_fixed_score, MP_OBJ_FROM_PTR(&fieldelm_fixed_score_obj));
    mp_store_global(MP_QSTR_fixed_rescore, MP_OBJ_FROM_PTR(&fieldelm_fixed_rescore_obj));
    mp_store_global(MP_QSTR_fixed_learn, MP_OBJ_FROM_PTR(&fieldelm_fixed_learn_obj));
    mp_store_global(MP_QSTR_fixed_step, MP_OBJ_FROM_PTR(&fieldelm_fixed_step_obj));
    mp_store_global(MP_QSTR_fixed_residuals, MP_OBJ_FROM_PTR(&fieldelm_fixed_residuals_obj));
    mp_store_global(MP_QSTR_fixed_tables, MP_OBJ_FROM_PTR(&fieldelm_fixed_tables_obj));
    mp_store_global(MP_QSTR_fixed_stats, MP_OBJ_FROM_PTR(&fieldelm_fixed_stats_obj));
    mp_store_global(MP_QSTR_fixed_power, MP_OBJ_FROM_PTR(&fieldelm_fixed_power_obj));
    mp_store_global(MP_QSTR_fixed_bands, MP_OBJ_FROM_PTR(&fieldelm_fixed_bands_obj));
    mp_store_global(MP_QSTR_fixed_spectrum, MP_OBJ_FROM_PTR(&fieldelm_fixed_spectrum_obj));
    mp_store_global(MP_QSTR_fixed_add, MP_OBJ_FROM_PTR(&fieldelm_fixed_add_obj));
    mp_store_global(MP_QSTR_fixed_velocity, MP_OBJ_FROM_PTR(&fieldelm_fixed_velocity_obj));
    mp_store_global(MP_QSTR_fixed_levels, MP_OBJ_FROM_PTR(&fieldelm_fixed_levels_obj));
    mp_store_global(MP_QSTR_fixed_window, MP_OBJ_FROM_PTR(&fieldelm_fixed_window_obj));
    MP_DYNRUNTIME_INIT_EXIT
}

#else

static const mp_rom_map_elem_t fieldelm_native_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_fieldelm_native) },
    { MP_ROM_QSTR(MP_QSTR_INTERFACE), MP_ROM_INT(INTERFACE) },
    { MP_ROM_QSTR(MP_QSTR_fft_tables), MP_ROM_PTR(&fft_tables_obj) },
    { MP_ROM_QSTR(MP_QSTR_power_spectrum), MP_ROM_PTR(&power_spectrum_obj) },
    { MP_ROM_QSTR(MP_QSTR_accumulate), MP_ROM_PTR(&accumulate_obj) },
    { MP_ROM_QSTR(MP_QSTR_velocity), MP_ROM_PTR(&velocity_obj) },
    { MP_ROM_QSTR(MP_QSTR_bands), MP_ROM_PTR(&bands_obj) },
    { MP_ROM_QSTR(MP_QSTR_hidden), MP_ROM_PTR(&hidden_obj) },
    { MP_ROM_QSTR(MP_QSTR_residuals), MP_ROM_PTR(&residuals_obj) },
    { MP_ROM_QSTR(MP_QSTR_score), MP_ROM_PTR(&score_obj) },
    { MP_ROM_QSTR(MP_QSTR_update), MP_ROM_PTR(&update_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_size), MP_ROM_PTR(&fieldelm_fixed_size_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_init), MP_ROM_PTR(&fieldelm_fixed_init_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_reopen), MP_ROM_PTR(&fieldelm_fixed_reopen_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_weights), MP_ROM_PTR(&fieldelm_fixed_weights_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_score), MP_ROM_PTR(&fieldelm_fixed_score_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_rescore), MP_ROM_PTR(&fieldelm_fixed_rescore_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_learn), MP_ROM_PTR(&fieldelm_fixed_learn_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_step), MP_ROM_PTR(&fieldelm_fixed_step_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_residuals), MP_ROM_PTR(&fieldelm_fixed_residuals_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_tables), MP_ROM_PTR(&fieldelm_fixed_tables_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_stats), MP_ROM_PTR(&fieldelm_fixed_stats_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_power), MP_ROM_PTR(&fieldelm_fixed_power_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_bands), MP_ROM_PTR(&fieldelm_fixed_bands_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_spectrum), MP_ROM_PTR(&fieldelm_fixed_spectrum_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_add), MP_ROM_PTR(&fieldelm_fixed_add_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_velocity), MP_ROM_PTR(&fieldelm_fixed_velocity_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_levels), MP_ROM_PTR(&fieldelm_fixed_levels_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_window), MP_ROM_PTR(&fieldelm_fixed_window_obj) },
};
static MP_DEFINE_CONST_DICT(fieldelm_native_globals, fieldelm_native_globals_table);

const mp_obj_module_t fieldelm_native_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&fieldelm_native_globals,
};
MP_REGISTER_MODULE(MP_QSTR_fieldelm_native, fieldelm_native_module);

#endif
