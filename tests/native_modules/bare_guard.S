// Whether a function keeps what it has to (AAPCS32 6.1): r4 to r11, the stack pointer and, with an FPU, s16 to s31 are filled with
// patterns before the call and compared after it. Every call takes as many instructions, whatever it finds.
//
// uint32_t guarded(function, arguments): calls it with 10 words. `kept` has the registers spoilt (bit i: r<i>, 13: the stack pointer,
// 16 + i: s<16 + i>) and by which function, the number of calls, and depth, stack pointers and functions of those that are going on.
// The linker sends calls of `name` to the function that `wrap name` makes (--wrap).

    .syntax unified
    .thumb
    .bss
    .align 2
    .global kept
kept:
    .space 4 * (4 + 2 * 4)
    .text

.macro compare register, pattern, bit
    cmp \register, #0x01010101 * \pattern
    it ne
    orrne r1, #1 << \bit
.endm

    .global guarded
    .thumb_func
guarded:
    push {r3-r11, lr}        // r3: 8 bytes are the stack's unit
#ifdef __ARM_FP
    vpush {s16-s31}
#endif
    sub sp, #24
    mov r12, r0
    add r3, r1, #16
    ldm r3, {r4-r9}
    mov r3, sp
    stm r3, {r4-r9}
    ldr r2, =kept
    ldr r4, [r2, #8]
    add r4, r4, #1
    str r4, [r2, #8]
    add r4, r2, r4, lsl #3
    add r4, r4, #8
    strd r3, r12, [r4]
    .irp i, 4, 5, 6, 7, 8, 9, 10, 11
    mov r\i, #0x01010101 * \i
    .endr
#ifdef __ARM_FP
    vmov s16, s17, r4, r5
    vmov s18, s19, r6, r7
    vmov s20, s21, r8, r9
    vmov s22, s23, r10, r11
    vmov s24, s25, r11, r10
    vmov s26, s27, r9, r8
    vmov s28, s29, r7, r6
    vmov s30, s31, r5, r4
#endif
    ldm r1, {r0-r3}
    blx r12
    ldr r12, =kept
    ldr r2, [r12, #8]
    add r3, r12, r2, lsl #3
    add r3, r3, #8
    sub r2, r2, #1
    str r2, [r12, #8]
    ldrd r2, r3, [r3]
    mov r1, #0
    cmp sp, r2
    it ne
    orrne r1, #1 << 13
    mov sp, r2
    .irp i, 4, 5, 6, 7, 8, 9, 10, 11
    compare r\i, \i, \i
    .endr
#ifdef __ARM_FP
    .irp i, 16, 17, 18, 19, 20, 21, 22, 23
    vmov r2, s\i
    compare r2, (\i - 12), \i
    .endr
    .irp i, 24, 25, 26, 27, 28, 29, 30, 31
    vmov r2, s\i
    compare r2, (35 - \i), \i
    .endr
#endif
    ldrd r4, r5, [r12]       // registers and function found before, then the number of calls
    cmp r4, #0
    it eq
    moveq r5, r3
    orr r4, r4, r1
    strd r4, r5, [r12]
    ldr r4, [r12, #12]
    add r4, r4, #1
    str r4, [r12, #12]
    add sp, #24
#ifdef __ARM_FP
    vpop {s16-s31}
#endif
    pop {r3-r11, pc}
    .ltorg

.macro wrap name
    .weak __real_\name
    .global __wrap_\name
    .thumb_func
__wrap_\name:
    push {r0-r3}             // all arguments are in a row now
    mov r1, sp
    push {r3, lr}
    ldr r0, =__real_\name
    bl guarded
    pop {r3, lr}
    add sp, #16
    bx lr
    .ltorg
.endm

    .global nothing
    .thumb_func
nothing:
    bx lr
    .set __real_nothing, nothing
    wrap nothing

#include "wraps.h"
