// From a window of samples to a decision and an update in one call.
#include "fixed.h"

void fieldelm_fixed_window_bands(const int16_t *samples, const fieldelm_fixed_plan_t *plan, fieldelm_fixed_stats_t *stats) {
    int32_t scale = fieldelm_fixed_spectrum(samples, plan->channel, plan->axes, plan->m, plan->window, plan->table, plan->size, stats,
        plan->work, plan->power);
    size_t n = ((const fieldelm_fixed_model_t *)plan->model)->n;
    // power is in units of (4 N / 3 m) 4^-scale
    float unit = 4.0f * (float)(uint32_t)plan->size / (3.0f * (float)(uint32_t)plan->m) * fieldelm_fixed_power_of_two(-2 * scale);
    fieldelm_fixed_bands(plan->power, plan->edges, fieldelm_fixed_floor(plan->floor / unit), plan->gain, plan->base - 4 * scale * plan->gain, plan->offset, plan->bands, n);
}

bool fieldelm_fixed_window(const int16_t *samples, const fieldelm_fixed_plan_t *plan, fieldelm_fixed_stats_t *stats, float *out) {
    fieldelm_fixed_window_bands(samples, plan, stats);
    fieldelm_fixed_input_bands(plan->model, plan->model_work, plan->bands);
    if (plan->explainer) {
        fieldelm_fixed_explain(plan->model, plan->model_work, plan->explainer, out);
    } else {
        fieldelm_fixed_score(plan->model, plan->model_work, out);
    }
    out[5] = out[0] + plan->worst_weight * out[1];
    if (!(out[5] >= plan->learn_from && out[5] < plan->learn_below)) {
        return false;
    }
    if (plan->explainer) {
        fieldelm_fixed_predict(plan->model, plan->model_work);
    }
    return fieldelm_fixed_learn(plan->model, plan->model_work);
}
