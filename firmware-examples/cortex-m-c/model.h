/* The network in flash, and what it needs. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#define MODEL_FILE_LEN 84293
#define MODEL_ARENA_LEN 34688
#define MODEL_INPUT_LEN 3072

#ifdef __cplusplus
extern "C" {
#endif

extern const uint8_t model_file[MODEL_FILE_LEN];

#ifdef __cplusplus
}
#endif

#endif
