/* The network in flash, and what it needs. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#define MODEL_SIZE 84293u
#define MODEL_ARENA_SIZE 34688u

#ifdef __cplusplus
extern "C" {
#endif

extern const uint8_t model[MODEL_SIZE];

#ifdef __cplusplus
}
#endif

#endif
