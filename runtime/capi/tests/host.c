/*
 * The test of misuse on a host: every buffer ends where a page begins that cannot be accessed.
 *
 *     misuse tiny.r8
 */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "misuse.h"

enum { ROOM = 1 << 22 };

void *place(int number, size_t len) {
    static char *rooms[PLACE_COUNT];
    if (len > ROOM) return NULL;
    if (rooms[number] == NULL) {
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *room = mmap(NULL, ROOM + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (room == MAP_FAILED || mprotect(room + ROOM, page, PROT_NONE) != 0) abort();
        rooms[number] = room;
    }
    return rooms[number] + (ROOM - len) / 8 * 8;
}

void say(const char *text, long number) {
    printf("%s: %ld\n", text, number);
}

int main(int argc, char **argv) {
    static uint8_t memory[1 << 16];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) return 2;
    size_t len = fread(memory, 1, sizeof memory, file);
    fclose(file);
    /* In memory of its very length, so that nothing behind it can be read unnoticed. */
    uint8_t *model = malloc(len);
    for (size_t i = 0; i < len; i++) model[i] = memory[i];
    int failures = misuse(model, len);
    free(model);
    return failures != 0;
}
