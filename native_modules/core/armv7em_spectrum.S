// The stages of the transform for Cortex-M4 and M33 (ARMv7E-M, ARMv8-M with DSP): bit for bit what first4, radix4 and last in
// fixed_spectrum.c give.
//
// smmulr is the shift that rounds: by 2^(32 - n) it gives (x + 2^(n - 1)) >> n. smulwb and smulwt multiply 32 by 16 bits and cut 16.

#if defined(__ARM_FEATURE_DSP) && __ARM_ARCH_PROFILE == 'M' && !defined(FIELDELM_PORTABLE)

#include "arm.h"

// x + y and x - y
.macro both x, y
    add \x, \x, \y
    sub \y, \x, \y, lsl #1
.endm

// x 2^12 + w in w and x 2^12 - w in x
.macro scaled x, w
    add \w, \w, \x, lsl #12
    rsb \x, \w, \x, lsl #13
.endm

.macro rounded by, registers:vararg
    .irp r, \registers
    smmulr \r, \r, \by
    .endr
.endm

// two samples at \at times their windows. \im becomes the odd one; \w: clobbered, may be \at. lr: 2^up, r12: -mean
.macro windowed at, re, im, w
    ldr \im, [\at]
    ldr \w, [\at, r1]
    smlabb \re, \im, lr, r12
    smlatb \im, \im, lr, r12
    smulwb \re, \re, \w
    smulwt \im, \im, \w
.endm

// void fieldelm_fast_first4(const int16_t *samples, const uint16_t *window, const uint16_t *start, int32_t *work, size_t points,
//     int32_t up, int32_t mean), down = 16, up < 15
function fieldelm_fast_first4
    push {r4-r11, lr}
    ldrd r4, r5, [sp, #36]
    ldr r12, [sp, #44]
    rsb r12, r12, #0
    sub r1, r1, r0
    movs r6, #1
    lsl lr, r6, r5
    sub r5, r4, #4
    add lr, lr, r5, lsl #14  // in the upper half: blocks, points / 4, less 1
1:  ldrh r5, [r2], #2
    add r5, r0, r5, lsl #2
    windowed r5, r6, r7, r8     // a
    add r8, r5, r4, lsl #1
    windowed r8, r9, r10, r8    // b
    both r6, r9
    both r7, r10
    strd r9, r10, [r3, #8]      // a - b
    add r5, r5, r4
    windowed r5, r8, r9, r10    // c
    add r5, r5, r4, lsl #1
    windowed r5, r10, r11, r5   // d
    both r8, r10
    both r9, r11
    both r6, r8
    both r7, r9
    strd r6, r7, [r3]
    strd r8, r9, [r3, #16]
    ldrd r6, r7, [r3, #8]
    both r6, r11
    both r7, r10
    strd r6, r10, [r3, #8]
    strd r11, r7, [r3, #24]
    add r3, r3, #32
    subs lr, lr, #0x10000
    bcs 1b
    pop {r4-r11, pc}
end fieldelm_fast_first4

// void fieldelm_fast_radix4(int32_t *work, size_t points, size_t length, const int32_t *table)
function fieldelm_fast_radix4
    push {r4-r11, lr}
    add r1, r0, r1, lsl #3
    lsls r2, r2, #1
    sub sp, #16
    strd r2, r3, [sp]        // a quarter's bytes, table; 8: end of the group's first quarter, 12: end of all
    str r1, [sp, #12]
1:  ldrd r4, r12, [sp]
    add r1, r0, r4
    add r2, r1, r4
    add r3, r2, r4
    str r1, [sp, #8]
    ldrd r4, r5, [r0]        // the first turns by nothing
    ldrd r6, r7, [r1]
    ldrd r8, r9, [r2]
    ldrd r10, r11, [r3]
    both r4, r6
    both r5, r7
    both r8, r10
    both r9, r11
    both r4, r8
    both r5, r9
    both r6, r11
    both r7, r10
    mov lr, #(1 << 30)
    rounded lr, r4, r5, r6, r7, r8, r9, r10, r11
    strd r4, r5, [r0], #8
    strd r6, r10, [r1], #8
    strd r8, r9, [r2], #8
    strd r11, r7, [r3], #8
    mov lr, #(1 << 18)
2:  ldrd r4, r5, [r1]        // b, turned: r7, r8
    ldm r12!, {r6, r7, r8}
    add r9, r4, r5
    mul r9, r9, r6
    mla r7, r5, r7, r9
    mls r8, r4, r8, r9
    ldrd r4, r5, [r2]        // c, turned: r9, r10
    ldm r12!, {r6, r9, r10}
    add r11, r4, r5
    mul r11, r11, r6
    mla r9, r5, r9, r11
    mls r10, r4, r10, r11
    ldrd r4, r5, [r3]        // d, turned: r5, r4
    ldr r6, [r12], #4
    add r11, r4, r5
    mul r11, r11, r6
    ldr r6, [r12], #4
    mla r5, r5, r6, r11
    ldr r6, [r12], #4
    mls r4, r4, r6, r11
    both r9, r5              // c + d, c - d
    both r10, r4
    ldrd r6, r11, [r0]
    scaled r6, r7            // a + b, a - b: r7, r8 and r6, r11
    scaled r11, r8
    both r7, r9
    both r8, r10
    both r6, r4
    both r11, r5
    rounded lr, r4, r5, r6, r7, r8, r9, r10, r11
    strd r7, r8, [r0], #8
    strd r6, r5, [r1], #8
    strd r9, r10, [r2], #8
    strd r4, r11, [r3], #8
    ldr r4, [sp, #8]
    cmp r0, r4
    bne 2b
    ldr r4, [sp, #12]
    mov r0, r3
    cmp r0, r4
    bne 1b
    add sp, #16
    pop {r4-r11, pc}
end fieldelm_fast_radix4

// void fieldelm_fast_last(int32_t *work, size_t points, const int32_t *table, uint32_t *power)
// P, Q: bins k and points / 2 - k of the transform, P', Q' those half of it farther, all by way of the lower half: of Q and Q' the
// imaginary parts have the other sign
function fieldelm_fast_last
    push {r4-r11, lr}
    lsls lr, r1, #1           // bytes of a quarter of the power
    add r12, r3, lr           // power[points / 2 - k], one ahead
    adds r3, r3, #4           // power[k]
    add r1, r0, r1, lsl #2    // z[points / 2 - k]
    subs r1, r1, #8
    adds r0, r0, #8           // z[k]
    b 2f
1:  add r4, r0, lr, lsl #1
    ldrd r4, r5, [r4]
    ldm r2!, {r6, r7, r8}
    add r9, r4, r5
    mul r9, r9, r6
    mla r5, r5, r7, r9
    mls r4, r4, r8, r9
    ldrd r9, r10, [r0]
    scaled r9, r5             // P: r5, r4, P': r9, r10
    scaled r10, r4
    mov r11, #(1 << 19)
    rounded r11, r4, r5, r9, r10
    strd r5, r4, [r0]
    add r11, r1, lr, lsl #1
    ldrd r4, r5, [r11]
    sub r11, r5, r4
    mul r11, r11, r6
    mla r5, r5, r7, r11
    mla r4, r4, r8, r11
    ldrd r6, r7, [r1]
    scaled r6, r5             // Q: r5, -r4, Q': r6, -r7
    sub r4, r4, r7, lsl #12
    add r7, r4, r7, lsl #13
    rsb r7, r7, #0
    mov r11, #(1 << 19)
    rounded r11, r4, r5, r6, r7
    strd r6, r7, [r1]
    both r5, r9               // Q and P': even part r5, -r4; odd part r10, -r9
    add r4, r4, r10
    rsb r10, r4, r10, lsl #1
    ldm r2!, {r6, r7, r8}
    rsb r6, r6, r8            // a quarter of a turn less: sin, -(sin - cos), sin + cos
    sub r11, r10, r9
    mul r11, r11, r6
    mla r9, r9, r7, r11
    mls r10, r10, r8, r11
    scaled r5, r9
    sub r10, r10, r4, lsl #12
    add r4, r10, r4, lsl #13
    rsb r4, r4, #0
    mov r11, #(1 << 18)
    rounded r11, r4, r5, r9, r10
    mul r9, r9, r9
    mla r9, r10, r10, r9
    str r9, [r12, #-4]!
    mul r5, r5, r5
    mla r5, r4, r4, r5
    str r5, [r3, lr]
    ldrd r4, r5, [r0], #8     // P and Q': even part r4, r5; odd part r10, -r9
    ldrd r9, r10, [r1], #-8
    both r4, r9
    add r5, r5, r10
    sub r10, r5, r10, lsl #1
    sub r6, r8, r6
    sub r11, r10, r9
    mul r11, r11, r6
    mls r9, r9, r7, r11
    mls r10, r10, r8, r11
    scaled r4, r9
    scaled r5, r10
    mov r11, #(1 << 18)
    rounded r11, r4, r5, r9, r10
    mul r9, r9, r9
    mla r9, r10, r10, r9
    str r9, [r3], #4
    mul r4, r4, r4
    mla r4, r5, r5, r4
    str r4, [r12, lr]
2:  cmp r0, r1
    blo 1b
    pop {r4-r11, pc}
end fieldelm_fast_last

// void fieldelm_fast_stats(const int16_t *samples, size_t m, fieldelm_fixed_stats_t *stats), m a multiple of 4
function fieldelm_fast_stats
    push {r4-r10, lr}
    add r1, r0, r1, lsl #1
    mov r12, #0x00010001
    movs r3, #0              // sum
    movs r4, #0              // of squares
    movs r5, #0
    ldr r6, [r0]             // smallest of the even and of the odd samples
    mov r7, r6               // largest
1:  ldrd r8, r9, [r0], #8
    .irp x, r8, r9
    smlad r3, \x, r12, r3
    smlald r4, r5, \x, \x
    ssub16 r10, \x, r6
    sel r6, r6, \x
    ssub16 r10, r7, \x
    sel r7, r7, \x
    .endr
    cmp r0, r1
    bne 1b
    str r3, [r2]
    strd r4, r5, [r2, #8]
    sxth r4, r6
    asrs r6, r6, #16
    cmp r4, r6
    it gt
    movgt r4, r6
    sxth r5, r7
    asrs r7, r7, #16
    cmp r5, r7
    it lt
    movlt r5, r7
    strd r4, r5, [r2, #16]
    pop {r4-r10, pc}
end fieldelm_fast_stats

#endif
