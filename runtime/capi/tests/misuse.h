/* What the test of misuse needs from the machine that it runs on. */
#ifndef MISUSE_H
#define MISUSE_H

#include <stddef.h>
#include <stdint.h>

/* Memory of `len` bytes that starts at a multiple of 4, with its end as near to memory that faults as can be. The same
 * place again in the next call with the same number. */
enum { PLACE_MODEL, PLACE_ARENA, PLACE_HANDLE, PLACE_COUNT };
void *place(int number, size_t len);

/* Shows a line. */
void say(const char *text, long number);

/* Runs all tests with a tiny model; returns the number of failures. */
int misuse(const uint8_t *model, size_t len);

#endif
