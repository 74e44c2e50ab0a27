/*
 * resi8: exact int8 inference of residual networks, from C11 and C++17.
 *
 *     static resi8_handle handle;
 *     static uint32_t arena[ARENA_BYTES / 4];          // resi8_arena_size says how many
 *
 *     resi8_init(&handle, sizeof handle, model, model_size, arena, sizeof arena);
 *     resi8_selftest(&handle, &layer);                 // once, at boot
 *
 *     resi8_set_pixels(&handle, pixels, pixel_count);  // for every picture
 *     resi8_run(&handle);
 *     resi8_top_k(&handle, best, 5, &found);
 *
 * Every function returns a status; RESI8_OK is 0. Nothing is allocated, there are no global variables, and nothing is
 * written but the handle, the arena and the results that a call names.
 *
 * Pointers. None may be NULL unless its function says so. The model, the arena and the handle belong to the caller, who
 * keeps them where they are, and the model unchanged, until the handle is not used any more; then nothing has to be
 * freed. A pointer for a result is used until the function returns, must be aligned for its type, and must not point into
 * the handle, the model or the arena. All of this is checked as far as it can be seen: a NULL, a misaligned pointer, a
 * length that is too small, memory that overlaps, a model that is damaged and a handle that is not initialised or was
 * written to are errors with a code of their own. That the memory exists, and is as long as stated, is for the caller
 * to see to.
 *
 * Threads. Different handles with arenas of their own can be used at the same time, also with the same model. One handle
 * is for one thread, or interrupt, at a time: it is the caller who takes turns. A function that is called while another
 * one works on the same handle, from a callback or an interrupt, returns RESI8_ERR_BUSY and does nothing.
 *
 * Order. resi8_init, then for every picture: resi8_input or resi8_set_pixels, a run, and the results. A run overwrites its
 * input, so a second run without a new input is RESI8_ERR_ORDER, and so are results before the end of a run. A new input
 * gives up a run that has not ended.
 */
#ifndef RESI8_H
#define RESI8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this header: 65536 * major + 256 * minor + patch. resi8_version is that of the library. */
#define RESI8_VERSION 0x00000100u

/* A model and an arena start at a multiple of this many bytes. More (64) is faster on processors with caches. */
#define RESI8_ALIGN 4u

/* Words and bytes of a handle. */
#define RESI8_HANDLE_WORDS 80u
#define RESI8_HANDLE_SIZE (RESI8_HANDLE_WORDS * sizeof(uintptr_t))

/* What every function returns. */
typedef int32_t resi8_status;

enum {
    RESI8_OK = 0,
    RESI8_ERR_NULL = 1,             /* a pointer is NULL */
    RESI8_ERR_MISALIGNED = 2,       /* a pointer is not aligned */
    RESI8_ERR_LENGTH = 3,           /* a length reaches past the end of the address space */
    RESI8_ERR_OVERLAP = 4,          /* two buffers share memory */
    RESI8_ERR_HANDLE_TOO_SMALL = 5, /* the handle's memory is too small: this header is not that of the library */
    RESI8_ERR_HANDLE = 6,           /* the handle is not initialised, or its memory was written or moved */
    RESI8_ERR_BUSY = 7,             /* the handle is in use by a call that has not returned */
    RESI8_ERR_ORDER = 8,            /* this call does not fit what was called before */
    RESI8_ERR_NOT_A_MODEL = 9,      /* the first bytes are not those of a model */
    RESI8_ERR_FORMAT_VERSION = 10,  /* a model of another format version: convert the network again */
    RESI8_ERR_MODEL_LENGTH = 11,    /* the model is shorter or longer than it says */
    RESI8_ERR_CHECKSUM = 12,        /* the model is damaged */
    RESI8_ERR_BAD_MODEL = 13,       /* the model breaks a rule of the format */
    RESI8_ERR_TOO_LARGE = 14,       /* the model needs more memory than can be addressed */
    RESI8_ERR_ARENA_TOO_SMALL = 15, /* the arena is smaller than resi8_arena_size says */
    RESI8_ERR_INPUT_LENGTH = 16,    /* the number of values is not that of the input */
    RESI8_ERR_INDEX = 17,           /* there is no layer or class of that number */
    RESI8_ERR_NO_LABELS = 18,       /* the model has no labels */
    RESI8_ERR_SELF_TEST = 19,       /* a layer gives other values than on the machine that converted the model */
    RESI8_ERR_MODEL_CHANGED = 20,   /* the model has changed while it was in use */
    RESI8_ERR_OTHER_TARGET = 21     /* the model was converted for another processor: convert without --target */
};

/* Memory for one network that runs. What is in it is the library's; the caller only gives it a place. */
typedef struct resi8_handle {
    uintptr_t words[RESI8_HANDLE_WORDS];
} resi8_handle;

/* Text inside the model: UTF-8, `len` bytes without a NUL, for printf("%.*s", (int)t.len, t.text). It lives as long as the
 * model, or, where it is the library's, as the program. */
typedef struct resi8_text {
    const uint8_t *text;
    size_t len;
} resi8_text;

/* What a model takes and gives. */
typedef struct resi8_info {
    uint32_t input_height;    /* rows of the input */
    uint32_t input_width;     /* columns */
    uint32_t input_channels;  /* channels, in the order of the model's preprocessing */
    float input_scale;        /* real value = input_scale * (stored value - input_zero_point); 1 and -128: a raw pixel */
    int32_t input_zero_point;
    uint32_t class_count;     /* number of logits */
    float logits_scale;       /* real value of one step of the logits */
    uint32_t layer_count;
    resi8_text kernels;       /* name of the kernels that run the model */
} resi8_info;

/* One layer. */
typedef struct resi8_layer {
    uint32_t index;           /* from 0 */
    uint32_t height;          /* rows of its output */
    uint32_t width;           /* columns */
    uint32_t channels;        /* channels */
    uint64_t macs;            /* multiply-accumulates of one run */
    resi8_text kind;          /* "conv", "conv+add", "dense", ... */
    resi8_text name;          /* its name in the network; empty when the model has no names */
} resi8_layer;

/* A class and its logit. */
typedef struct resi8_class {
    uint32_t index;
    int32_t logit;
} resi8_class;

/* Looks at a layer. `user` is the caller's own pointer, `layer` is valid until the callback returns. It runs on the thread
 * of the run, must return, and must not call functions with the same handle. Layers that run together by rows, as a model
 * for little memory has them, are shown once for every row: add up their times. */
typedef void (*resi8_layer_callback)(void *user, const resi8_layer *layer);

/* --- Without a handle; from any thread ------------------------------------------------------------------------------- */

/* The version of the library, as RESI8_VERSION. */
uint32_t resi8_version(void);

/* What a status means, in English, with a NUL at its end; lives as long as the program. For any number. */
const char *resi8_status_text(resi8_status status);

/* Bytes of a handle in this library: RESI8_HANDLE_SIZE, if this header is its own. */
size_t resi8_handle_size(void);

/* Checks a model: `model_len` bytes, aligned to RESI8_ALIGN, which are read during the call only. */
resi8_status resi8_model_check(const void *model, size_t model_len);

/* Checks a model as above, and says how many bytes its arena needs with this library: one less is refused. */
resi8_status resi8_arena_size(const void *model, size_t model_len, size_t *size);

/* --- With a handle --------------------------------------------------------------------------------------------------- */

/* Checks a model and makes a handle ready for it. `handle` has `handle_size` bytes (sizeof(resi8_handle)) and is aligned as
 * uintptr_t is; it may hold anything but a handle in a call that has not returned (if it never will, clear the memory
 * first). `model` and `arena` are aligned to RESI8_ALIGN. All three are lent until the handle is not used any more; from
 * here on only the library writes to handle and arena, but for the input between resi8_input and the run. After an error,
 * the handle cannot be used. */
resi8_status resi8_init(resi8_handle *handle, size_t handle_size, const void *model, size_t model_len, void *arena,
                        size_t arena_size);

/* What the model takes and gives. */
resi8_status resi8_describe(resi8_handle *handle, resi8_info *info);

/* What layer `index` is. */
resi8_status resi8_layer_info(resi8_handle *handle, size_t index, resi8_layer *layer);

/* What class `index` is called. */
resi8_status resi8_label(resi8_handle *handle, size_t index, resi8_text *label);

/* Where the next input goes: `*len` values, row by row, channels innermost; of a raw 8-bit pixel, pixel - 128. They lie in
 * the arena and are the caller's to write to until the next run, self-test or resi8_init of this handle. Call it again for
 * the next input. */
resi8_status resi8_input(resi8_handle *handle, int8_t **input, size_t *len);

/* Copies raw 8-bit pixels, as many as the input has values, into the input. They are read during the call, and lie neither
 * in the handle nor in the model nor in the arena. */
resi8_status resi8_set_pixels(resi8_handle *handle, const uint8_t *pixels, size_t count);

/* Runs the network, or the layers that resi8_run_layers has left. */
resi8_status resi8_run(resi8_handle *handle);

/* Runs the next `count` layers at most, so that a task can yield in between, or more where the last of them runs by rows
 * together with others: all of those. `*finished` says whether the last layer has run and results can be read. Until then
 * the arena must not be touched. */
resi8_status resi8_run_layers(resi8_handle *handle, size_t count, bool *finished);

/* The logits of the last run, `*count` of them, and the real value of one step. They lie in the arena and can be read until
 * the next input, self-test or resi8_init of this handle. */
resi8_status resi8_logits(resi8_handle *handle, const int32_t **logits, size_t *count, float *scale);

/* The classes with the largest logits of the last run, best first, equal ones in the order of their numbers. `best` has room
 * for `capacity` classes; `*found` says how many were written: all, or one for every class. */
resi8_status resi8_top_k(resi8_handle *handle, resi8_class *best, size_t capacity, size_t *found);

/* Sets what runs call before and after each layer, for times and dumps; NULL for nothing. `user` is handed on as it is, and
 * may be NULL. Both functions can be called until they are replaced or the handle is not used any more. */
resi8_status resi8_set_observer(resi8_handle *handle, resi8_layer_callback before, resi8_layer_callback after, void *user);

/* Runs the network on the model's own noise and compares every layer with what the converter computed, to the bit.
 * RESI8_ERR_SELF_TEST sets `*failed_layer`; otherwise it stays as it was. Callbacks are not called. The input is used up. */
resi8_status resi8_selftest(resi8_handle *handle, size_t *failed_layer);

#ifdef __cplusplus
}
#endif

#endif
