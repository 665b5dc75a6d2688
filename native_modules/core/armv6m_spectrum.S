// The stages of the transform for Cortex-M0 and M0+: bit for bit what first4, radix4 and last in fixed_spectrum.c give.
//
// Cycles (ARM DDI 0484C, 3.3): a load or store 2, of n registers 1 + n, a product 1, a branch taken 2. Low registers hold what
// is computed with, high ones pointers and constants; what fits into neither is pushed.

#if defined(__ARM_ARCH_6M__) && !defined(FIELDELM_PORTABLE)

#include "armv6m.h"

// (\re, \im) e^(-i angle) 2^12 with the three words in r4, r5, r6; the real part ends in \im, the imaginary one in \t
.macro turn re, im, t
    adds \t, \re, \im
    muls \t, r4
    muls \im, r5
    muls \re, r6
    adds \im, \im, \t
    subs \t, \t, \re
.endm

// two samples at r0 (which moves on by \step) times their windows: re in r2, im in r4. r1: from samples to window in bytes, r3: up,
// r7: down, r8: -mean
.macro windowed step
    ldr r4, [r0]
    ldr r5, [r0, r1]
    .ifnb \step
    add r0, \step
    .endif
    sxth r2, r4
    asrs r4, r4, #16
    uxth r6, r5
    lsrs r5, r5, #16
    lsls r2, r3
    lsls r4, r3
    add r2, r8
    add r4, r8
    muls r2, r6
    muls r4, r5
    asrs r2, r7
    asrs r4, r7
.endm

// void fieldelm_armv6m_first4(const int16_t *samples, const uint16_t *window, const uint16_t *start, int32_t *work, size_t points,
//     int32_t up, int32_t mean, int32_t down)
function fieldelm_armv6m_first4
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    sub sp, #28
    // 0: start, 4: its end, 8: samples, 12: from samples to window, 16: up, 20: down, 24: -one stride
    subs r1, r1, r0
    str r0, [sp, #8]
    str r1, [sp, #12]
    str r2, [sp, #0]
    mov lr, r3
    ldr r4, [sp, #64] // points
    lsrs r5, r4, #1   // points / 4 blocks of 2 bytes
    adds r2, r2, r5
    str r2, [sp, #4]
    negs r5, r4       // points / 4 numbers of 4 bytes
    str r5, [sp, #24]
    adds r4, r4, r4
    mov r10, r4
    ldr r4, [sp, #68]
    str r4, [sp, #16]
    mov r12, r4
    ldr r4, [sp, #72]
    negs r4, r4
    mov r8, r4
    ldr r4, [sp, #76]
    str r4, [sp, #20]
    ldr r5, [sp, #0]
1:  ldrh r0, [r5]
    adds r5, #2
    str r5, [sp, #0]
    lsls r0, r0, #2
    ldr r1, [sp, #8]
    adds r0, r0, r1
    ldr r1, [sp, #12]
    mov r3, r12
    ldr r7, [sp, #20]
    windowed r10             // a
    mov r9, r2
    mov r11, r4
    windowed                 // b
    mov r5, r9
    mov r6, r11
    subs r7, r5, r2          // a - b
    adds r2, r5, r2          // a + b
    subs r5, r6, r4
    adds r3, r6, r4
    ldr r6, [sp, #24]
    adds r0, r0, r6
    ldr r6, [sp, #20]
    push {r2, r3, r5, r7}
    mov r7, r6
    mov r3, r12
    windowed r10             // c
    mov r9, r2
    mov r11, r4
    windowed                 // d
    mov r5, r9
    mov r6, r11
    subs r3, r5, r2          // c - d
    adds r5, r5, r2          // c + d
    subs r7, r6, r4
    adds r6, r6, r4
    pop {r1, r2}
    mov r4, lr
    adds r0, r1, r5
    subs r5, r1, r5
    adds r1, r2, r6
    subs r6, r2, r6
    stmia r4!, {r0, r1}
    pop {r0, r1}
    adds r2, r1, r7
    subs r7, r1, r7
    adds r1, r0, r3
    subs r3, r0, r3
    mov r0, r7
    stmia r4!, {r2, r3, r5, r6}
    stmia r4!, {r0, r1}
    mov lr, r4
    ldr r5, [sp, #0]
    ldr r4, [sp, #4]
    cmp r5, r4
    bne 1b
    add sp, #28
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
end fieldelm_armv6m_first4

// One sample in \x against the range so far. r8: -lowest, r9: highest - lowest
.macro within x, t, outside, back
    mov \t, \x
    add \t, r8
    cmp \t, r9
    bhi \outside
\back:
.endm

// void fieldelm_armv6m_stats(const int16_t *samples, size_t m, stats *stats), m even and samples at a word
function fieldelm_armv6m_stats
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    mov r11, r2
    lsls r1, r1, #1
    adds r1, r0, r1
    mov r10, r1
    movs r4, #0
    ldrsh r5, [r0, r4]
    negs r5, r5
    mov r8, r5
    mov r9, r4
    movs r1, #0              // r1: sum, r2, r3: squares
    movs r2, #0
    movs r3, #0
1:  ldmia r0!, {r5}          // 20 cycles
    sxth r4, r5
    asrs r5, r5, #16
    adds r1, r1, r4
    adds r1, r1, r5
    within r4, r7, 3f, 2
    within r5, r7, 5f, 4
    muls r4, r4
    muls r5, r5
    adds r4, r4, r5
    adds r2, r2, r4
    bcs 7f
6:  cmp r0, r10
    bne 1b
    mov r7, r11
    str r1, [r7, #0]
    str r2, [r7, #8]
    str r3, [r7, #12]
    mov r4, r8
    negs r4, r4
    str r4, [r7, #16]
    add r4, r9
    str r4, [r7, #20]
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
3:  mov r6, r4
    bl widen
    b 2b
5:  mov r6, r5
    bl widen
    b 4b
7:  adds r3, #1
    b 6b
    // r7 = sample - lowest is negative or above the range
widen:
    cmp r7, #0
    blt 1f
    mov r9, r7
    bx lr
1:  negs r6, r6              // the sample is the lowest now
    mov r8, r6
    mov r6, r9
    subs r6, r6, r7
    mov r9, r6
    bx lr
end fieldelm_armv6m_stats

// int32_t fieldelm_armv6m_log2_sum(const uint32_t *from, const uint32_t *to, const uint64_t *start, const uint32_t *table): at least
// one number
function fieldelm_armv6m_log2_sum
    push {r4, r5, r6, lr}
    mov r12, r3
    ldmia r2!, {r3}
    ldr r6, [r2]
    movs r2, r3              // r6 r2: the sum
    subs r4, r1, r0
    lsls r4, r4, #29         // an odd number of them?
    bpl 1f
    ldmia r0!, {r4}
    adds r2, r2, r4
    bcs .Lcarry_odd
.Lsum:
    cmp r0, r1
    beq .Lsummed
1:  ldmia r0!, {r4, r5}      // 9 cycles for two
    adds r2, r2, r4
    bcs .Lcarry_first
.Lsecond:
    adds r2, r2, r5
    bcs .Lcarry_second
.Lnext:
    cmp r0, r1
    bne 1b
.Lsummed:
    movs r0, #31             // r0: highest bit
    movs r5, #0              // r5: what lies below the word, r3: 32 if there is such
    movs r3, #0
    cmp r6, #0
    bne .Ltwo_words
.Lnormalise:
    lsrs r1, r2, #16
    bne 1f
    subs r0, #16
    lsls r2, r2, #16
    beq 2f                   // nothing at all
1:  lsrs r1, r2, #24
    bne 1f
    lsls r2, r2, #8
    subs r0, #8
1:  lsrs r1, r2, #28
    bne 1f
    lsls r2, r2, #4
    subs r0, #4
1:  lsrs r1, r2, #30
    bne 1f
    lsls r2, r2, #2
    subs r0, #2
1:  cmp r2, #0
    bmi 1f
    lsls r2, r2, #1
    subs r0, #1
1:  adds r1, r0, #1
    lsrs r5, r1
    orrs r2, r5
    adds r0, r3
    lsls r1, r2, #1
    lsrs r1, r1, #26
    lsls r1, r1, #2          // place in the table
    lsls r2, r2, #7
    lsrs r2, r2, #16         // part of a place
    add r1, r12
    ldmia r1!, {r3}
    ldr r1, [r1]
    subs r1, r1, r3
    muls r1, r2
    lsrs r1, r1, #16
    adds r1, r3
    lsls r0, r0, #16
    adds r0, r1
    pop {r4, r5, r6, pc}
2:  movs r0, #0
    pop {r4, r5, r6, pc}
.Lcarry_odd:
    adds r6, #1
    b .Lsum
.Lcarry_first:
    adds r6, #1
    b .Lsecond
.Lcarry_second:
    adds r6, #1
    b .Lnext
.Ltwo_words:
    movs r5, r2
    movs r2, r6
    movs r3, #32
    b .Lnormalise
end fieldelm_armv6m_log2_sum

// One butterfly at r9, which moves on. r8: table, r10: distance of the four numbers in bytes, less 8, r11: half a unit.
.macro butterfly turned
    mov r0, r9
    add r0, r10
    adds r0, #8
    .if \turned
    mov r1, r8
    ldmia r1!, {r4, r5, r6}
    ldmia r0!, {r2, r3}
    turn r2, r3, r7          // b: r3, r7
    .else
    ldmia r0!, {r3, r7}
    lsls r3, r3, #12
    lsls r7, r7, #12
    .endif
    mov r2, r9
    ldmia r2!, {r4, r5}
    lsls r4, r4, #12
    lsls r5, r5, #12
    add r4, r11
    add r5, r11
    adds r2, r4, r3          // a + b
    subs r4, r4, r3          // a - b
    adds r3, r5, r7
    subs r5, r5, r7
    push {r2, r3, r4, r5}
    add r0, r10
    .if \turned
    ldmia r1!, {r4, r5, r6}
    ldmia r0!, {r2, r3}
    turn r2, r3, r7          // c
    mov r12, r3
    mov lr, r7
    add r0, r10
    ldmia r1!, {r4, r5, r6}
    mov r8, r1
    ldmia r0!, {r2, r3}
    turn r2, r3, r7          // d
    mov r5, r12
    mov r6, lr
    .else
    ldmia r0!, {r5, r6}
    lsls r5, r5, #12
    lsls r6, r6, #12
    add r0, r10
    ldmia r0!, {r3, r7}
    lsls r3, r3, #12
    lsls r7, r7, #12
    .endif
    adds r2, r5, r3          // c + d: r2, r3; c - d: r4, r5
    subs r4, r5, r3
    adds r3, r6, r7
    subs r5, r6, r7
    pop {r6, r7}             // a + b
    adds r0, r6, r2
    adds r1, r7, r3
    asrs r0, r0, #14
    asrs r1, r1, #14
    subs r6, r6, r2
    subs r7, r7, r3
    asrs r6, r6, #14
    asrs r7, r7, #14
    mov r2, r9
    stmia r2!, {r0, r1}
    mov r9, r2
    add r2, r10
    mov r3, r2
    add r3, r10
    adds r3, #8
    stmia r3!, {r6, r7}
    pop {r0, r1}             // a - b
    adds r6, r0, r5
    subs r7, r1, r4
    asrs r6, r6, #14
    asrs r7, r7, #14
    stmia r2!, {r6, r7}
    subs r0, r0, r5
    adds r1, r1, r4
    asrs r0, r0, #14
    asrs r1, r1, #14
    add r3, r10
    stmia r3!, {r0, r1}
.endm

// void fieldelm_armv6m_radix4(int32_t *work, size_t points, size_t length, const int32_t *table)
function fieldelm_armv6m_radix4
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    sub sp, #12
    // 0: end of the first quarter of the group, 4: end of the numbers, 8: table
    mov r9, r0
    lsls r1, r1, #3
    adds r1, r0, r1
    str r1, [sp, #4]
    lsls r2, r2, #1
    subs r2, #8
    mov r10, r2
    str r3, [sp, #8]
    movs r4, #1
    lsls r4, r4, #13
    mov r11, r4
1:  mov r0, r9
    add r0, r10
    adds r0, #8
    str r0, [sp, #0]
    ldr r0, [sp, #8]
    mov r8, r0
    butterfly 0
    mov r2, r9
    ldr r3, [sp, #0]
    cmp r2, r3
    beq 3f
2:  butterfly 1
    mov r2, r9
    ldr r3, [sp, #0]
    cmp r2, r3
    bne 2b
3:  mov r3, r10
    lsls r4, r3, #1
    adds r3, r3, r4
    adds r3, #24
    add r9, r3
    mov r2, r9
    ldr r3, [sp, #4]
    cmp r2, r3
    beq 4f
    b 1b
4:  add sp, #12
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
end fieldelm_armv6m_radix4

// (r4, r5) 2^12 + half +- (\re, \im): the sum in r2, \sum_im and the difference in r4, r5, shifted down by \bits
.macro halves re, im, sum_im, bits
    adds r2, r4, \re
    subs r4, r4, \re
    adds \sum_im, r5, \im
    subs r5, r5, \im
    asrs r2, r2, #\bits
    asrs r4, r4, #\bits
    asrs \sum_im, \sum_im, #\bits
    asrs r5, r5, #\bits
.endm

// void fieldelm_armv6m_last(int32_t *work, size_t points, const int32_t *table, uint32_t *power)
// for k = 1 .. points/4 - 1
function fieldelm_armv6m_last
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    sub sp, #8
    // 0: half of points in bytes of power, 4: end of the ascending pointer
    lsls r4, r1, #2          // points / 2 numbers of 8 bytes
    mov r10, r4
    lsrs r5, r4, #1
    str r5, [sp, #0]
    adds r6, r3, r5          // power[points / 2]
    subs r6, #4
    mov lr, r6
    adds r3, #4
    mov r12, r3
    adds r6, r0, r5          // work + points / 4 numbers
    str r6, [sp, #4]
    adds r6, r0, r4
    subs r6, #8
    mov r9, r6
    adds r0, #8
    mov r8, r0
    mov r11, r2
1:  mov r0, r8
    add r0, r10
    ldmia r0!, {r2, r3}
    mov r1, r11
    ldmia r1!, {r4, r5, r6}
    turn r2, r3, r7
    mov r0, r8
    ldmia r0!, {r4, r5}
    mov r8, r0
    movs r6, #1
    lsls r6, r6, #12
    lsls r4, r4, #12
    lsls r5, r5, #12
    adds r4, r4, r6
    adds r5, r5, r6
    halves r3, r7, r6, 13    // p: r2, r6; p_half: r4, r5
    push {r2, r4, r5, r6}
    mov r0, r9
    add r0, r10
    ldr r2, [r0, #0]
    ldr r3, [r0, #4]
    subs r1, #12
    ldmia r1!, {r4, r5, r6}
    subs r7, r3, r2          // the conjugate of -b
    muls r7, r4
    muls r3, r5
    muls r2, r6
    adds r3, r3, r7
    adds r7, r7, r2
    mov r0, r9
    ldr r4, [r0, #0]
    ldr r5, [r0, #4]
    subs r0, #8
    mov r9, r0
    movs r6, #1
    lsls r6, r6, #12
    lsls r4, r4, #12
    lsls r5, r5, #12
    adds r4, r4, r6
    subs r5, r6, r5
    halves r3, r7, r6, 13    // conj q: r2, r6; conj q_half: r4, r5
    mov r3, r4
    mov r7, r5               // conj q_half: r3, r7
    mov r0, r2               // conj q: r0, r6
    pop {r2, r4, r5}
    mov r11, r1
    ldr r1, [sp, #0]         // p.im
    str r0, [sp, #0]         // conj q.re; its imaginary part and p_half follow
    push {r4, r5, r6}
    // bins k and points - k
    adds r4, r2, r3          // even.re
    subs r3, r3, r2          // odd.im
    adds r5, r1, r7          // even.im
    subs r2, r1, r7          // odd.re
    movs r6, #1
    lsls r6, r6, #13
    lsls r0, r4, #12
    lsls r1, r5, #12
    adds r0, r0, r6
    adds r1, r1, r6
    mov r7, r11
    ldmia r7!, {r4, r5, r6}
    mov r11, r7
    turn r2, r3, r7
    adds r4, r0, r3
    subs r0, r0, r3
    adds r5, r1, r7
    subs r1, r1, r7
    asrs r4, r4, #14
    asrs r5, r5, #14
    asrs r0, r0, #14
    asrs r1, r1, #14
    muls r4, r4
    muls r5, r5
    muls r0, r0
    muls r1, r1
    adds r4, r4, r5
    adds r0, r0, r1
    mov r1, r12
    str r4, [r1]
    ldr r5, [sp, #16]
    mov r1, lr
    str r0, [r1, r5]
    // bins points/2 - k and points/2 + k
    pop {r2, r3, r6, r7}     // p_half: r2, r3; conj q.im: r6; conj q.re: r7
    adds r4, r7, r2          // even.re
    subs r1, r2, r7          // odd.im
    adds r5, r6, r3          // -even.im
    subs r0, r3, r6          // odd.re
    mov r7, r11
    subs r7, #12
    ldmia r7!, {r2, r3, r6}  // cos, sin - cos, sin + cos of the complement: sin, cos - sin, the same
    subs r2, r6, r2
    negs r3, r3
    adds r7, r0, r1
    muls r7, r2
    muls r1, r3
    muls r0, r6
    adds r1, r1, r7          // re
    subs r7, r7, r0          // im
    movs r6, #1
    lsls r6, r6, #13
    lsls r4, r4, #12
    lsls r5, r5, #12
    adds r4, r4, r6
    subs r5, r6, r5
    halves r1, r7, r6, 14    // r2, r6; r4, r5
    muls r2, r2
    muls r6, r6
    muls r4, r4
    muls r5, r5
    adds r2, r2, r6
    adds r4, r4, r5
    mov r1, lr
    str r2, [r1]
    subs r1, #4
    mov lr, r1
    ldr r5, [sp, #0]
    mov r1, r12
    str r4, [r1, r5]
    adds r1, #4
    mov r12, r1
    mov r0, r8
    ldr r1, [sp, #4]
    cmp r0, r1
    beq 2f
    b 1b
2:  add sp, #8
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
end fieldelm_armv6m_last

#endif
