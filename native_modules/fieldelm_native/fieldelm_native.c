// The kernels as MicroPython module `fieldelm_native`: one source for the native module (.mpy) and for the user C module.
//
// Every buffer is checked for its type code, length and alignment before a kernel sees it, and a model's words for being one of
// its length before anything in them is believed; what is wrong is a ValueError that names the argument. No float is an argument
// or a result of a call, and no call allocates (but for an exception).

#include "binding.h"
#include "fixed.h"

// Version of the functions' arguments; device/fieldelm/kernels.py takes no other.
#define INTERFACE 4

static void *words(mp_obj_t object, const char *argument, size_t length) {
    return fieldelm_elements(object, argument, 'i', &length, MP_BUFFER_RW);
}

static float *floats(mp_obj_t object, const char *argument, size_t length, int access) {
    return fieldelm_elements(object, argument, 'f', &length, access);
}

static size_t between(mp_obj_t object, const char *argument, mp_int_t low, mp_int_t high) {
    mp_int_t value = mp_obj_get_int(object);
    if (value < low || value > high) {
        fieldelm_refuse(argument, low == 0 ? "0 or more" : "1 or more", ", at most", (size_t)high);
    }
    return (size_t)value;
}

static size_t transform_size(size_t size) {
    if (size < FIXED_FFT_MIN || size > FIXED_FFT_MAX || (size & (size - 1)) != 0) {
        fieldelm_refuse("window", "a power of two from 64 to 4096 as length", "", 0);
    }
    return size;
}

static int32_t *model_of(mp_obj_t object) {
    size_t length = 0;
    int32_t *model = fieldelm_elements(object, "model", 'i', &length, MP_BUFFER_RW);
    const fieldelm_fixed_model_t *head = (const fieldelm_fixed_model_t *)model;
    if (length <= sizeof(*head) / 4 || head->format != FIXED_FORMAT || head->n < 1 || head->n > FIXED_INPUTS_MAX || head->h < 1
        || head->h > FIXED_HIDDEN_MAX || length != fieldelm_fixed_model_words(head->n, head->h) || head->x_bits < 0
        || head->x_bits > 15 || head->range < 0 || head->range > FIXED_A_BITS || head->gain < 1 || head->gain > FIXED_GAIN_MAX
        || head->bias < 0 || head->bias > 4 * 4096
        || head->inverse_forgetting < 1u << 30 || head->beta_bound < 0 || head->p_bits < 0 || head->p_bits > 100
        || head->scale_bits < -40 || head->scale_bits > 40) {
        fieldelm_refuse("model", "what fixed_init made", "", 0);
    }
    return model;
}

static int32_t *work_of(mp_obj_t object, const int32_t *model) {
    const fieldelm_fixed_model_t *head = (const fieldelm_fixed_model_t *)model;
    return words(object, "work", fieldelm_fixed_work_words(head->n, head->h));
}

static size_t inputs_of(const int32_t *model) {
    return ((const fieldelm_fixed_model_t *)model)->n;
}

// fixed_size(what, n, h): words of 0: a model, 1: its work, 2: the tables of an n-point transform, 3: an explainer
static mp_obj_t fixed_size(mp_obj_t what_in, mp_obj_t n_in, mp_obj_t h_in) {
    size_t what = between(what_in, "what", 0, 3), words;
    if (what == 2) {
        words = fieldelm_fixed_table_words(transform_size((size_t)mp_obj_get_int(n_in)));
    } else {
        size_t n = between(n_in, "n", 1, FIXED_INPUTS_MAX), h = between(h_in, "h", 1, FIXED_HIDDEN_MAX);
        words = what == 0   ? fieldelm_fixed_model_words(n, h)
            : what == 1 ? fieldelm_fixed_work_words(n, h)
                        : fieldelm_fixed_explainer_words(h);
    }
    return mp_obj_new_int((mp_int_t)words);
}
static MP_DEFINE_CONST_FUN_OBJ_3(fixed_size_obj, fixed_size);

// fixed_init(model, n, h, seed, x_bits, params)
static mp_obj_t fixed_init(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t n = between(args[1], "n", 1, FIXED_INPUTS_MAX), h = between(args[2], "h", 1, FIXED_HIDDEN_MAX);
    int32_t *model = words(args[0], "model", fieldelm_fixed_model_words(n, h));
    uint32_t seed = (uint32_t)mp_obj_get_int_truncated(args[3]);
    size_t x_bits = between(args[4], "x_bits", 0, 15);
    const float *params = floats(args[5], "params", 4, MP_BUFFER_READ);
    if (!(params[0] >= 0.001f && params[0] <= 2.0f && params[1] >= 0.0f && params[1] <= 4.0f && params[2] > 0.0f
            && params[2] <= 10000.0f && params[3] >= 0.5f && params[3] <= 1.0f)) {
        fieldelm_refuse("params", "gain 0.001 to 2, bias scale 0 to 4, variance up to 10000, forgetting factor 0.5 to 1", "", 0);
    }
    fieldelm_fixed_init(model, n, h, seed, (int32_t)x_bits, params[0], params[1], params[2]);
    fieldelm_fixed_forget(model, params[3]);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_init_obj, 6, 6, fixed_init);

// fixed_reopen(model, params)
static mp_obj_t fixed_reopen(mp_obj_t model_in, mp_obj_t params_in) {
    int32_t *model = model_of(model_in);
    const float *params = floats(params_in, "params", 1, MP_BUFFER_READ);
    if (!(params[0] > 0.0f && params[0] <= 10000.0f)) {
        fieldelm_refuse("params", "a variance above 0 and up to 10000", "", 0);
    }
    fieldelm_fixed_reopen(model, params[0]);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(fixed_reopen_obj, fixed_reopen);

// fixed_weights(model, weight)
static mp_obj_t fixed_weights(mp_obj_t model_in, mp_obj_t weight_in) {
    int32_t *model = model_of(model_in);
    fieldelm_fixed_weights(model, floats(weight_in, "weight", inputs_of(model), MP_BUFFER_READ));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(fixed_weights_obj, fixed_weights);

// fixed_score(model, work, x, out)
static mp_obj_t fixed_score(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    int32_t *model = model_of(args[0]), *work = work_of(args[1], model);
    fieldelm_fixed_input(model, work, floats(args[2], "x", inputs_of(model), MP_BUFFER_READ));
    fieldelm_fixed_score(model, work, floats(args[3], "out", 5, MP_BUFFER_RW));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_score_obj, 4, 4, fixed_score);

// fixed_rescore(model, work, out)
static mp_obj_t fixed_rescore(mp_obj_t model_in, mp_obj_t work_in, mp_obj_t out_in) {
    int32_t *model = model_of(model_in);
    fieldelm_fixed_rescore(model, work_of(work_in, model), floats(out_in, "out", 5, MP_BUFFER_RW));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(fixed_rescore_obj, fixed_rescore);

static int32_t *explainer_of(mp_obj_t object, const int32_t *model) {
    return words(object, "explainer", fieldelm_fixed_explainer_words(((const fieldelm_fixed_model_t *)model)->h));
}

// fixed_invert(model, params, explainer): params 'f' [variance]
static mp_obj_t fixed_invert(mp_obj_t model_in, mp_obj_t params_in, mp_obj_t explainer_in) {
    int32_t *model = model_of(model_in);
    const float *params = floats(params_in, "params", 1, MP_BUFFER_READ);
    if (!(params[0] > 0.0f && params[0] <= 1000.0f)) {
        fieldelm_refuse("params", "a variance above 0 and up to 1000", "", 0);
    }
    fieldelm_fixed_invert(model, params[0], explainer_of(explainer_in, model));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(fixed_invert_obj, fixed_invert);

// fixed_explain(model, work, x, explainer, out)
static mp_obj_t fixed_explain(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    int32_t *model = model_of(args[0]), *work = work_of(args[1], model), *explainer = explainer_of(args[3], model);
    fieldelm_fixed_input(model, work, floats(args[2], "x", inputs_of(model), MP_BUFFER_READ));
    fieldelm_fixed_explain(model, work, explainer, floats(args[4], "out", 5, MP_BUFFER_RW));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_explain_obj, 5, 5, fixed_explain);

// fixed_predict(model, work)
static mp_obj_t fixed_predict(mp_obj_t model_in, mp_obj_t work_in) {
    int32_t *model = model_of(model_in);
    fieldelm_fixed_predict(model, work_of(work_in, model));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_2(fixed_predict_obj, fixed_predict);

// fixed_learn(model, work) -> True, or False if the step was refused
static mp_obj_t fixed_learn(mp_obj_t model_in, mp_obj_t work_in) {
    int32_t *model = model_of(model_in);
    return mp_obj_new_bool(fieldelm_fixed_learn(model, work_of(work_in, model)));
}
static MP_DEFINE_CONST_FUN_OBJ_2(fixed_learn_obj, fixed_learn);

// fixed_step(model, work, x, out): fixed_score and fixed_learn
static mp_obj_t fixed_step(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    int32_t *model = model_of(args[0]), *work = work_of(args[1], model);
    const float *x = floats(args[2], "x", inputs_of(model), MP_BUFFER_READ);
    return mp_obj_new_bool(fieldelm_fixed_step(model, work, x, floats(args[3], "out", 5, MP_BUFFER_RW)));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_step_obj, 4, 4, fixed_step);

// fixed_residuals(model, work, e)
static mp_obj_t fixed_residuals(mp_obj_t model_in, mp_obj_t work_in, mp_obj_t e_in) {
    int32_t *model = model_of(model_in);
    fieldelm_fixed_residuals(model, work_of(work_in, model), floats(e_in, "e", inputs_of(model), MP_BUFFER_RW));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(fixed_residuals_obj, fixed_residuals);

// fixed_square(a, b, out): 'f'; out[0] = mean((a - b)^2)
static mp_obj_t fixed_square(mp_obj_t a_in, mp_obj_t b_in, mp_obj_t out_in) {
    size_t n = 0;
    const float *a = fieldelm_elements(a_in, "a", 'f', &n, MP_BUFFER_READ), *b = floats(b_in, "b", n, MP_BUFFER_READ);
    if (n > FIXED_INPUTS_MAX) {
        fieldelm_refuse("a", "array('f')", " no longer than", FIXED_INPUTS_MAX);
    }
    *floats(out_in, "out", 1, MP_BUFFER_RW) = fieldelm_fixed_square(a, b, n);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(fixed_square_obj, fixed_square);

// fixed_tables(table, window, m)
static mp_obj_t fixed_tables(mp_obj_t table_in, mp_obj_t window_in, mp_obj_t m_in) {
    size_t size = 0;
    uint16_t *window = fieldelm_elements(window_in, "window", 'H', &size, MP_BUFFER_RW);
    int32_t *table = words(table_in, "table", fieldelm_fixed_table_words(transform_size(size)));
    fieldelm_fixed_tables(table, size, window, between(m_in, "m", 1, (mp_int_t)size));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(fixed_tables_obj, fixed_tables);

// Window of a transform, which gives its size; it is read by whole words.
static const uint16_t *window_of(mp_obj_t object, size_t *size) {
    *size = 0;
    const uint16_t *window = fieldelm_elements(object, "window", 'H', size, MP_BUFFER_READ);
    if ((uintptr_t)window % 4 != 0) {
        fieldelm_refuse("window", "array('H') that begins with a whole word", "", 0);
    }
    return window;
}

// The tables of a transform, which may be in flash.
static const int32_t *table_of(mp_obj_t object, size_t size) {
    size_t length = fieldelm_fixed_table_words(transform_size(size));
    return fieldelm_elements(object, "table", 'i', &length, MP_BUFFER_READ);
}

// Samples, channel and axes of a call: args[0], args[1], args[2]
static const int16_t *samples_of(const mp_obj_t *args, size_t *channel, size_t *axes, size_t *m) {
    *axes = between(args[2], "axes", 1, 16);
    *channel = between(args[1], "channel", 0, (mp_int_t)*axes - 1);
    size_t length = 0;
    const int16_t *samples = fieldelm_elements(args[0], "samples", 'h', &length, MP_BUFFER_READ);
    if (length % *axes != 0 || length / *axes > 32768) {
        fieldelm_refuse("samples", "whole rows, at most 32768", "", 0);
    }
    *m = length / *axes;
    return samples;
}

// fixed_stats(samples, channel, axes, stats)
static mp_obj_t fixed_stats(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t channel, axes, m;
    const int16_t *samples = samples_of(args, &channel, &axes, &m);
    fieldelm_fixed_stats(samples, channel, axes, m, words(args[3], "stats", sizeof(fieldelm_fixed_stats_t) / 4));
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_stats_obj, 4, 4, fixed_stats);

// fixed_power(samples, channel, axes, stats, window, table, work, power) -> p
static mp_obj_t fixed_power(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t channel, axes, m, size;
    const int16_t *samples = samples_of(args, &channel, &axes, &m);
    fieldelm_fixed_stats_t *stats = words(args[3], "stats", sizeof(fieldelm_fixed_stats_t) / 4);
    const uint16_t *window = window_of(args[4], &size);
    const int32_t *table = table_of(args[5], size);
    size_t bins = size / 2 + 1;
    int32_t *work = words(args[6], "work", size);
    uint32_t *power = fieldelm_elements(args[7], "power", 'I', &bins, MP_BUFFER_RW);
    if (m > size) {
        fieldelm_refuse("samples", "rows", " up to", size);
    }
    return MP_OBJ_NEW_SMALL_INT(fieldelm_fixed_power(samples, channel, axes, m, window, table, size, stats, work, power));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_power_obj, 8, 8, fixed_power);

// fixed_spectrum(samples, channel, axes, moments, window, table, work, power) -> scale: stats and power in one call
static mp_obj_t fixed_spectrum(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t channel, axes, m, size;
    const int16_t *samples = samples_of(args, &channel, &axes, &m);
    float *moments = floats(args[3], "moments", 4, MP_BUFFER_RW);
    const uint16_t *window = window_of(args[4], &size);
    const int32_t *table = table_of(args[5], size);
    size_t bins = size / 2 + 1;
    int32_t *work = words(args[6], "work", size);
    uint32_t *power = fieldelm_elements(args[7], "power", 'I', &bins, MP_BUFFER_RW);
    if (m > size) {
        fieldelm_refuse("samples", "rows", " up to", size);
    }
    fieldelm_fixed_stats_t stats;
    int32_t scale = fieldelm_fixed_spectrum(samples, channel, axes, m, window, table, size, &stats, work, power);
    fieldelm_fixed_moments(&stats, m, moments);
    return MP_OBJ_NEW_SMALL_INT(scale);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_spectrum_obj, 8, 8, fixed_spectrum);

// Power and its scale: args[0], args[1]
static uint32_t *power_of(mp_obj_t power_in, mp_obj_t scale_in, size_t *bins, int32_t *scale) {
    mp_int_t given = mp_obj_get_int(scale_in);
    if (given < -16 || given > 15) {
        fieldelm_refuse("scale", "-16 or more, at most", "", 15);
    }
    *scale = (int32_t)given;
    return fieldelm_elements(power_in, "power", 'I', bins, MP_BUFFER_RW);
}

// fixed_add(total, total_scale, power, scale) -> scale of the sum, which is in total
static mp_obj_t fixed_add(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t bins = 0;
    int32_t total_scale, scale;
    uint32_t *total = power_of(args[0], args[1], &bins, &total_scale);
    const uint32_t *power = power_of(args[2], args[3], &bins, &scale);
    return MP_OBJ_NEW_SMALL_INT(fieldelm_fixed_add(total, total_scale, power, scale, bins));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_add_obj, 4, 4, fixed_add);

// fixed_velocity(power, scale, first, last, params): bins from first to last; params 'f' [factor, result]
static mp_obj_t fixed_velocity(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t bins = 0;
    int32_t scale;
    const uint32_t *power = power_of(args[0], args[1], &bins, &scale);
    if (bins > FIXED_FFT_MAX / 2 + 1) {
        fieldelm_refuse("power", "array('I')", " no longer than", FIXED_FFT_MAX / 2 + 1);
    }
    size_t last = between(args[3], "last", 0, (mp_int_t)bins - 1), first = between(args[2], "first", 1, (mp_int_t)bins);
    float *params = floats(args[4], "params", 2, MP_BUFFER_RW);
    params[1] = fieldelm_fixed_velocity(power, scale, first, last + 1, params[0]);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_velocity_obj, 5, 5, fixed_velocity);

static const uint16_t *edges_of(mp_obj_t object, size_t n, size_t bins) {
    size_t count = n + 1;
    const uint16_t *edges = fieldelm_elements(object, "edges", 'H', &count, MP_BUFFER_READ);
    bool valid = edges[n] <= bins;
    uint32_t before = edges[0];
    for (const uint16_t *edge = edges + 1, *end = edge + n; valid && edge < end; ++edge) {
        valid = *edge > before;
        before = *edge;
    }
    if (!valid) {
        fieldelm_refuse("edges", "rising bin indices", " up to", bins);
    }
    return edges;
}

// fixed_bands(power, edges, params, offset, out): params 'i' [floor in units of power, gain, base]
static mp_obj_t fixed_bands(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t bins = 0, n = 0;
    const uint32_t *power = fieldelm_elements(args[0], "power", 'I', &bins, MP_BUFFER_READ);
    int32_t *out = fieldelm_elements(args[4], "out", 'i', &n, MP_BUFFER_RW);
    const uint16_t *edges = edges_of(args[1], n, bins);
    const int32_t *params = words(args[2], "params", 3), *offset = words(args[3], "offset", n);
    if (params[0] < 0 || params[1] < 0 || params[1] > 65536) {
        fieldelm_refuse("params", "floor 0 or more, gain 0 to 65536, base", "", 0);
    }
    fieldelm_fixed_bands(power, edges, (uint32_t)params[0], params[1], params[2], offset, out, n);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_bands_obj, 5, 5, fixed_bands);

// fixed_levels(power, scale, edges, params, center, out): params 'f' [floor, gain, offset]; center 'f', or None
static mp_obj_t fixed_levels(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    size_t bins = 0, n = 0;
    int32_t scale;
    const uint32_t *power = power_of(args[0], args[1], &bins, &scale);
    float *out = fieldelm_elements(args[5], "out", 'f', &n, MP_BUFFER_RW);
    const uint16_t *edges = edges_of(args[2], n, bins);
    const float *params = floats(args[3], "params", 3, MP_BUFFER_READ);
    if (!(params[0] >= 0.0f && params[1] > 0.0f && params[1] <= 1.0f && params[2] > -1000.0f && params[2] < 1000.0f)) {
        fieldelm_refuse("params", "floor 0 or more, gain up to 1, offset within 1000", "", 0);
    }
    const float *center = args[4] == mp_const_none ? NULL : floats(args[4], "center", n, MP_BUFFER_READ);
    fieldelm_fixed_levels(power, scale, edges, params, center, out, n);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_levels_obj, 6, 6, fixed_levels);

// fixed_window(samples, channel, axes, stats, window, table, spectrum_work, power, edges, levels, offset, bands, model, work, params,
// out, explainer) -> whether the row was learned; explainer 'i' or None. levels 'i' [gain, base], params 'f' [floor, worst weight, learn from, learn below], out 'f' of 6
static mp_obj_t fixed_window(size_t n_args, const mp_obj_t *args) {
    (void)n_args;
    fieldelm_fixed_plan_t plan;
    const int16_t *samples = samples_of(args, &plan.channel, &plan.axes, &plan.m);
    fieldelm_fixed_stats_t *stats = words(args[3], "stats", sizeof(fieldelm_fixed_stats_t) / 4);
    plan.window = window_of(args[4], &plan.size);
    plan.table = table_of(args[5], plan.size);
    plan.work = words(args[6], "spectrum_work", plan.size);
    size_t bins = plan.size / 2 + 1;
    plan.power = fieldelm_elements(args[7], "power", 'I', &bins, MP_BUFFER_RW);
    if (plan.m > plan.size) {
        fieldelm_refuse("samples", "rows", " up to", plan.size);
    }
    plan.model = model_of(args[12]);
    plan.model_work = work_of(args[13], plan.model);
    size_t n = inputs_of(plan.model);
    plan.edges = edges_of(args[8], n, bins);
    plan.explainer = args[16] == mp_const_none ? NULL : explainer_of(args[16], plan.model);
    const int32_t *levels = words(args[9], "levels", 2);
    if (levels[0] < 0 || levels[0] > 65536) {
        fieldelm_refuse("levels", "gain 0 to 65536, base", "", 0);
    }
    plan.gain = levels[0];
    plan.base = levels[1];
    plan.offset = words(args[10], "offset", n);
    plan.bands = words(args[11], "bands", n);
    const float *params = floats(args[14], "params", 4, MP_BUFFER_READ);
    plan.floor = params[0];
    plan.worst_weight = params[1];
    plan.learn_from = params[2];
    plan.learn_below = params[3];
    return mp_obj_new_bool(fieldelm_fixed_window(samples, &plan, stats, floats(args[15], "out", 6, MP_BUFFER_RW)));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(fixed_window_obj, 17, 17, fixed_window);

#if defined(MICROPY_ENABLE_DYNRUNTIME)

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    mp_store_global(MP_QSTR_INTERFACE, MP_OBJ_NEW_SMALL_INT(INTERFACE));
    mp_store_global(MP_QSTR_fixed_size, MP_OBJ_FROM_PTR(&fixed_size_obj));
    mp_store_global(MP_QSTR_fixed_init, MP_OBJ_FROM_PTR(&fixed_init_obj));
    mp_store_global(MP_QSTR_fixed_reopen, MP_OBJ_FROM_PTR(&fixed_reopen_obj));
    mp_store_global(MP_QSTR_fixed_weights, MP_OBJ_FROM_PTR(&fixed_weights_obj));
    mp_store_global(MP_QSTR_fixed_score, MP_OBJ_FROM_PTR(&fixed_score_obj));
    mp_store_global(MP_QSTR_fixed_rescore, MP_OBJ_FROM_PTR(&fixed_rescore_obj));
    mp_store_global(MP_QSTR_fixed_invert, MP_OBJ_FROM_PTR(&fixed_invert_obj));
    mp_store_global(MP_QSTR_fixed_explain, MP_OBJ_FROM_PTR(&fixed_explain_obj));
    mp_store_global(MP_QSTR_fixed_predict, MP_OBJ_FROM_PTR(&fixed_predict_obj));
    mp_store_global(MP_QSTR_fixed_learn, MP_OBJ_FROM_PTR(&fixed_learn_obj));
    mp_store_global(MP_QSTR_fixed_step, MP_OBJ_FROM_PTR(&fixed_step_obj));
    mp_store_global(MP_QSTR_fixed_residuals, MP_OBJ_FROM_PTR(&fixed_residuals_obj));
    mp_store_global(MP_QSTR_fixed_square, MP_OBJ_FROM_PTR(&fixed_square_obj));
    mp_store_global(MP_QSTR_fixed_tables, MP_OBJ_FROM_PTR(&fixed_tables_obj));
    mp_store_global(MP_QSTR_fixed_stats, MP_OBJ_FROM_PTR(&fixed_stats_obj));
    mp_store_global(MP_QSTR_fixed_power, MP_OBJ_FROM_PTR(&fixed_power_obj));
    mp_store_global(MP_QSTR_fixed_spectrum, MP_OBJ_FROM_PTR(&fixed_spectrum_obj));
    mp_store_global(MP_QSTR_fixed_add, MP_OBJ_FROM_PTR(&fixed_add_obj));
    mp_store_global(MP_QSTR_fixed_velocity, MP_OBJ_FROM_PTR(&fixed_velocity_obj));
    mp_store_global(MP_QSTR_fixed_bands, MP_OBJ_FROM_PTR(&fixed_bands_obj));
    mp_store_global(MP_QSTR_fixed_levels, MP_OBJ_FROM_PTR(&fixed_levels_obj));
    mp_store_global(MP_QSTR_fixed_window, MP_OBJ_FROM_PTR(&fixed_window_obj));
    MP_DYNRUNTIME_INIT_EXIT
}

#else

#if __has_include("fieldelm_tables.h")

// (table, window) as fixed_tables makes them for a window of the usual length, in flash: make_tables.c writes the header
#include "fieldelm_tables.h"
#include "py/objarray.h"
#include "py/objtuple.h"

static const MP_DEFINE_MEMORYVIEW_OBJ(table_view, 'i', 0, MP_ARRAY_SIZE(TABLE), (void *)TABLE);
static const MP_DEFINE_MEMORYVIEW_OBJ(window_view, 'H', 0, MP_ARRAY_SIZE(WINDOW), (void *)WINDOW);
static const mp_rom_obj_tuple_t flash_tables = { { &mp_type_tuple }, 2, { MP_ROM_PTR(&table_view), MP_ROM_PTR(&window_view) } };

#endif

static const mp_rom_map_elem_t fieldelm_native_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_fieldelm_native) },
    { MP_ROM_QSTR(MP_QSTR_INTERFACE), MP_ROM_INT(INTERFACE) },
    { MP_ROM_QSTR(MP_QSTR_fixed_size), MP_ROM_PTR(&fixed_size_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_init), MP_ROM_PTR(&fixed_init_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_reopen), MP_ROM_PTR(&fixed_reopen_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_weights), MP_ROM_PTR(&fixed_weights_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_score), MP_ROM_PTR(&fixed_score_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_rescore), MP_ROM_PTR(&fixed_rescore_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_invert), MP_ROM_PTR(&fixed_invert_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_explain), MP_ROM_PTR(&fixed_explain_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_predict), MP_ROM_PTR(&fixed_predict_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_learn), MP_ROM_PTR(&fixed_learn_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_step), MP_ROM_PTR(&fixed_step_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_residuals), MP_ROM_PTR(&fixed_residuals_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_square), MP_ROM_PTR(&fixed_square_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_tables), MP_ROM_PTR(&fixed_tables_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_stats), MP_ROM_PTR(&fixed_stats_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_power), MP_ROM_PTR(&fixed_power_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_spectrum), MP_ROM_PTR(&fixed_spectrum_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_add), MP_ROM_PTR(&fixed_add_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_velocity), MP_ROM_PTR(&fixed_velocity_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_bands), MP_ROM_PTR(&fixed_bands_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_levels), MP_ROM_PTR(&fixed_levels_obj) },
    { MP_ROM_QSTR(MP_QSTR_fixed_window), MP_ROM_PTR(&fixed_window_obj) },
    #if __has_include("fieldelm_tables.h")
    { MP_ROM_QSTR(MP_QSTR_flash_tables), MP_ROM_PTR(&flash_tables) },
    #endif
};
static MP_DEFINE_CONST_DICT(fieldelm_native_globals, fieldelm_native_globals_table);

const mp_obj_module_t fieldelm_native_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&fieldelm_native_globals,
};
MP_REGISTER_MODULE(MP_QSTR_fieldelm_native, fieldelm_native_module);

#endif
