// Functions of an image without a system, called on QEMU's machines of the MPS2 family: what bare_rp2040.mjs is for the RP2040.
//
// The file `steps` is words: 1 address length bytes (write, filled up to whole words), 2 address count arguments (call) and
// 3 address length (read). The file `answers` is what calls ([instructions, result, registers spoilt, by which function: bare_guard.S])
// and reads give. Run with -icount shift=10: an
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

// bare_guard.S
extern struct {
    uint32_t spoilt, by, depth, calls;
} kept;
uint32_t guarded(uint32_t function, const uint32_t *arguments);
void nothing(void);
void __wrap_nothing(void);

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

__attribute__((noipa)) static uint32_t timed(uint32_t function, const uint32_t *arguments, uint32_t *instructions) {
    kept.spoilt = kept.by = kept.calls = 0;
    uint32_t start = REGISTER(0xe000e018);
    uint32_t result = guarded(function, arguments);
    uint32_t ticks = (start - REGISTER(0xe000e018)) & 0xffffff;
    *instructions = (ticks * TICK + 512) / 1024;
    return result;
}

static void start(void) {
    REGISTER(0xe000ed88) |= 0xfu << 20; // the FPU's access (CPACR)
    REGISTER(0xe000ed14) |= 1u << 3; // an unaligned access is a fault (CCR)
    REGISTER(0xe000e014) = 0xffffff;
    REGISTER(0xe000e010) = 5;
    uint32_t from = opened("steps", 5, READ_BINARY), to = opened("answers", 7, WRITE_BINARY), arguments[ARGUMENTS];
    uint32_t around, guard, answer[4];
    timed((uint32_t)nothing, arguments, &around);
    timed((uint32_t)__wrap_nothing, arguments, &guard);
    guard -= around; // of one more function that is guarded
    for (uint32_t step; (step = word(from)) != 0;) {
        uint32_t address = word(from), length = word(from);
        if (step == 1) {
            transfer(SYS_READ, from, (void *)address, (length + 3) & ~3u);
        } else if (step == 2) {
            transfer(SYS_READ, from, arguments, 4 * length);
            answer[1] = timed(address | 1, arguments, &answer[0]);
            answer[2] = kept.spoilt;
            answer[3] = kept.by;
            answer[0] -= around - 1 + (kept.calls - 1) * guard; // the return, which is the function's own, remains
            transfer(SYS_WRITE, to, answer, sizeof(answer));
        } else {
            transfer(SYS_WRITE, to, (void *)address, length);
        }
    }
    host(SYS_EXIT, (void *)0x20026);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[] = { (void *)STACK, start };
