// What the MicroPython modules `fieldelm_native` and `fieldelm_float` share.

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

#endif
