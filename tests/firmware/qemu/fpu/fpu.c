// Full access to coprocessors 10 and 11, the FPU (ARMv7-M Architecture Reference Manual, B3.2.20, CPACR).
#include <stdint.h>

void __real_mp_semihosting_init(void);
void __wrap_mp_semihosting_init(void);

void __wrap_mp_semihosting_init(void) { // the first call of the start-up code
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;
    __asm volatile("dsb\n isb" ::: "memory");
#endif
    __real_mp_semihosting_init();
}
