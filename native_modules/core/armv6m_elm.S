// The autoencoder's loops for Cortex-M0 and M0+: bit for bit what the functions of the same names in fixed_score.c,
// fixed_explain.c and fixed_learn.c give.
// Cycles: see armv6m_spectrum.S.

#if defined(__ARM_ARCH_6M__) && !defined(FIELDELM_PORTABLE)

#include "arm.h"

.macro save_high
    mov r4, r8
    mov r5, r9
    mov r6, r10
    mov r7, r11
    push {r4-r7}
.endm

.macro restore_high
    pop {r4-r7}
    mov r8, r4
    mov r9, r5
    mov r10, r6
    mov r11, r7
.endm

// Into \to: address in the code after \label, of \units (a power of two) units of \bytes bytes, at which (\count mod \units) units
// are left to do, all if that is 0. Clobbers \count.
.macro entry to, label, count, bytes, units
    negs \count, \count
    movs \to, #(\units - 1)
    ands \count, \to
    movs \to, #\bytes
    muls \count, \to
    adr \to, \label
    adds \to, \to, \count
.endm

// float32 \x to int16 \y by way of r6; r2: 157 - bits, r7: 2^31. 16 cycles
.macro number x, y
    lsls \y, \x, #1
    lsrs \y, \y, #24
    subs \y, r2, \y         // 8 more than what the mantissa of 24 bits is shifted
    lsls r6, \x, #8
    orrs r6, r7
    cmp \y, #15
    bgt 1f
    lsls r6, r7, #0          // too large
    movs \y, #15
1:  lsrs r6, \y
    adds r6, #1
    lsrs r6, r6, #1
    lsrs \y, r6, #15         // 2^15 is one too much
    subs r6, r6, \y
    asrs \x, \x, #31
    eors r6, \x
    subs \y, r6, \x
.endm

// void fieldelm_armv6m_to_fixed(const uint32_t *from, size_t n, int32_t bits, int16_t *to)
function fieldelm_armv6m_to_fixed
    push {r4-r7, lr}
    lsls r1, r1, #2
    adds r1, r0, r1
    mov r12, r1              // end
    movs r7, #157            // 149, and 8 as the mantissa begins at bit 31
    subs r2, r7, r2
    movs r7, #1
    lsls r7, r7, #31
    lsls r1, r1, #29
    lsls r4, r0, #29
    cmp r1, r4
    beq 3f
    ldmia r0!, {r4}          // an odd number of them
    number r4, r1
    strh r1, [r3]
    adds r3, #2
    b 3f
2:  ldmia r0!, {r4, r5}      // 45 cycles for two
    number r4, r1
    strh r1, [r3, #0]
    number r5, r1
    strh r1, [r3, #2]
    adds r3, #4
3:  cmp r0, r12
    bne 2b
    pop {r4-r7, pc}
end fieldelm_armv6m_to_fixed

// ---- 20 cycles for 4 products. r0: beta, r1: a; r8, r9: sums
.macro products
    ldmia r1!, {r2, r3}
    ldmia r0!, {r4, r5, r6, r7}
    asrs r4, r4, #16
    asrs r5, r5, #16
    muls r4, r2
    muls r5, r2
    asrs r6, r6, #16
    asrs r7, r7, #16
    muls r6, r3
    muls r7, r3
    add r8, r4
    add r9, r5
    add r8, r6
    add r9, r7
.endm

// uint32_t fieldelm_fast_residuals(const int16_t *x, size_t pairs, const int32_t *a, size_t h, const int32_t *beta, int32_t *e,
//     int32_t up)
function fieldelm_fast_residuals
    push {r4-r7, lr}
    save_high
    sub sp, #12
    // 0: up, 4: magnitudes, 8: a
    mov r12, r0
    str r2, [sp, #8]
    lsls r4, r3, #2
    adds r4, r2, r4
    push {r4}                // end of a, to stay at the top of the stack
    lsrs r3, r3, #1
    entry r5, 2f, r3, 28, 16
    mov r10, r5
    ldr r0, [sp, #52]        // beta
    ldr r5, [sp, #56]        // e
    mov lr, r5
    lsls r1, r1, #3
    adds r5, r5, r1
    mov r11, r5              // end of e
    ldr r5, [sp, #60]
    str r5, [sp, #4]
    movs r5, #0
    str r5, [sp, #8]
1:  ldr r1, [sp, #12]
    movs r4, #0
    mov r8, r4
    mov r9, r4
    mov pc, r10
    .align 2
2:  .rept 16
    products
    .endr
    ldr r4, [sp, #0]
    cmp r1, r4
    beq 4f
    b 2b
4:  mov r2, r12
    ldmia r2!, {r3}
    mov r12, r2
    sxth r4, r3
    asrs r5, r3, #16
    ldr r6, [sp, #4]
    lsls r4, r6
    lsls r5, r6
    mov r6, r8
    subs r4, r4, r6
    mov r6, r9
    subs r5, r5, r6
    mov r2, lr
    stmia r2!, {r4, r5}
    mov lr, r2
    asrs r6, r4, #31
    eors r4, r6
    asrs r6, r5, #31
    eors r5, r6
    ldr r6, [sp, #8]
    orrs r6, r4
    orrs r6, r5
    str r6, [sp, #8]
    cmp r2, r11
    beq 3f
    b 1b
3:  mov r0, r6
    add sp, #16
    restore_high
    pop {r4-r7, pc}
end fieldelm_fast_residuals

// ---- 17 cycles for 2 numbers. r0: beta, r1: k, r2, r3: residuals, r4: shift
.macro steps operation
    ldmia r1!, {r5}
    mov r6, r5
    muls r5, r2
    muls r6, r3
    asrs r5, r4
    asrs r6, r4
    ldr r7, [r0, #0]
    \operation\()s r5, r7, r5
    ldr r7, [r0, #4]
    \operation\()s r6, r7, r6
    stmia r0!, {r5, r6}
.endm

.macro all_steps operation
1:  mov r1, r8               // next two residuals
    ldmia r1!, {r2, r3}
    mov r8, r1
    mov r5, r12
    asrs r2, r5
    asrs r3, r5
    mov r1, r9
    mov pc, r10
    .align 2
2:  .rept 8
    steps \operation
    .endr
    cmp r1, r11
    bne 2b
    mov r5, r8
    cmp r5, lr
    bne 1b
    b 9f
.endm

// void fieldelm_fast_weights(int32_t *beta, const int32_t *k, size_t h, const int32_t *e, size_t pairs, int32_t mantissa,
//     int32_t down, int32_t direction)
function fieldelm_fast_weights
    push {r4-r7, lr}
    save_high
    mov r8, r3
    mov r9, r1
    lsls r4, r2, #2
    adds r4, r1, r4
    mov r11, r4
    ldr r4, [sp, #36]        // pairs
    lsls r4, r4, #3
    adds r4, r3, r4
    mov lr, r4
    ldr r4, [sp, #40]
    mov r12, r4
    ldr r4, [sp, #44]
    ldr r5, [sp, #48]
    cmp r5, #0
    bge 3f
    b 4f
    .align 2
3:  entry r6, 2f, r2, 22, 8
    mov r10, r6
    all_steps add
    .align 2
4:  entry r6, 2f, r2, 22, 8
    mov r10, r6
    all_steps sub
9:  restore_high
    pop {r4-r7, pc}
end fieldelm_fast_weights

// ---- An element of P in \p times an activation; r8, r9: sums of lower and upper parts times activations. The lower part has
// \bits bits, 16 or 15.
.macro split_product p, activation, bits
    .if \bits == 16
    uxth r6, \p
    .else
    lsls r6, \p, #17
    lsrs r6, r6, #17
    .endif
    asrs \p, \p, #\bits
    muls r6, \activation
    muls \p, \activation
    add r8, r6
    add r9, \p
.endm

// void fieldelm_fast_gain(const int32_t *p, const int32_t *a, size_t h, int64_t *u): h at most 32; _gain_large: any h
.macro gain name, bits
function \name
    push {r4-r7, lr}
    save_high
    mov r12, r3
    mov r10, r1
    lsls r4, r2, #2
    adds r4, r1, r4
    mov r11, r4              // end of a
    mov r5, r1               // element i of a
1:  movs r4, #0
    mov r8, r4
    mov r9, r4
    mov r1, r10
    mov lr, r5
    subs r4, r5, r1          // row i, up to the diagonal: i + 1 elements
    lsls r4, r4, #29
    bmi 2f                   // an even number of them
    ldmia r0!, {r2}
    ldmia r1!, {r4}
    split_product r2, r4, \bits
    cmp r1, r5
    bhi 5f
2:  ldmia r0!, {r2, r3}      // 21 cycles for two
    ldmia r1!, {r4, r7}
    split_product r2, r4, \bits
    split_product r3, r7, \bits
    cmp r1, r5
    bls 2b
    // below the diagonal: one row more is i + 2, i + 3, ... elements further, less the one that is past already
5:  cmp r1, r11
    beq 4f
    mov r3, r10
    subs r3, r5, r3
    adds r3, #4              // 4 (i + 1): from the end of row i to column i of the next
    adds r7, r0, r3
    subs r7, #4
    mov r2, r11
    subs r2, r2, r1
    lsls r2, r2, #29
    bpl 3f
    ldr r2, [r7]             // an odd number of them
    adds r3, #4
    adds r7, r7, r3
    ldmia r1!, {r4}
    split_product r2, r4, \bits
    cmp r1, r11
    beq 4f
3:  ldr r2, [r7]             // 27 cycles for two
    adds r3, #4
    adds r7, r7, r3
    ldmia r1!, {r4, r5}
    split_product r2, r4, \bits
    ldr r2, [r7]
    adds r3, #4
    adds r7, r7, r3
    split_product r2, r5, \bits
    cmp r1, r11
    bne 3b
4:  mov r3, r9
    asrs r4, r3, #(32 - \bits)
    lsls r3, r3, #\bits
    movs r6, #0
    mov r2, r8
    adds r3, r3, r2
    adcs r4, r6
    mov r7, r12
    stmia r7!, {r3, r4}
    mov r12, r7
    mov r5, lr
    adds r5, #4
    cmp r5, r11
    bne 1b
    restore_high
    pop {r4-r7, pc}
end \name
.endm

    gain fieldelm_fast_gain, 16
    .pushsection .text.fieldelm, "ax", %progbits // for models of more than 32 hidden units: not worth the RAM
    gain fieldelm_armv6m_gain_large, 15
    .popsection

// void fieldelm_fast_downdate(int32_t *p, const int32_t *s, size_t h, int32_t down, int32_t raise)
function fieldelm_fast_downdate
    push {r4-r7, lr}
    save_high
    mov r10, r1
    lsls r4, r2, #2
    adds r4, r1, r4
    mov r11, r4
    ldr r4, [sp, #36]
    mov r9, r4
    movs r5, #0              // shift up
    movs r4, #0              // half a unit
    cmp r3, #0
    ble 1f
    movs r4, #1
    lsls r4, r3
    lsrs r4, r4, #1
    b 2f
1:  negs r5, r3
    movs r3, #0
2:  mov r8, r5
    mov r12, r1              // element i of s
3:  mov r1, r12
    ldmia r1!, {r2}
    mov r12, r1
    mov r5, r8
    lsls r2, r5
    mov r1, r10
    mov r5, r12              // an odd number of elements?
    subs r5, r5, r1
    lsls r5, r5, #29
    bpl 4f
    ldmia r1!, {r6}
    muls r6, r2
    adds r6, r6, r4
    asrs r6, r3
    ldr r7, [r0]
    subs r6, r7, r6
    stmia r0!, {r6}
    cmp r1, r12
    beq 5f
4:  ldmia r1!, {r5, r6}      // 21 cycles for two
    muls r5, r2
    muls r6, r2
    adds r5, r5, r4
    adds r6, r6, r4
    asrs r5, r3
    asrs r6, r3
    ldr r7, [r0, #0]
    subs r5, r7, r5
    ldr r7, [r0, #4]
    subs r6, r7, r6
    stmia r0!, {r5, r6}
    cmp r1, r12
    bne 4b
5:  add r6, r9
    subs r7, r0, #4
    str r6, [r7]
    cmp r1, r11
    bne 3b
    restore_high
    pop {r4-r7, pc}
end fieldelm_fast_downdate

// uint64_t fieldelm_armv6m_squares(const int32_t *e, const uint16_t *scale, size_t n, int32_t down, worst *worst)
function fieldelm_armv6m_squares
    push {r4-r7, lr}
    save_high
    ldr r4, [sp, #36]
    mov r8, r4
    lsls r4, r2, #2
    adds r4, r0, r4
    mov r9, r4
    mov r10, r0
    movs r4, #0
    movs r5, #0              // sum: r4, r5
    movs r2, #0              // second largest
1:  ldmia r0!, {r6}
    ldrh r7, [r1]
    adds r1, #2
    asrs r6, r3
    muls r6, r7
    asrs r6, r6, #14
    muls r6, r6
    adds r4, r4, r6
    bcs 3f
2:  cmp r6, r2
    bhi 4f
5:  cmp r0, r9
    bne 1b
    mov r0, r4
    mov r1, r5
    restore_high
    pop {r4-r7, pc}
3:  adds r5, #1
    b 2b
4:  push {r0, r1, r3}
    mov r1, r10
    subs r0, r0, r1
    subs r0, #4
    lsrs r0, r0, #2          // its index
    mov r1, r8
    ldr r3, [r1, #0]
    cmp r6, r3
    bls 6f
    str r6, [r1, #0]
    ldr r6, [r1, #8]
    str r0, [r1, #8]
    mov r0, r6
    mov r6, r3
6:  str r6, [r1, #4]
    str r0, [r1, #12]
    mov r2, r6
    pop {r0, r1, r3}
    b 5b
end fieldelm_armv6m_squares

// Inputs to sums, 16 signs at a time, until all are in (then to \done) or the sums are through; \add: to what is there
.macro fold_pass add, done
1:  mov r7, r8
    ldr r2, [r7, #0]
    ldr r3, [r7, #4]
    str r3, [r7, #0]
    lsls r4, r2, #5
    eors r2, r4
    uxth r2, r2
    lsrs r4, r3, #1
    eors r3, r4
    eors r3, r2
    lsrs r2, r2, #3
    eors r3, r2
    str r3, [r7, #4]
    mov r7, r10              // how many are left
    subs r7, r7, r0
    cmp r7, #32
    bls 2f
    movs r7, #32
2:  adds r7, r0, r7
    mov r12, r7
3:  movs r7, #0              // 17 cycles, 14 if nothing is there
    ldrsh r4, [r0, r7]
    adds r0, #2
    lsrs r3, r3, #1
    sbcs r7, r7              // 0 for a 1, -1 for a 0
    eors r4, r7
    subs r4, r4, r7
    .if \add
    ldr r5, [r1]
    adds r4, r5, r4
    .endif
    stmia r1!, {r4}
    cmp r0, r12
    bne 3b
    cmp r0, r10
    beq \done
    cmp r1, r11
    bne 1b
.endm

// void fieldelm_fast_fold(const int16_t *x, size_t n, uint32_t *state, int32_t *sums, size_t size)
// size is at least 64: a word of signs never meets its end. What is in the sums does not matter.
function fieldelm_fast_fold
    push {r4-r7, lr}
    save_high
    mov r8, r2
    mov r9, r3               // sums
    lsls r4, r1, #1
    adds r4, r0, r4
    mov r10, r4              // end of x
    ldr r4, [sp, #36]
    lsls r4, r4, #2
    adds r4, r3, r4
    mov r11, r4              // end of sums
    mov r1, r3
    fold_pass 0, 4f
6:  mov r1, r9
    fold_pass 1, 5f
    b 6b
4:  movs r4, #0              // all in during the first pass
    b 7f
8:  stmia r1!, {r4}
7:  cmp r1, r11
    bne 8b
5:  restore_high
    pop {r4-r7, pc}
end fieldelm_fast_fold

// void fieldelm_armv6m_walsh_hadamard(int32_t *z, size_t size)
function fieldelm_armv6m_walsh_hadamard
    push {r4-r7, lr}
    save_high
    mov r8, r0
    lsls r1, r1, #2
    adds r6, r0, r1
    mov r9, r6               // end
7:  ldmia r0!, {r1, r2, r3, r4} // 22 cycles for 4 numbers and two stages; the size is a multiple of 4
    subs r5, r1, r2
    adds r1, r1, r2
    subs r6, r3, r4
    adds r7, r3, r4
    adds r4, r5, r6
    subs r6, r5, r6
    subs r5, r1, r7
    adds r3, r1, r7
    subs r0, #16
    stmia r0!, {r3, r4, r5, r6}
    cmp r0, r9
    bne 7b
    movs r5, #16             // a quarter in bytes
    b 4f
1:  mov r0, r8
    lsls r7, r5, #1
2:  adds r6, r0, r5
    mov r10, r6              // end of the first quarter
3:  ldr r1, [r0]             // 29 cycles for 4 numbers and two stages
    ldr r3, [r0, r7]
    adds r0, r0, r5
    ldr r2, [r0]
    ldr r4, [r0, r7]
    subs r6, r1, r2
    adds r1, r1, r2
    subs r2, r3, r4
    adds r3, r3, r4
    adds r4, r1, r3
    subs r1, r1, r3
    adds r3, r6, r2
    subs r6, r6, r2
    str r3, [r0]
    str r6, [r0, r7]
    subs r0, r0, r5
    str r1, [r0, r7]
    stmia r0!, {r4}
    cmp r0, r10
    bne 3b
    adds r0, r0, r7
    adds r0, r0, r5
    cmp r0, r9
    bne 2b
    lsls r5, r5, #2
4:  mov r0, r8
    mov r1, r9
    subs r1, r1, r0          // size in bytes
    lsls r2, r5, #2
    cmp r2, r1
    bls 1b
    cmp r5, r1
    beq 6f
    adds r6, r0, r5          // one stage of radix 2
    mov r10, r6
5:  ldr r1, [r0]
    ldr r2, [r0, r5]
    subs r3, r1, r2
    adds r1, r1, r2
    str r3, [r0, r5]
    stmia r0!, {r1}
    cmp r0, r10
    bne 5b
6:  restore_high
    pop {r4-r7, pc}
end fieldelm_armv6m_walsh_hadamard

// void fieldelm_armv6m_activations(const int32_t *sums, const layer_t *layer, uint32_t *state, int32_t *a, size_t h)
function fieldelm_armv6m_activations
    push {r4-r7, lr}
    save_high
    ldr r4, [sp, #36]
    lsls r4, r4, #2
    adds r4, r3, r4
    push {r4}                // end of a
    ldr r4, [r1, #20]        // mask and stride in bytes
    lsls r4, r4, #2
    push {r4}
    ldr r4, [r1, #16]
    lsls r4, r4, #2
    push {r4}
    mov r8, r0
    mov r9, r3
    ldr r3, [r1, #0]
    mov r10, r3              // gain
    ldr r3, [r1, #4]
    mov r11, r3              // bias
    ldr r3, [r1, #12]
    mov r12, r3              // limit
    ldr r3, [r1, #24]
    push {r3}                // 0: sigmoid, 4: stride, 8: mask, 12: end
    movs r3, #1
    lsls r3, r3, #15
    mov lr, r3
    ldr r7, [r1, #8]         // down
    ldr r0, [r2, #0]
    ldr r1, [r2, #4]
    movs r2, #0              // row in bytes
1:  mov r3, r8               // 69 cycles
    ldr r3, [r3, r2]
    asrs r4, r3, #31
    adds r5, r3, r4
    eors r5, r4
    cmp r5, r12
    bgt 6f
3:  mov r4, r10
    muls r3, r4
    asrs r3, r7
    lsls r4, r0, #5
    eors r4, r0
    uxth r4, r4
    mov r0, r1
    lsrs r5, r1, #1
    eors r1, r5
    eors r1, r4
    lsrs r4, r4, #3
    eors r1, r4
    mov r5, lr
    subs r4, r1, r5
    mov r5, r11
    muls r4, r5
    asrs r4, r4, #15
    adds r3, r3, r4
    asrs r6, r3, #31         // its sign
    eors r3, r6
    subs r3, r3, r6
    lsrs r4, r3, #15
    bne 5f
4:  lsrs r4, r3, #8
    lsls r4, r4, #1
    ldr r5, [sp, #0]
    adds r5, r5, r4
    ldrh r4, [r5, #0]
    ldrh r5, [r5, #2]
    uxtb r3, r3
    subs r5, r5, r4
    muls r5, r3
    asrs r5, r5, #8
    adds r4, r4, r5
    eors r4, r6              // less than 0: 2^16 less that
    subs r4, r4, r6
    lsls r6, r6, #16
    subs r4, r4, r6
    adds r4, #16
    asrs r4, r4, #5
    mov r3, r9
    stmia r3!, {r4}
    mov r9, r3
    ldr r4, [sp, #4]
    adds r2, r2, r4
    ldr r4, [sp, #8]
    ands r2, r4
    ldr r4, [sp, #12]
    cmp r3, r4
    bne 1b
    add sp, #16
    restore_high
    pop {r4-r7, pc}
5:  ldr r3, =32767
    b 4b
6:  mov r3, r12              // with the sign of the sum
    eors r3, r4
    subs r3, r3, r4
    b 3b
end fieldelm_armv6m_activations

// ---- 21 cycles for 4 products. r0: beta, r1: x, r10: from row pair to row pair; r8, r9: sums
.macro pair_of_rows
    ldmia r1!, {r2, r3}
    ldmia r0!, {r4, r5, r6, r7}
    add r0, r10
    asrs r4, r4, #16
    asrs r5, r5, #16
    muls r4, r2
    muls r5, r3
    asrs r6, r6, #16
    asrs r7, r7, #16
    muls r6, r2
    muls r7, r3
    adds r4, r4, r5
    adds r6, r6, r7
    add r8, r4
    add r9, r6
.endm

// void fieldelm_fast_onto(const int32_t *x, size_t pairs, const int32_t *beta, size_t h, int32_t *b), h even
function fieldelm_fast_onto
    push {r4-r7, lr}
    save_high
    lsls r4, r1, #3
    adds r4, r0, r4
    mov r11, r4              // end of x
    mov r12, r2              // two rows of beta
    lsls r4, r3, #3
    subs r4, #16
    mov r10, r4
    entry r5, 2f, r1, 30, 4
    lsls r3, r3, #2
    ldr r4, [sp, #36]
    mov lr, r4               // b
    adds r3, r4, r3
    push {r0, r3, r5}        // x, end of b, where to enter
1:  ldr r1, [sp, #0]
    ldr r4, [sp, #8]
    mov r0, r12
    movs r5, #0
    mov r8, r5
    mov r9, r5
    mov pc, r4
    .align 2
2:  .rept 4
    pair_of_rows
    .endr
    cmp r1, r11
    bne 2b
    mov r4, r8
    mov r5, r9
    mov r1, lr
    stmia r1!, {r4, r5}
    mov lr, r1
    movs r4, #16
    add r12, r4
    ldr r4, [sp, #4]
    cmp r1, r4
    bne 1b
    add sp, #12
    restore_high
    pop {r4-r7, pc}
end fieldelm_fast_onto

// void fieldelm_fast_solve(const int32_t *w, const int32_t *b, size_t h, int32_t down, int32_t *c)
function fieldelm_fast_solve
    push {r4-r7, lr}
    save_high
    mov r8, r1
    ldr r4, [sp, #36]
    mov r9, r4
    lsls r2, r2, #2
    mov r11, r2              // bytes of the last row
    mov lr, r3
    movs r7, #4
1:  mov r10, r7              // bytes of the row
    mov r1, r8
    adds r4, r1, r7
    mov r12, r4
    movs r5, #0
    lsls r4, r7, #29
    bpl 2f
    ldmia r0!, {r2}          // an odd number of them
    ldmia r1!, {r4}
    asrs r2, r2, #16
    muls r2, r4
    asrs r5, r2, #5
    cmp r1, r12
    beq 3f
2:  ldmia r0!, {r2, r3}      // 17 cycles for two
    ldmia r1!, {r4, r6}
    asrs r2, r2, #16
    asrs r3, r3, #16
    muls r2, r4
    muls r3, r6
    asrs r2, r2, #5
    asrs r3, r3, #5
    adds r5, r5, r2
    adds r5, r5, r3
    cmp r1, r12
    bne 2b
3:  subs r2, r0, #4
    ldr r7, [r2]
    movs r6, #31
    ands r7, r6              // exponent of the row
    mov r4, lr
    adds r4, r4, r7
    subs r4, #1
    asrs r5, r4              // by 32 and more: as by 31
    adds r5, #1
    asrs r5, r5, #1
    ldr r4, =32767
    cmp r5, r4
    ble 4f
    mov r5, r4
4:  negs r4, r4
    cmp r5, r4
    bge 5f
    mov r5, r4
5:  adds r7, #5
    mov r4, r10
    subs r0, r0, r4
    mov r1, r9
    adds r2, r1, r4
    mov r12, r2
    mov r3, r11
    subs r3, r3, r4
    adds r3, #4
    lsrs r3, r3, #3          // half as many as will be added
    subs r2, #4
    str r3, [r2]
    lsls r4, r4, #29
    bpl 6f
    ldmia r0!, {r2}
    asrs r2, r2, #16
    muls r2, r5
    asrs r2, r7
    ldr r4, [r1]
    adds r4, r4, r2
    stmia r1!, {r4}
    cmp r1, r12
    beq 7f
6:  ldmia r0!, {r2, r3}      // 21 cycles for two
    asrs r2, r2, #16
    asrs r3, r3, #16
    muls r2, r5
    muls r3, r5
    asrs r2, r7
    asrs r3, r7
    ldr r4, [r1, #0]
    ldr r6, [r1, #4]
    adds r2, r4, r2
    adds r3, r6, r3
    stmia r1!, {r2, r3}
    cmp r1, r12
    bne 6b
7:  mov r7, r10
    adds r7, #4
    cmp r7, r11
    bls 1b
    restore_high
    pop {r4-r7, pc}
end fieldelm_fast_solve

#endif
