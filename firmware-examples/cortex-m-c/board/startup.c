/* From reset to main, and what board.h promises, for the Cortex-M boards that QEMU emulates. */
#include <string.h>

#include "board.h"

/* In the linker script. */
extern uint32_t data_start[], data_end[], data_source[], bss_start[], bss_end[], stack_start[], stack_end[];

int main(void);

#define UNUSED_STACK 0xa5a5a5a5u

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define CPACR REGISTER(0xe000ed88)
#define SYST_CSR REGISTER(0xe000e010)
#define SYST_RVR REGISTER(0xe000e014)
#define SYST_CVR REGISTER(0xe000e018)

/* --- Semihosting: the debugger, or QEMU, prints and stops ------------------------------------------------------------ */

static void semihost(uint32_t operation, const void *argument) {
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt #0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void print(const char *text) {
    semihost(0x04 /* SYS_WRITE0 */, text);
}

static _Noreturn void stop(int failed) {
    for (;;) {
        semihost(0x18 /* SYS_EXIT */, (const void *)(failed ? 0x20023u : 0x20026u));
    }
}

void board_print_number(const char *name, uint32_t number) {
    char digits[11], *first = digits + sizeof digits - 1;
    *first = 0;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    print(name);
    print(": ");
    print(first);
    print("\n");
}

void board_print_text(const char *name, const uint8_t *text, size_t len) {
    print(name);
    print(": ");
    for (size_t i = 0; i < len; i++) {
        const char letter[2] = {(char)text[i], 0};
        print(letter);
    }
    print("\n");
}

void board_fail(const char *why) {
    print("error: ");
    print(why);
    print("\n");
    stop(1);
}

/* --- Counters -------------------------------------------------------------------------------------------------------- */

/* SysTick counts down with the board's clock; under `-icount shift=0` an instruction takes a nanosecond. It reads 0 until its
 * first tick. */
static void start_counter(void) {
    SYST_RVR = 0xffffff;
    SYST_CVR = 0;
    SYST_CSR = 5;
    while (SYST_CVR == 0) {
    }
}

uint32_t board_instructions(void) {
    const uint32_t ticks = 0xffffff - SYST_CVR;
    return ticks * (4000000000u / BOARD_CLOCK_HZ) / 4;
}

uint32_t board_stack_used(void) {
    const uint32_t *lowest = stack_start;
    while (lowest < stack_end && *lowest == UNUSED_STACK) lowest++;
    return (uint32_t)((uintptr_t)stack_end - (uintptr_t)lowest);
}

/* --- Reset ----------------------------------------------------------------------------------------------------------- */

/* Switches the FPU and Helium on, fills the stack below this function, and prepares the variables of main. */
void reset(void) {
    uint32_t *here;
    CPACR |= 0xfu << 20;
    __asm__ volatile("dsb\n isb\n mov %0, sp" : "=r"(here));
    /* Not by memset: its own frame is there. */
    for (volatile uint32_t *word = stack_start; word < here; word++) *word = UNUSED_STACK;
    memcpy(data_start, data_source, (size_t)((char *)data_end - (char *)data_start));
    memset(bss_start, 0, (size_t)((char *)bss_end - (char *)bss_start));
    start_counter();
    stop(main());
}

static void fault(void) {
    board_fail("fault");
}

/* What the processor reads at reset: the stack, then the exception handlers. */
__attribute__((section(".vectors"), used)) static const struct {
    const uint32_t *stack;
    void (*handlers[15])(void);
} vectors = {stack_end, {reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault}};
