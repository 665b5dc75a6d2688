// What the modules share: refusals and buffers.
#include "binding.h"

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
    size_t shift = code == 'h' || code == 'H' ? 1 : 2, count; // of an element's bytes: a division takes longer than the call
    if (!mp_get_buffer(object, &buffer, access) || buffer.typecode != code || ((uintptr_t)buffer.buf & ((1u << shift) - 1)) != 0
        || (count = buffer.len >> shift) == 0 || (*length != 0 && count != *length)) {
        const char *what = code == 'f' ? "array('f')" : code == 'h' ? "array('h')" : code == 'H' ? "array('H')"
            : code == 'I' ? "array('I')" : "array('i')";
        fieldelm_refuse(argument, what, " of length", *length);
    }
    *length = count;
    return buffer.buf;
}
