// The stages of the transform for Cortex-M0 and M0+: bit for bit what first4, radix4 and last in fixed_spectrum.c give.
//
// Cycles (ARM DDI 0484C, 3.3): a load or store 2, of n registers 1 + n, a product 1, a branch taken 2. Low registers hold what
// is computed with, high ones pointers and constants; what fits into neither is pushed.

#if defined(__ARM_ARCH_6M__) && !defined(FIELDELM_PORTABLE)

#include "arm.h"

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

// void fieldelm_fast_first4(const int16_t *samples, const uint16_t *window, const uint16_t *start, int32_t *work, size_t points,
//     int32_t up, int32_t mean, int32_t down)
function fieldelm_fast_first4
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
end fieldelm_fast_first4

// One sample in \x against the range so far. r8: -lowest, r9: highest - lowest
.macro within x, t, outside, back
    mov \t, \x
    add \t, r8
    cmp \t, r9
    bhi \outside
\back:
.endm

// void fieldelm_fast_stats(const int16_t *samples, size_t m, stats *stats), m a multiple of 4 and samples at a word
function fieldelm_fast_stats
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
1:  ldmia r0!, {r5, r6}      // 40 cycles
    sxth r4, r5
    asrs r5, r5, #16
    adds r1, r1, r4
    adds r1, r1, r5
    within r4, r7, .Lfirst, .Lfirst_within
    within r5, r7, .Lsecond, .Lsecond_within
    muls r4, r4
    muls r5, r5
    adds r4, r4, r5
    adds r2, r2, r4
    bcs .Lcarry
.Lthird:
    sxth r4, r6
    asrs r6, r6, #16
    adds r1, r1, r4
    adds r1, r1, r6
    within r4, r7, .Lthird_outside, .Lthird_within
    within r6, r7, .Lfourth, .Lfourth_within
    muls r4, r4
    muls r6, r6
    adds r4, r4, r6
    adds r2, r2, r4
    bcs .Llast_carry
.Lnext:
    cmp r0, r10
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
.Lfirst:
    bl widen
    b .Lfirst_within
.Lsecond:
    bl widen
    b .Lsecond_within
.Lthird_outside:
    bl widen
    b .Lthird_within
.Lfourth:
    bl widen
    b .Lfourth_within
.Lcarry:
    adds r3, #1
    b .Lthird
.Llast_carry:
    adds r3, #1
    b .Lnext
    // r7 = sample - lowest is negative or above the range
widen:
    cmp r7, #0
    blt 1f
    mov r9, r7
    bx lr
1:  negs r7, r7              // the sample is the lowest now
    add r8, r7
    add r9, r7
    bx lr
end fieldelm_fast_stats

// void fieldelm_armv6m_bands(const uint32_t *power, const uint16_t *edges, uint64_t floor, int32_t gain, int32_t base,
//     const int32_t *offset, int32_t *out, size_t n, const uint32_t *table)
function fieldelm_armv6m_bands
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    sub sp, #36
    // 0: floor of the band, lower word, 4: where its sum begins, 8: 0, 12: floor of the band, upper word, 16: gain, 20: base as if
    // every highest bit were bit 31, 24: from out to offset, 28: floor of a bin
    str r2, [sp, #28]
    str r3, [sp, #32]
    mov r8, r0
    ldrh r4, [r1]
    adds r1, #2
    mov r9, r1
    lsls r4, r4, #2
    adds r0, r0, r4          // first bin of the band
    movs r5, #0
    mov r10, r5              // width in bytes
    str r5, [sp, #8]
    ldr r1, [sp, #72]
    str r1, [sp, #16]
    movs r2, #62
    muls r1, r2
    ldr r2, [sp, #76]
    adds r1, r1, r2
    str r1, [sp, #20]
    ldr r1, [sp, #84]
    mov r11, r1
    ldr r2, [sp, #80]
    subs r2, r2, r1
    str r2, [sp, #24]
    ldr r2, [sp, #88]
    lsls r2, r2, #2
    adds r1, r1, r2
    mov lr, r1
    ldr r1, [sp, #92]
    subs r1, #255
    subs r1, #1
    mov r12, r1              // 64 words before the table
    b .Lband
.Lwidth:                     // another one than before
    mov r10, r7
    lsrs r7, r7, #2
    ldr r3, [sp, #28]
    ldr r4, [sp, #32]
    uxth r2, r3
    muls r2, r7
    lsrs r3, r3, #16
    muls r3, r7
    muls r4, r7
    lsrs r5, r3, #16
    lsls r3, r3, #16
    adds r2, r2, r3
    adcs r4, r5
    str r2, [sp, #0]
    str r4, [sp, #12]
    lsrs r7, r7, #1          // pairs of bins: the loop of four is entered where the rest of the division leads
    lsls r4, r7, #30
    lsrs r4, r4, #30
    bne 1f
    cmp r7, #0
    beq 2f
    movs r4, #4
1:  movs r5, #10
    muls r4, r5
2:  adr r3, .Lrest
    subs r3, r3, r4
    str r3, [sp, #4]
    b .Lsum
.Lzero:
    movs r5, #62
    movs r3, #0
    b .Lscale
.Ltwo_words:
    lsls r3, r6, #31
    lsrs r2, r2, #1
    orrs r2, r3
    subs r5, #2
    lsrs r6, r6, #1
    bne .Ltwo_words
    b .Lnormal
.Lband:                      // 100 cycles for a band of 8
    mov r3, r9
    ldrh r1, [r3]
    adds r3, #2
    mov r9, r3
    lsls r1, r1, #2
    add r1, r8               // its end
    subs r7, r1, r0
    cmp r7, r10
    bne .Lwidth
.Lsum:
    add r3, sp, #0
    ldmia r3!, {r2, r4, r5, r6} // r6 r2: sum, r5: 0, then twice the number of places it is shifted up
    mov pc, r4
    .align 2
1:  .rept 4
    ldmia r0!, {r3, r4}
    adds r2, r2, r3
    adcs r6, r5
    adds r2, r2, r4
    adcs r6, r5
    .endr
.Lrest:
    cmp r0, r1
    beq 2f
    subs r3, r1, r0
    cmp r3, #4
    bne 1b
    ldmia r0!, {r3}
    adds r2, r2, r3
    adcs r6, r5
2:  cmp r6, #0
    bne .Ltwo_words
    lsrs r3, r2, #16
    bne 1f
    adds r5, #32
    lsls r2, r2, #16
    beq .Lzero
1:  lsrs r3, r2, #24
    bne 1f
    lsls r2, r2, #8
    adds r5, #16
1:  lsrs r3, r2, #28
    bne 1f
    lsls r2, r2, #4
    adds r5, #8
1:  lsrs r3, r2, #30
    bne 1f
    lsls r2, r2, #2
    adds r5, #4
1:  cmp r2, #0
    bmi .Lnormal
    lsls r2, r2, #1
    adds r5, #2
.Lnormal:
    lsrs r1, r2, #25
    lsls r1, r1, #2
    add r1, r12              // place in the table
    lsls r2, r2, #7
    lsrs r2, r2, #16         // part of a place
    ldmia r1!, {r3, r4}
    subs r4, r4, r3
    muls r4, r2
    lsrs r4, r4, #16
    adds r3, r3, r4          // below 2^16
.Lscale:
    add r1, sp, #16
    ldmia r1!, {r2, r4, r7}
    muls r3, r2
    lsrs r3, r3, #15
    muls r5, r2
    subs r3, r3, r5
    adds r3, r3, r4
    mov r1, r11
    ldr r5, [r1, r7]
    subs r3, r3, r5
    stmia r1!, {r3}
    mov r11, r1
    cmp r1, lr
    bne .Lband
    add sp, #36
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
end fieldelm_armv6m_bands

// One butterfly at r9, which moves on. r8: table, r10: distance of the four numbers in bytes, less 8.
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
    adds r4, #2              // half a unit of the results
    adds r5, #2
    lsls r4, r4, #12
    lsls r5, r5, #12
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
    pop {r0, r1}             // a - b
    adds r3, r0, r5
    subs r0, r0, r5
    subs r5, r1, r4
    adds r1, r1, r4
    asrs r3, r3, #14
    asrs r5, r5, #14
    asrs r0, r0, #14
    asrs r1, r1, #14
    stmia r2!, {r3, r5}
    add r2, r10
    stmia r2!, {r6, r7}
    add r2, r10
    stmia r2!, {r0, r1}
.endm

// void fieldelm_fast_radix4(int32_t *work, size_t points, size_t length, const int32_t *table)
function fieldelm_fast_radix4
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    sub sp, #8
    // 0: end of the numbers, 4: table; r11: end of the first quarter of the group
    mov r9, r0
    lsls r1, r1, #3
    adds r1, r0, r1
    str r1, [sp, #0]
    lsls r2, r2, #1
    subs r2, #8
    mov r10, r2
    str r3, [sp, #4]
1:  mov r0, r9
    add r0, r10
    adds r0, #8
    mov r11, r0
    ldr r0, [sp, #4]
    mov r8, r0
    butterfly 0
    cmp r9, r11
    beq 3f
2:  butterfly 1
    cmp r9, r11
    bne 2b
3:  mov r3, r10
    lsls r4, r3, #1
    adds r3, r3, r4
    adds r3, #24
    add r9, r3
    mov r2, r9
    ldr r3, [sp, #0]
    cmp r2, r3
    beq 4f
    b 1b
4:  add sp, #8
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
end fieldelm_fast_radix4

// |(\re, \im) + (\odd_re, \odd_im)|^2 in \sum and, with -, in \re, of numbers 2^14 times as large; \t may be \odd_re
.macro squared re, im, odd_re, odd_im, sum, t
    adds \sum, \re, \odd_re
    subs \re, \re, \odd_re
    adds \t, \im, \odd_im
    subs \im, \im, \odd_im
    asrs \sum, \sum, #14
    asrs \re, \re, #14
    asrs \t, \t, #14
    asrs \im, \im, #14
    muls \sum, \sum
    muls \re, \re
    muls \t, \t
    muls \im, \im
    adds \sum, \sum, \t
    adds \re, \re, \im
.endm

// void fieldelm_fast_last(int32_t *work, size_t points, const int32_t *table, uint32_t *power)
// for k = 1 .. points/4 - 1
function fieldelm_fast_last
    push {r4-r7, lr}
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
    sub sp, #4               // 0: half of points in bytes of power
    lsls r4, r1, #2          // points / 2 numbers of 8 bytes
    mov r10, r4
    lsrs r5, r4, #1
    str r5, [sp, #0]
    adds r6, r3, r5          // power[points / 2]
    subs r6, #4
    mov lr, r6
    adds r3, #4
    mov r12, r3
    adds r6, r0, r4
    subs r6, #8
    mov r9, r6
    adds r0, #8
    mov r8, r0
    mov r11, r2
1:  mov r2, r11              // 164 cycles for four bins
    ldmia r2!, {r4, r5, r6}
    mov r11, r2
    mov r0, r8
    add r0, r10
    ldmia r0, {r0, r1}
    turn r0, r1, r7          // W b: r1, r7
    mov r0, r9
    add r0, r10
    ldmia r0, {r0, r2}
    subs r3, r2, r0          // the conjugate of -b
    muls r3, r4
    muls r2, r5
    muls r0, r6
    adds r2, r2, r3          // turned: r2, r3
    adds r3, r3, r0
    mov r0, r8
    ldmia r0!, {r4, r5}
    mov r8, r0
    adds r4, #1              // half a unit of the results
    adds r5, #1
    lsls r4, r4, #12
    lsls r5, r5, #12
    adds r0, r4, r1          // p: r0, r6; p_half: r4, r5
    subs r4, r4, r1
    adds r6, r5, r7
    subs r5, r5, r7
    asrs r0, r0, #13
    asrs r4, r4, #13
    asrs r6, r6, #13
    asrs r5, r5, #13
    mov r7, r9
    subs r7, #8
    mov r9, r7
    ldr r1, [r7, #8]
    ldr r7, [r7, #12]
    adds r1, #1
    subs r7, #1
    negs r7, r7
    lsls r1, r1, #12
    lsls r7, r7, #12
    adds r1, r1, r2          // conj q: r1, r7; conj q_half: r2, r3
    lsls r2, r2, #1
    subs r2, r1, r2
    adds r7, r7, r3
    lsls r3, r3, #1
    subs r3, r7, r3
    asrs r1, r1, #13
    asrs r2, r2, #13
    asrs r7, r7, #13
    asrs r3, r3, #13
    // of bins k and points - k: even in r0, r6, odd in r3, r2
    adds r0, r0, r2
    lsls r2, r2, #1
    subs r2, r2, r0
    adds r6, r6, r3
    lsls r3, r3, #1
    subs r3, r6, r3
    push {r0, r6}
    // of bins points/2 - k and points/2 + k: even in r0, -r6, odd in r5, r4
    adds r0, r1, r4
    subs r4, r4, r1
    adds r6, r7, r5
    subs r5, r5, r7
    push {r0, r6}
    mov r0, r11
    ldmia r0!, {r1, r6, r7}  // cos, sin - cos, sin + cos; of the complement: sin, cos - sin, the same
    mov r11, r0
    adds r0, r3, r2
    muls r0, r1
    muls r2, r6
    muls r3, r7
    adds r2, r2, r0          // odd, turned: r2, r0
    subs r0, r0, r3
    subs r1, r7, r1
    adds r3, r5, r4
    muls r3, r1
    muls r4, r6
    muls r5, r7
    subs r4, r3, r4          // odd, turned: r4, r3
    subs r3, r3, r5
    pop {r5, r6}
    adds r5, #2
    subs r6, #2
    negs r6, r6
    lsls r5, r5, #12
    lsls r6, r6, #12
    squared r5, r6, r4, r3, r1, r7
    mov r3, lr
    mov r6, r12
    ldr r4, [sp, #8]
    str r1, [r3]
    str r5, [r6, r4]
    pop {r1, r5}
    adds r1, #2
    adds r5, #2
    lsls r1, r1, #12
    lsls r5, r5, #12
    squared r1, r5, r2, r0, r7, r2
    str r1, [r3, r4]
    stmia r6!, {r7}
    mov r12, r6
    subs r3, #4
    mov lr, r3
    cmp r8, r9               // work + points / 4 numbers
    beq 2f
    b 1b
2:  add sp, #4
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
    pop {r4-r7, pc}
end fieldelm_fast_last

#endif
