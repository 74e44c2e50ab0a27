/* Preloaded into a program whose `cpuid` instructions restrain.py has replaced by `int3; nop`: answers them as the CPU
 * would, without AVX-VNNI, AVX-IFMA, AVX10, AVX-512 FP16 and AMX, so that the program takes the path that it takes on a Zen 4; with
 * HIDE_AVX512 without all of AVX-512 too, so that it takes its AVX2 path.
 *
 *     cc -O2 -shared -fPIC [-DHIDE_AVX512] -o mask_cpuid.so mask_cpuid.c
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#define BIT(n) (1u << (n))

#ifdef HIDE_AVX512
#define AVX512(bits) (bits)
#else
#define AVX512(bits) 0
#endif

/* Leaf 7, subleaf 0. */
static const unsigned EBX_0 =
    AVX512(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
static const unsigned ECX_0 = AVX512(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
static const unsigned EDX_0 = AVX512(BIT(2) | BIT(3) | BIT(8)) | BIT(22) | BIT(23) | BIT(24) | BIT(25);
/* Leaf 7, subleaf 1. */
static const unsigned EAX_1 = AVX512(BIT(5)) | BIT(4) | BIT(21) | BIT(23);
static const unsigned EDX_1 = BIT(4) | BIT(5) | BIT(10) | BIT(19);

static void answer(int number, siginfo_t *info, void *context) {
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *after = (const unsigned char *)registers[REG_RIP];
    if (after[-1] != 0xCC || after[0] != 0x90) { /* somebody else's breakpoint */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    unsigned leaf = (unsigned)registers[REG_RAX], subleaf = (unsigned)registers[REG_RCX], a, b, c, d;
    __cpuid_count(leaf, subleaf, a, b, c, d);
    if (leaf == 7 && subleaf == 0) {
        b &= ~EBX_0;
        c &= ~ECX_0;
        d &= ~EDX_0;
    } else if (leaf == 7 && subleaf == 1) {
        a &= ~EAX_1;
        d &= ~EDX_1;
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 1;
}

__attribute__((constructor)) static void install(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = answer;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGTRAP, &action, NULL);
}
