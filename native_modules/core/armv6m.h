// Frame of the assembly sources: Thumb code in the section that the build names for what must run from RAM.

#ifndef FIELDELM_ARMV6M_H
#define FIELDELM_ARMV6M_H

#ifndef FIELDELM_HOT_SECTION
#define FIELDELM_HOT_SECTION ".text.fieldelm"
#endif

    .syntax unified
    .cpu cortex-m0plus
    .thumb
    .section FIELDELM_HOT_SECTION, "ax", %progbits

.macro function name
    .align 2
    .global \name
    .hidden \name
    .type \name, %function
    .thumb_func
\name:
.endm

.macro end name
    .size \name, . - \name
    .pool
.endm

#endif
