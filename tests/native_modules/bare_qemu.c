// Functions of an image without a system, called on QEMU's machines of the MPS2 family: what bare_rp2040.mjs is for the RP2040.
//
// The file `steps` is words: 1 address length bytes (write, filled up to whole words), 2 address count arguments (call) and
// 3 address length (read). The file `answers` is what calls ([instructions, result]) and reads give. Run with -icount shift=10: an
// instruction then takes 1024 ns, which the SysTick timer measures in ticks of TICK ns. STACK is the stack's end.
#include <stdint.h>

#define SYS_OPEN 1
#define SYS_WRITE 5
#define SYS_READ 6
#define SYS_EXIT 24
#define READ_BINARY 1
#define WRITE_BINARY 5
#define REGISTER(address) (*(volatile uint32_t *)(address))

#define ARGUMENTS 10
typedef uint32_t function_t(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t);

static uint32_t host(uint32_t operation, const void *parameters) {
    register uint32_t r0 __asm("r0") = operation;
    register const void *r1 __asm("r1") = parameters;
    __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t opened(const char *name, uint32_t length, uint32_t mode) {
    const uint32_t parameters[] = { (uint32_t)name, mode, length };
    return host(SYS_OPEN, parameters);
}

static void transfer(uint32_t operation, uint32_t file, void *at, uint32_t length) {
    const uint32_t parameters[] = { file, (uint32_t)at, length };
    host(operation, parameters);
}

static uint32_t word(uint32_t file) {
    uint32_t value = 0;
    transfer(SYS_READ, file, &value, 4);
    return value;
}

__attribute__((naked)) static void nothing(void) {
    __asm volatile("bx lr");
}

__attribute__((noipa)) static uint32_t timed(function_t *function, const uint32_t *a, uint32_t *instructions) {
    uint32_t start = REGISTER(0xe000e018);
    uint32_t result = function(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9]);
    uint32_t ticks = (start - REGISTER(0xe000e018)) & 0xffffff;
    *instructions = (ticks * TICK + 512) / 1024;
    return result;
}

static void start(void) {
    REGISTER(0xe000ed88) |= 0xfu << 20; // the FPU's access (CPACR)
    REGISTER(0xe000ed14) |= 1u << 3; // an unaligned access is a fault (CCR)
    REGISTER(0xe000e014) = 0xffffff;
    REGISTER(0xe000e010) = 5;
    uint32_t from = opened("steps", 5, READ_BINARY), to = opened("answers", 7, WRITE_BINARY), arguments[ARGUMENTS], around, answer[2];
    timed((function_t *)nothing, arguments, &around);
    for (uint32_t step; (step = word(from)) != 0;) {
        uint32_t address = word(from), length = word(from);
        if (step == 1) {
            transfer(SYS_READ, from, (void *)address, (length + 3) & ~3u);
        } else if (step == 2) {
            transfer(SYS_READ, from, arguments, 4 * length);
            answer[1] = timed((function_t *)(address | 1), arguments, &answer[0]);
            answer[0] -= around - 1; // the return, which is the function's own, remains
            transfer(SYS_WRITE, to, answer, sizeof(answer));
        } else {
            transfer(SYS_WRITE, to, (void *)address, length);
        }
    }
    host(SYS_EXIT, (void *)0x20026);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = { (void *)STACK, start };
