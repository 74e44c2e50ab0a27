/* A TCG plugin for qemu-aarch64 that counts how often every instruction of a program is executed.
 *
 *     cc -O2 -shared -fPIC -o count_instructions.so count_instructions.c
 *     qemu-aarch64 -plugin ./count_instructions.so,out=FILE[,laps=SYSCALL] PROGRAM
 *
 * FILE, written when the program ends:
 *     code START END           where the program's own code was loaded; all numbers but counts are hexadecimal
 *     ADDRESS OPCODE COUNT     for every instruction that was executed; counts of the same instruction add up
 * With `laps`, each call of that system call ends a lap. A line `lap` and lines as above, with what was executed since
 * the lap before, come first, and `total` separates them from the counts of the whole run.
 *
 * What an instruction is, is left to the reader of the file. Exact for programs with one thread. Version 1 of the
 * plugin interface, which QEMU has up to 8.2, is declared here because many packages of QEMU contain no header of it.
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
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, enum operation, void *, uint64_t);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_start_code(void);
uint64_t qemu_plugin_end_code(void);

#define EXPORTED __attribute__((visibility("default")))
EXPORTED int qemu_plugin_version = 1;

/* A block of translated code. All of it is executed, or nothing: only a signal would leave it in the middle. Translated
 * code adds to `count` directly, so a block never moves; one that is translated again keeps its count. */
struct block {
    struct block *next;
    uint64_t address, count, count_at_lap;
    size_t length;
    uint32_t opcodes[];
};

#define BUCKETS (1u << 16)
static struct block *buckets[BUCKETS];
static FILE *out;
static int64_t lap_call = -1;

static struct block *block_of(const struct qemu_plugin_tb *translated) {
    size_t length = qemu_plugin_tb_n_insns(translated), size = length * sizeof(uint32_t);
    struct block *block = calloc(1, sizeof *block + size), *known;
    if (!block) abort();
    block->length = length;
    block->address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(translated, 0));
    for (size_t i = 0; i < length; i++)
        memcpy(&block->opcodes[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(translated, i)), sizeof(uint32_t));
    struct block **bucket = &buckets[block->address / 4 % BUCKETS];
    for (known = *bucket; known; known = known->next)
        if (known->address == block->address && known->length == length &&
            !memcmp(known->opcodes, block->opcodes, size)) {
            free(block);
            return known;
        }
    block->next = *bucket;
    return *bucket = block;
}

static void on_translation(plugin_id id, struct qemu_plugin_tb *translated) {
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(translated, ADD_U64, &block_of(translated)->count, 1);
}

static void write_counts(bool since_lap) {
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++)
        for (struct block *block = buckets[bucket]; block; block = block->next) {
            uint64_t count = block->count - (since_lap ? block->count_at_lap : 0);
            for (size_t i = 0; count && i < block->length; i++) {
                uint64_t address = block->address + 4 * i;
                fprintf(out, "%" PRIx64 " %08" PRIx32 " %" PRIu64 "\n", address, block->opcodes[i], count);
            }
            block->count_at_lap = block->count;
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
