// What the sources of the MicroPython module `fieldelm_native` share.

#ifndef FIELDELM_BINDING_H
#define FIELDELM_BINDING_H

#if defined(MICROPY_ENABLE_DYNRUNTIME)
#include "py/dynruntime.h"
#else
#include "py/binary.h"
#include "py/runtime.h"
#endif

// Raises ValueError("<argument>: expected <what>", followed by "<bound> <number>" if the number is not 0.
void fieldelm_refuse(const char *argument, const char *what, const char *bound, size_t number);

// Elements of a buffer of type code 'f', 'i', 'I', 'h' or 'H'. `*length` is how many there must be, or 0 for any number but none;
// it becomes how many there are.
void *fieldelm_elements(mp_obj_t object, const char *argument, char code, size_t *length, int access);

// The functions of fieldelm_fixed.c.
extern const mp_obj_fun_builtin_fixed_t fieldelm_fixed_size_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_init_obj;
extern const mp_obj_fun_builtin_fixed_t fieldelm_fixed_reopen_obj;
extern const mp_obj_fun_builtin_fixed_t fieldelm_fixed_weights_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_score_obj;
extern const mp_obj_fun_builtin_fixed_t fieldelm_fixed_rescore_obj;
extern const mp_obj_fun_builtin_fixed_t fieldelm_fixed_learn_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_step_obj;
extern const mp_obj_fun_builtin_fixed_t fieldelm_fixed_residuals_obj;
extern const mp_obj_fun_builtin_fixed_t fieldelm_fixed_tables_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_stats_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_power_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_bands_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_spectrum_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_add_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_velocity_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_levels_obj;
extern const mp_obj_fun_builtin_var_t fieldelm_fixed_window_obj;

#endif
