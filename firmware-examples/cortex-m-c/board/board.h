/* What the example needs of its board: a picture, a place to print, a counter. */
#ifndef BOARD_H
#define BOARD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* 32 x 32 pixels, three planes: red, green, blue. */
extern const uint8_t board_picture[3 * 32 * 32];

/* Lines of text for the one who watches. */
void board_print_number(const char *name, uint32_t number);
void board_print_text(const char *name, const uint8_t *text, size_t len);

/* Says what went wrong, and stops. */
void board_fail(const char *why);

/* Instructions executed, when QEMU runs with `-icount shift=0`: a multiple of some 40. A board counts cycles instead,
 * for example with DWT->CYCCNT. */
uint32_t board_instructions(void);

/* The most bytes of stack that were in use so far. */
uint32_t board_stack_used(void);

#ifdef __cplusplus
}
#endif

#endif
