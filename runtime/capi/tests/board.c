/* The test of misuse on an emulated microcontroller, in static memory. */
#include "board.h"
#include "misuse.h"

extern const uint8_t tiny_model[], tiny_model_end[];

enum { ROOM = 1 << 16 };

void *place(int number, size_t len) {
    static uint64_t rooms[PLACE_COUNT][ROOM / sizeof(uint64_t)];
    if (len > ROOM) return NULL;
    return (uint8_t *)rooms[number] + (ROOM - len) / 8 * 8;
}

void say(const char *text, long number) {
    board_print_number(text, (uint32_t)number);
}

int main(void) {
    return misuse(tiny_model, (size_t)(tiny_model_end - tiny_model));
}
