/* A TCG plugin for qemu-aarch64 that counts how often every instruction of a program is executed.
 *
 *     cc -O2 -shared -fPIC -o count_instructions.so count_instructions.c
 *     qemu-aarch64 -plugin ./count_instructions.so,out=FILE[,laps=SYSCALL] PROGRAM
 *
 * FILE, written when the program ends:
 *     code START END           where the program's own code was loaded
 *     ADDRESS OPCODE COUNT     for every instruction that was executed; numbers other than COUNT in hexadecimal
 * With `laps`, each call of that system call ends a lap. A line `lap` and lines as above, with what was executed since
 * the lap before, come first, and `total` separates them from the counts of the whole run.
 *
 * What an instruction is, is left to the reader of the file. Exact for programs with one thread. The plugin interface
 * is declared here because QEMU before 8 installs no header of it; versions 1 and later of it have these functions.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*translated)(plugin_id, struct qemu_plugin_tb *);
typedef void (*ended)(plugin_id, void *);
typedef void (*called)(plugin_id, unsigned vcpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                       uint64_t, uint64_t, uint64_t);
enum operation { ADD_U64 };
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, translated);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, called);
void qemu_plugin_register_atexit_cb(plugin_id, ended, void *);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *, enum operation, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_start_code(void);
uint64_t qemu_plugin_end_code(void);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

/* Translated code adds to `count` directly, so a counter never moves. */
struct counter {
    uint64_t address, count, count_at_lap;
    uint32_t opcode;
    struct counter *next;
};

#define BUCKETS (1u << 16)
static struct counter *buckets[BUCKETS];
static FILE *out;
static int64_t lap_call = -1;

static struct counter *counter_of(uint64_t address, uint32_t opcode) {
    struct counter **bucket = &buckets[address / 4 % BUCKETS], *found;
    for (found = *bucket; found; found = found->next)
        if (found->address == address && found->opcode == opcode) return found;
    found = calloc(1, sizeof *found);
    if (!found) abort();
    *found = (struct counter){.address = address, .opcode = opcode, .next = *bucket};
    return *bucket = found;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *block) {
    (void)id;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); i++) {
        struct qemu_plugin_insn *instruction = qemu_plugin_tb_get_insn(block, i);
        uint32_t opcode;
        memcpy(&opcode, qemu_plugin_insn_data(instruction), sizeof opcode);
        struct counter *counter = counter_of(qemu_plugin_insn_vaddr(instruction), opcode);
        qemu_plugin_register_vcpu_insn_exec_inline(instruction, ADD_U64, &counter->count, 1);
    }
}

static void write_counts(bool since_lap) {
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct counter *counter = buckets[i]; counter; counter = counter->next) {
            uint64_t count = counter->count - (since_lap ? counter->count_at_lap : 0);
            if (count) fprintf(out, "%" PRIx64 " %08" PRIx32 " %" PRIu64 "\n", counter->address, counter->opcode, count);
            counter->count_at_lap = counter->count;
        }
}

static void on_system_call(plugin_id id, unsigned vcpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                           uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
    (void)id, (void)vcpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != lap_call) return;
    fputs("lap\n", out);
    write_counts(true);
}

static void on_end(plugin_id id, void *unused) {
    (void)id, (void)unused;
    fputs("total\n", out);
    write_counts(false);
    fprintf(out, "code %" PRIx64 " %" PRIx64 "\n", qemu_plugin_start_code(), qemu_plugin_end_code());
    if (fclose(out)) abort();
}

EXPORTED int qemu_plugin_install(plugin_id id, const void *information, int count, char **arguments) {
    (void)information;
    for (int i = 0; i < count; i++) {
        if (!strncmp(arguments[i], "out=", 4)) out = fopen(arguments[i] + 4, "w");
        if (!strncmp(arguments[i], "laps=", 5)) lap_call = atoll(arguments[i] + 5);
    }
    if (!out) {
        fputs("count_instructions: give out=FILE, a file that can be written\n", stderr);
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    if (lap_call >= 0) qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    qemu_plugin_register_atexit_cb(id, on_end, NULL);
    return 0;
}
