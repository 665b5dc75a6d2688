// The autoencoder's loops for Cortex-M4 and M33 (ARMv7E-M, ARMv8-M with DSP): bit for bit what the functions of the same names in
// fixed_score.c, fixed_explain.c and fixed_learn.c give.

#if defined(__ARM_FEATURE_DSP) && __ARM_ARCH_PROFILE == 'M' && !defined(FIELDELM_PORTABLE)

#include "arm.h"

// void fieldelm_fast_fold(const int16_t *x, size_t n, uint32_t *state, int32_t *sums, size_t size), x filled up to whole words
function fieldelm_fast_fold
    push {r4-r11, lr}
    adds r1, r1, #1
    lsrs r1, r1, #1          // pairs
    ldrd r4, r5, [r2]        // shift register
    ldr r6, [sp, #36]
    add r6, r3, r6, lsl #2   // end of the sums
    mov r8, #0
    mov r9, #0
    mov r10, #0
    mov r11, #0
    mov r7, r3
1:  stm r7!, {r8, r9, r10, r11}
    cmp r7, r6
    bne 1b
    mov r12, #0
    mov r7, r3
2:  eor r4, r4, r4, lsl #5   // the next 16 signs
    uxth r4, r4
    eor r4, r4, r4, lsr #3
    eor r4, r4, r5, lsr #1
    eor r8, r4, r5
    mov r4, r5
    mov r5, r8
    rbit r8, r8              // the first on top of both halves, the second on top of the upper one
    lsl r9, r8, #1
    pkhtb r8, r9, r8, asr #16
    subs r1, r1, #8
    bge 3f
    mov r9, #-36            // bytes of a pair's code: those of the pairs that are not there are skipped
    mul r9, r9, r1
    add pc, r9
    nop
3:  .rept 8
    ldr.w r9, [r0], #4
    ssub16 r10, r12, r9
    sadd16 r11, r8, r12
    sel r9, r10, r9
    lsl.w r8, r8, #2
    ldrd r10, r11, [r7]
    sxtah r10, r10, r9
    add.w r11, r11, r9, asr #16
    strd r10, r11, [r7], #8
    .endr
    cmp r7, r6
    it eq
    moveq r7, r3
    cmp r1, #0
    bgt 2b
    strd r4, r5, [r2]
    pop {r4-r11, pc}
end fieldelm_fast_fold

// uint32_t fieldelm_fast_residuals(const int16_t *x, size_t pairs, const int32_t *a, size_t h, const int32_t *beta, int32_t *e,
//     int32_t up), h even
function fieldelm_fast_residuals
    push {r4-r11, lr}
    ldrd r12, r5, [sp, #36]  // beta, e
    ldr r6, [sp, #44]        // up
    mov lr, r3
    add r3, r2, r3, lsl #2   // end of a
    movs r4, #0              // magnitudes
    push {r0, r1, r2, r4, r5, r6}
1:  ldr r2, [sp, #8]
    mov r0, #0               // sums: even, odd column
    mov r1, #0
    tst lr, #2
    beq 3f
    ldrd r4, r5, [r2], #8
    ldm r12!, {r8, r9, r10, r11}
    smlabt r0, r4, r8, r0
    smlabt r1, r4, r9, r1
    smlabt r0, r5, r10, r0
    smlabt r1, r5, r11, r1
    b 3f
2:  ldm r2!, {r4, r5, r6, r7}
    ldm r12!, {r8, r9, r10, r11}
    smlabt r0, r4, r8, r0
    smlabt r1, r4, r9, r1
    smlabt r0, r5, r10, r0
    smlabt r1, r5, r11, r1
    ldm r12!, {r8, r9, r10, r11}
    smlabt r0, r6, r8, r0
    smlabt r1, r6, r9, r1
    smlabt r0, r7, r10, r0
    smlabt r1, r7, r11, r1
3:  cmp r2, r3
    bne 2b
    ldr r4, [sp]
    ldrd r6, r7, [sp, #12]   // magnitudes, e
    ldr r8, [sp, #20]
    ldr r5, [r4], #4
    str r4, [sp]
    sxth r4, r5
    asrs r5, r5, #16
    lsls r4, r8
    lsls r5, r8
    subs r4, r4, r0
    subs r5, r5, r1
    strd r4, r5, [r7], #8
    eor r4, r4, r4, asr #31
    eor r5, r5, r5, asr #31
    orrs r6, r4
    orrs r6, r5
    strd r6, r7, [sp, #12]
    ldr r4, [sp, #4]
    subs r4, r4, #1
    str r4, [sp, #4]
    bne 1b
    mov r0, r6
    add sp, #24
    pop {r4-r11, pc}
end fieldelm_fast_residuals

// \a, \b: by how much each of two factors of at most 16 bits is shifted for their product times 2^(32 - down). \b is down first
.macro shifts a, b
    rsb \b, \b, #32
    mov \a, \b
    cmp \a, #15
    it gt
    movgt \a, #15
    sub \b, \b, \a
.endm

// beta in r8 to r11 += products with gains \k0 and \k1. smmla adds the upper word of a product, which rounds down; with 2^32 - 1 below
// beta it is rounded up
.macro add_products up, k0, k1
    ldm r0, {r8, r9, r10, r11}
    .if \up
    mov r12, #-1
    smlal r12, r8, \k0, r2
    mov r12, #-1
    smlal r12, r9, \k0, r3
    mov r12, #-1
    smlal r12, r10, \k1, r2
    mov r12, #-1
    smlal r12, r11, \k1, r3
    .else
    smmla r8, \k0, r2, r8
    smmla r9, \k0, r3, r9
    smmla r10, \k1, r2, r10
    smmla r11, \k1, r3, r11
    .endif
    stm r0!, {r8, r9, r10, r11}
.endm

.macro columns up
1:  ldr r12, [lr]
    ldrd r4, r5, [lr, #8]    // mantissa, shift
    ldrd r2, r3, [r12], #8
    str r12, [lr]
    asrs r2, r4
    asrs r3, r4
    lsls r2, r5
    lsls r3, r5
    mov r1, sp
    sub r4, lr, r1
    tst r4, #8               // rows & 2
    beq 3f
    ldrd r4, r5, [r1], #8
    add_products \up, r4, r5
    b 3f
2:  ldm r1!, {r4, r5, r6, r7}
    add_products \up, r4, r5
    add_products \up, r6, r7
3:  cmp r1, lr
    bne 2b
    ldr r4, [lr, #4]
    subs r4, r4, #1
    str r4, [lr, #4]
    bne 1b
.endm

// void fieldelm_fast_weights(int32_t *beta, const int32_t *k, size_t h, const int32_t *e, size_t pairs, int32_t mantissa, int32_t down,
//     int32_t direction), h even, 1 <= down, |k| <= 2^15
function fieldelm_fast_weights
    push {r4-r11, lr}
    ldrd r4, r5, [sp, #36]   // pairs, mantissa
    ldrd r7, r8, [sp, #44]   // down, direction
    shifts r6, r7
    push {r3, r4, r5, r7}
    mov lr, sp
    sub sp, sp, r2, lsl #2
    mov r4, sp
2:  ldr r5, [r1], #4         // gains: shifted, and with the sign that makes a sum of it
    mul r5, r5, r8
    lsls r5, r6
    str r5, [r4], #4
    cmp r4, lr
    bne 2b
    cmp r8, #0
    blt 4f
    columns 0
    b 5f
4:  columns 1
5:  mov sp, lr
    add sp, #16
    pop {r4-r11, pc}
end fieldelm_fast_weights

// void fieldelm_fast_gain(const int32_t *p, const int32_t *a, size_t h, int64_t *u)
function fieldelm_fast_gain
    push {r4-r11, lr}
    push {r0, r1, r2, r3}
    movs r2, #0              // row
1:  mov lr, r2
    ldr r1, [sp, #4]
    ldr r3, [sp, #12]
    ldr r6, [r1, r2, lsl #2]
    movs r4, #0
    movs r5, #0
    subs lr, lr, #2
    blt 3f
2:  ldrd r7, r8, [r0], #8
    ldrd r9, r10, [r1], #8
    smlal r4, r5, r7, r9
    smlal r4, r5, r8, r10
    ldm r3, {r9, r10, r11, r12}
    smlal r9, r10, r7, r6
    smlal r11, r12, r8, r6
    stm r3!, {r9, r10, r11, r12}
    subs lr, lr, #2
    bge 2b
3:  lsls lr, lr, #31
    beq 4f
    ldr r7, [r0], #4
    ldr r9, [r1], #4
    smlal r4, r5, r7, r9
    ldrd r9, r10, [r3]
    smlal r9, r10, r7, r6
    strd r9, r10, [r3], #8
4:  ldr r7, [r0], #4
    smlal r4, r5, r7, r6
    strd r4, r5, [r3]
    adds r2, r2, #1
    ldr lr, [sp, #8]
    cmp r2, lr
    bne 1b
    add sp, #16
    pop {r4-r11, pc}
end fieldelm_fast_gain

// void fieldelm_fast_downdate(int32_t *p, const int32_t *s, size_t h, int32_t down, int32_t raise), 2 <= down
function fieldelm_fast_downdate
    push {r4-r11, lr}
    ldr lr, [sp, #36]        // raise
    shifts r4, r3
    mov r12, sp
    adds r5, r2, #1
    bic r5, r5, #1
    sub sp, sp, r5, lsl #2   // s shifted, filled up to an even number
    push {r1, r12}
    add r12, r1, r2, lsl #2
    add r5, sp, #8
1:  ldr r6, [r1], #4
    lsls r6, r3
    str r6, [r5], #4
    cmp r1, r12
    bne 1b
    ldr r1, [sp]
    str r12, [sp]
    mvn r3, #0x80000000      // below P: a half less a little, so that halves are rounded as of the positive product
    movs r2, #1              // numbers of the row
2:  ldr r6, [r1], #4
    add r5, sp, #8
    rsbs r6, r6, #0
    lsls r6, r4
    subs r7, r2, #2
    blt 4f
3:  ldrd r8, r9, [r5], #8
    ldrd r10, r11, [r0]
    mov r12, r3
    smlal r12, r10, r6, r8
    mov r12, r3
    smlal r12, r11, r6, r9
    strd r10, r11, [r0], #8
    subs r7, r7, #2
    bge 3b
4:  lsls r7, r7, #31
    beq 5f
    ldr r8, [r5]
    ldr r11, [r0], #4
    mov r12, r3
    smlal r12, r11, r6, r8
5:  add r11, r11, lr         // the diagonal
    str r11, [r0, #-4]
    adds r2, r2, #1
    ldr r12, [sp]
    cmp r1, r12
    bne 2b
    ldr sp, [sp, #4]
    pop {r4-r11, pc}
end fieldelm_fast_downdate

// void fieldelm_fast_onto(const int32_t *x, size_t pairs, const int32_t *beta, size_t h, int32_t *b), h even, |x| < 2^15
function fieldelm_fast_onto
    push {r4-r11, lr}
    ldr lr, [sp, #36]        // b
    add r1, r0, r1, lsl #3   // end of x
    add r12, lr, r3, lsl #2  // end of b
    lsls r3, r3, #3          // from columns to columns
1:  mov r4, r2
    mov r5, r0
    movs r6, #0
    movs r7, #0
2:  ldrd r8, r9, [r5], #8
    ldrd r10, r11, [r4]
    smlabt r6, r8, r10, r6
    smlabt r6, r9, r11, r6
    ldrd r10, r11, [r4, #8]
    smlabt r7, r8, r10, r7
    smlabt r7, r9, r11, r7
    add r4, r4, r3
    cmp r5, r1
    bne 2b
    strd r6, r7, [lr], #8
    adds r2, r2, #16
    cmp lr, r12
    bne 1b
    pop {r4-r11, pc}
end fieldelm_fast_onto

// void fieldelm_fast_solve(const int32_t *w, const int32_t *b, size_t h, int32_t down, int32_t *c)
function fieldelm_fast_solve
    push {r4-r11, lr}
    ldr r12, [sp, #36]       // c
    subs r3, r3, #1
    mov r10, #0              // row
1:  mov r4, r0
    mov r5, r1
    add r6, r1, r10, lsl #2  // last element of b
    movs r7, #0
2:  ldr r8, [r4], #4
    ldr r9, [r5], #4
    smulbt r9, r9, r8
    add r7, r7, r9, asr #5
    cmp r5, r6
    bls 2b
    and r8, r8, #31          // exponent of the row
    add r9, r3, r8
    asrs r7, r9              // by 32 and more: as by 31
    adds r7, r7, #1
    asrs r7, r7, #1
    movw r9, #32767
    cmp r7, r9
    it gt
    movgt r7, r9
    cmn r7, r9
    it lt
    rsblt r7, r9, #0
    adds r8, r8, #5
    subs r9, r2, r10
    lsrs r9, r9, #1          // half as many as will be added
    str r9, [r12, r10, lsl #2]
    mov r5, r12
    add r6, r12, r10, lsl #2
3:  ldr r9, [r0], #4
    ldr r11, [r5]
    smulbt r9, r7, r9
    asrs r9, r8
    add r11, r11, r9
    str r11, [r5], #4
    cmp r5, r6
    bls 3b
    add r10, r10, #1
    cmp r10, r2
    bne 1b
    pop {r4-r11, pc}
end fieldelm_fast_solve

#endif
