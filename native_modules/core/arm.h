// Frame of the assembly sources: Thumb code, in firmware in the section that the pico-sdk copies to RAM.

#ifndef FIELDELM_ARM_H
#define FIELDELM_ARM_H

#ifdef PICO_ON_DEVICE
#define FIELDELM_HOT_SECTION ".time_critical.fieldelm"
#else
#define FIELDELM_HOT_SECTION ".text.fieldelm"
#endif

    .syntax unified
#ifdef __ARM_ARCH_6M__
    .cpu cortex-m0plus
#endif
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
