/*
 * Everything that a caller can do wrong, with a tiny model: each must be an error code and never a fault. Runs on a host
 * under AddressSanitizer and on an emulated microcontroller.
 */
#include "misuse.h"

#include <limits.h>
#include <string.h>

#include "resi8.h"

_Static_assert(sizeof(resi8_handle) == RESI8_HANDLE_SIZE, "the size of a handle");

static int failures;
static const uint8_t *original;
static size_t original_len;

static void expect_at(int line, resi8_status found, resi8_status expected) {
    if (found == expected) return;
    failures++;
    say("failed in line", line);
    say(resi8_status_text(found), found);
    say(resi8_status_text(expected), expected);
}

#define EXPECT(found, expected) expect_at(__LINE__, (found), (expected))
#define CHECK(condition) expect_at(__LINE__, (condition) ? RESI8_OK : INT32_MAX, RESI8_OK)

/* A pointer that is one byte off. */
#define OFF(pointer) ((void *)((uintptr_t)(pointer) + 1))

/* Where results go that no test looks at. */
static struct {
    size_t size;
    int8_t *input;
    const int32_t *logits;
    float scale;
    bool finished;
    resi8_info info;
    resi8_layer layer;
    resi8_text text;
    resi8_class best[4];
} out;

static uint8_t pixels[64];

/* --- A good model in good memory ------------------------------------------------------------------------------------- */

static uint8_t *model_copy(size_t len) {
    return memcpy(place(PLACE_MODEL, len), original, len);
}

static size_t arena_size(void) {
    size_t size = 0;
    EXPECT(resi8_arena_size(original, original_len, &size), RESI8_OK);
    return size;
}

static resi8_handle *new_handle(void) {
    resi8_handle *handle = place(PLACE_HANDLE, sizeof *handle);
    void *arena = place(PLACE_ARENA, arena_size());
    EXPECT(resi8_init(handle, sizeof *handle, original, original_len, arena, arena_size()), RESI8_OK);
    return handle;
}

static size_t pixel_count(resi8_handle *handle) {
    EXPECT(resi8_describe(handle, &out.info), RESI8_OK);
    return (size_t)out.info.input_height * out.info.input_width * out.info.input_channels;
}

/* Every function that takes a handle. */
static void every_call(resi8_handle *handle, resi8_status expected) {
    EXPECT(resi8_describe(handle, &out.info), expected);
    EXPECT(resi8_layer_info(handle, 0, &out.layer), expected);
    EXPECT(resi8_label(handle, 0, &out.text), expected);
    EXPECT(resi8_input(handle, &out.input, &out.size), expected);
    EXPECT(resi8_set_pixels(handle, pixels, sizeof pixels), expected);
    EXPECT(resi8_run(handle), expected);
    EXPECT(resi8_run_layers(handle, 1, &out.finished), expected);
    EXPECT(resi8_logits(handle, &out.logits, &out.size, &out.scale), expected);
    EXPECT(resi8_top_k(handle, out.best, 4, &out.size), expected);
    EXPECT(resi8_set_observer(handle, NULL, NULL, NULL), expected);
    EXPECT(resi8_selftest(handle, &out.size), expected);
}

/* --- Pointers and lengths -------------------------------------------------------------------------------------------- */

static void test_null(void) {
    resi8_handle *handle = place(PLACE_HANDLE, sizeof *handle);
    size_t size = arena_size();
    void *arena = place(PLACE_ARENA, size);
    EXPECT(resi8_model_check(NULL, original_len), RESI8_ERR_NULL);
    EXPECT(resi8_model_check(NULL, 0), RESI8_ERR_NULL);
    EXPECT(resi8_arena_size(NULL, original_len, &size), RESI8_ERR_NULL);
    EXPECT(resi8_arena_size(original, original_len, NULL), RESI8_ERR_NULL);
    EXPECT(resi8_init(NULL, sizeof *handle, original, original_len, arena, size), RESI8_ERR_NULL);
    EXPECT(resi8_init(handle, sizeof *handle, NULL, original_len, arena, size), RESI8_ERR_NULL);
    EXPECT(resi8_init(handle, sizeof *handle, original, original_len, NULL, size), RESI8_ERR_NULL);
    every_call(NULL, RESI8_ERR_NULL);
    handle = new_handle();
    EXPECT(resi8_describe(handle, NULL), RESI8_ERR_NULL);
    EXPECT(resi8_layer_info(handle, 0, NULL), RESI8_ERR_NULL);
    EXPECT(resi8_label(handle, 0, NULL), RESI8_ERR_NULL);
    EXPECT(resi8_input(handle, NULL, &out.size), RESI8_ERR_NULL);
    EXPECT(resi8_input(handle, &out.input, NULL), RESI8_ERR_NULL);
    EXPECT(resi8_set_pixels(handle, NULL, pixel_count(handle)), RESI8_ERR_NULL);
    EXPECT(resi8_set_pixels(handle, NULL, 0), RESI8_ERR_NULL);
    EXPECT(resi8_run_layers(handle, 1, NULL), RESI8_ERR_NULL);
    EXPECT(resi8_logits(handle, NULL, &out.size, &out.scale), RESI8_ERR_NULL);
    EXPECT(resi8_logits(handle, &out.logits, NULL, &out.scale), RESI8_ERR_NULL);
    EXPECT(resi8_logits(handle, &out.logits, &out.size, NULL), RESI8_ERR_NULL);
    EXPECT(resi8_top_k(handle, NULL, 4, &out.size), RESI8_ERR_NULL);
    EXPECT(resi8_top_k(handle, out.best, 4, NULL), RESI8_ERR_NULL);
    EXPECT(resi8_selftest(handle, NULL), RESI8_ERR_NULL);
}

static void test_misaligned(void) {
    size_t size = arena_size();
    resi8_handle *handle = place(PLACE_HANDLE, sizeof *handle + sizeof(uintptr_t));
    uint8_t *arena = place(PLACE_ARENA, size + 4);
    uint8_t *model = place(PLACE_MODEL, original_len + 4);
    memcpy(model + 1, original, original_len);
    for (size_t off = 1; off < 4; off++) {
        EXPECT(resi8_model_check(model + off, original_len), RESI8_ERR_MISALIGNED);
        EXPECT(resi8_arena_size(model + off, original_len, &size), RESI8_ERR_MISALIGNED);
        EXPECT(resi8_init(handle, sizeof *handle, original, original_len, arena + off, size), RESI8_ERR_MISALIGNED);
    }
    EXPECT(resi8_init(handle, sizeof *handle, model + 1, original_len, arena, size), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_init(OFF(handle), sizeof *handle, original, original_len, arena, size), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_arena_size(original, original_len, OFF(&size)), RESI8_ERR_MISALIGNED);
    every_call(OFF(handle), RESI8_ERR_MISALIGNED);
    handle = new_handle();
    EXPECT(resi8_describe(handle, OFF(&out.info)), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_layer_info(handle, 0, OFF(&out.layer)), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_label(handle, 0, OFF(&out.text)), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_input(handle, OFF(&out.input), &out.size), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_input(handle, &out.input, OFF(&out.size)), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_logits(handle, OFF(&out.logits), &out.size, &out.scale), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_logits(handle, &out.logits, OFF(&out.size), &out.scale), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_logits(handle, &out.logits, &out.size, OFF(&out.scale)), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_top_k(handle, OFF(out.best), 3, &out.size), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_top_k(handle, out.best, 4, OFF(&out.size)), RESI8_ERR_MISALIGNED);
    EXPECT(resi8_selftest(handle, OFF(&out.size)), RESI8_ERR_MISALIGNED);
}

static void test_lengths(void) {
    size_t size = arena_size();
    resi8_handle *handle = place(PLACE_HANDLE, sizeof *handle);
    for (size_t less = 0; less < size; less++) {
        void *arena = place(PLACE_ARENA, less);
        EXPECT(resi8_init(handle, sizeof *handle, original, original_len, arena, less), RESI8_ERR_ARENA_TOO_SMALL);
        every_call(handle, RESI8_ERR_HANDLE);
    }
    void *arena = place(PLACE_ARENA, size);
    EXPECT(resi8_init(handle, 0, original, original_len, arena, size), RESI8_ERR_HANDLE_TOO_SMALL);
    EXPECT(resi8_init(handle, sizeof *handle - 1, original, original_len, arena, size), RESI8_ERR_HANDLE_TOO_SMALL);
    for (size_t len = SIZE_MAX; len > SIZE_MAX - 4; len--) {
        EXPECT(resi8_model_check(original, len), RESI8_ERR_LENGTH);
        EXPECT(resi8_arena_size(original, len, &size), RESI8_ERR_LENGTH);
        EXPECT(resi8_init(handle, sizeof *handle, original, len, arena, size), RESI8_ERR_LENGTH);
        EXPECT(resi8_init(handle, sizeof *handle, original, original_len, arena, len), RESI8_ERR_LENGTH);
    }
    handle = new_handle();
    size_t count = pixel_count(handle);
    EXPECT(resi8_set_pixels(handle, pixels, SIZE_MAX), RESI8_ERR_LENGTH);
    EXPECT(resi8_set_pixels(handle, pixels, 0), RESI8_ERR_INPUT_LENGTH);
    EXPECT(resi8_set_pixels(handle, pixels, count - 1), RESI8_ERR_INPUT_LENGTH);
    EXPECT(resi8_set_pixels(handle, pixels, count + 1), RESI8_ERR_INPUT_LENGTH);
    EXPECT(resi8_top_k(handle, out.best, SIZE_MAX, &out.size), RESI8_ERR_LENGTH);
    EXPECT(resi8_top_k(handle, out.best, SIZE_MAX / 8 + 1, &out.size), RESI8_ERR_LENGTH);
    EXPECT(resi8_layer_info(handle, out.info.layer_count, &out.layer), RESI8_ERR_INDEX);
    EXPECT(resi8_layer_info(handle, SIZE_MAX, &out.layer), RESI8_ERR_INDEX);
    EXPECT(resi8_label(handle, out.info.class_count, &out.text), RESI8_ERR_INDEX);
    EXPECT(resi8_label(handle, SIZE_MAX, &out.text), RESI8_ERR_INDEX);
}

static void test_overlap(void) {
    size_t size = arena_size(), all = original_len + size + sizeof(resi8_handle) + 64;
    uint8_t *memory = place(PLACE_ARENA, all);
    resi8_handle *handle = place(PLACE_HANDLE, sizeof *handle);
    memcpy(memory, original, original_len);
    EXPECT(resi8_init(handle, sizeof *handle, memory, original_len, memory, all), RESI8_ERR_OVERLAP);
    EXPECT(resi8_init((void *)memory, sizeof *handle, original, original_len, memory, all), RESI8_ERR_OVERLAP);
    EXPECT(resi8_init((void *)memory, sizeof *handle, memory, original_len, handle, sizeof *handle), RESI8_ERR_OVERLAP);
    EXPECT(resi8_arena_size(memory, original_len, (size_t *)(void *)(memory + 8)), RESI8_ERR_OVERLAP);
    CHECK(memcmp(memory, original, original_len) == 0);
    handle = new_handle();
    size_t count = pixel_count(handle);
    EXPECT(resi8_input(handle, &out.input, &out.size), RESI8_OK);
    EXPECT(resi8_set_pixels(handle, (const uint8_t *)out.input, count), RESI8_ERR_OVERLAP);
    EXPECT(resi8_set_pixels(handle, (const uint8_t *)handle, count), RESI8_ERR_OVERLAP);
    EXPECT(resi8_top_k(handle, (void *)out.input, 1, &out.size), RESI8_ERR_OVERLAP);
    EXPECT(resi8_describe(handle, (void *)handle), RESI8_ERR_OVERLAP);
    EXPECT(resi8_selftest(handle, (size_t *)handle), RESI8_ERR_OVERLAP);
    EXPECT(resi8_describe(handle, &out.info), RESI8_OK);
}

/* --- Models ---------------------------------------------------------------------------------------------------------- */

/* CRC-32 of what the checksum covers, put where it belongs. */
static void fix_checksum(uint8_t *model, size_t len) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 20; i < len; i++) {
        crc ^= model[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    for (int i = 0; i < 4; i++) model[16 + i] = (uint8_t)(~crc >> 8 * i);
}

/* A model of which nothing is known is refused, or runs in the memory that it asks for. */
static void run_if_accepted(const uint8_t *model, size_t len) {
    size_t size = 0;
    resi8_status status = resi8_arena_size(model, len, &size);
    EXPECT(resi8_model_check(model, len), status);
    if (status != RESI8_OK) return;
    resi8_handle *handle = place(PLACE_HANDLE, sizeof *handle);
    void *arena = place(PLACE_ARENA, size);
    if (arena == NULL) return;
    EXPECT(resi8_init(handle, sizeof *handle, model, len, arena, size), RESI8_OK);
    EXPECT(resi8_input(handle, &out.input, &out.size), RESI8_OK);
    memset(out.input, 0x55, out.size);
    EXPECT(resi8_run(handle), RESI8_OK);
    EXPECT(resi8_top_k(handle, out.best, 4, &out.size), RESI8_OK);
    status = resi8_selftest(handle, &out.size);
    CHECK(status == RESI8_OK || status == RESI8_ERR_SELF_TEST);
    (void)resi8_label(handle, 2, &out.text);
}

static void test_truncated(void) {
    for (size_t len = 0; len < original_len; len++) {
        uint8_t *model = model_copy(len);
        CHECK(resi8_model_check(model, len) == RESI8_ERR_MODEL_LENGTH || len < 8);
        CHECK(resi8_model_check(model, len) != RESI8_OK);
        CHECK(resi8_arena_size(model, len, &out.size) != RESI8_OK);
        if (len < 20) continue;
        for (int i = 0; i < 4; i++) model[12 + i] = (uint8_t)(len >> 8 * i);
        fix_checksum(model, len);
        EXPECT(resi8_model_check(model, len), RESI8_ERR_BAD_MODEL);
    }
    EXPECT(resi8_model_check(original, original_len - 1), RESI8_ERR_MODEL_LENGTH);
}

static void test_flipped(void) {
    uint8_t *model = model_copy(original_len);
    for (size_t i = 0; i < original_len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            model[i] ^= (uint8_t)(1u << bit);
            CHECK(resi8_model_check(model, original_len) != RESI8_OK);
            fix_checksum(model, original_len);
            run_if_accepted(model, original_len);
            memcpy(model + 16, original + 16, 4);
            model[i] = original[i];
        }
    }
    EXPECT(resi8_model_check(model, original_len), RESI8_OK);
    model[0] ^= 1;
    EXPECT(resi8_model_check(model, original_len), RESI8_ERR_NOT_A_MODEL);
    model[0] ^= 1, model[8] ^= 1;
    EXPECT(resi8_model_check(model, original_len), RESI8_ERR_FORMAT_VERSION);
    model[8] ^= 1, model[16] ^= 1;
    EXPECT(resi8_model_check(model, original_len), RESI8_ERR_CHECKSUM);
}

/* Section 5 of the table is that of the weights: bytes of it, damaged while the model is in use, fail the self-test. */
static void test_damaged_weights(void) {
    uint8_t *model = model_copy(original_len);
    resi8_handle *handle = place(PLACE_HANDLE, sizeof *handle);
    void *arena = place(PLACE_ARENA, arena_size());
    uint32_t entry[3];
    memcpy(entry, model + 20 + 4 * sizeof entry, sizeof entry);
    CHECK(entry[0] == 5);
    EXPECT(resi8_init(handle, sizeof *handle, model, original_len, arena, arena_size()), RESI8_OK);
    uint32_t found = 0;
    for (uint32_t i = entry[1]; i < entry[1] + entry[2]; i++) {
        size_t layer = SIZE_MAX;
        model[i] ^= 0xff;
        resi8_status status = resi8_selftest(handle, &layer);
        CHECK(status == RESI8_ERR_SELF_TEST ? layer < 6 : layer == SIZE_MAX);
        found += status == RESI8_ERR_SELF_TEST;
        model[i] ^= 0xff;
    }
    CHECK(found > 0); /* of some kernels only those of the last layer, because they pack the others */
    EXPECT(resi8_selftest(handle, &out.size), RESI8_OK);
}

/* --- Handles --------------------------------------------------------------------------------------------------------- */

static void test_handle(void) {
    resi8_handle *handle = place(PLACE_HANDLE, sizeof *handle);
    for (int fill = 0; fill < 256; fill++) {
        memset(handle, fill, sizeof *handle);
        every_call(handle, RESI8_ERR_HANDLE);
    }
    handle = new_handle();
    static resi8_handle copy;
    copy = *handle;
    every_call(&copy, RESI8_ERR_HANDLE);
    for (size_t i = 0; i < sizeof *handle; i++) {
        ((uint8_t *)handle)[i] ^= (uint8_t)(1u << i % 8);
        every_call(handle, RESI8_ERR_HANDLE);
        ((uint8_t *)handle)[i] ^= (uint8_t)(1u << i % 8);
    }
    EXPECT(resi8_selftest(handle, &out.size), RESI8_OK);
    memset(handle, 0xa5, sizeof *handle / 2);
    every_call(handle, RESI8_ERR_HANDLE);
    new_handle();
    EXPECT(resi8_selftest(handle, &out.size), RESI8_OK);
    EXPECT(resi8_init(handle, sizeof *handle, original, 8, place(PLACE_ARENA, 4), 4), RESI8_ERR_MODEL_LENGTH);
    every_call(handle, RESI8_ERR_HANDLE);
}

static void test_order(void) {
    resi8_handle *handle = new_handle();
    size_t count = pixel_count(handle);
    EXPECT(resi8_run(handle), RESI8_ERR_ORDER);
    EXPECT(resi8_run_layers(handle, 1, &out.finished), RESI8_ERR_ORDER);
    EXPECT(resi8_logits(handle, &out.logits, &out.size, &out.scale), RESI8_ERR_ORDER);
    EXPECT(resi8_top_k(handle, out.best, 4, &out.size), RESI8_ERR_ORDER);
    EXPECT(resi8_set_pixels(handle, pixels, count), RESI8_OK);
    EXPECT(resi8_top_k(handle, out.best, 4, &out.size), RESI8_ERR_ORDER);
    EXPECT(resi8_run_layers(handle, 2, &out.finished), RESI8_OK);
    CHECK(!out.finished);
    EXPECT(resi8_logits(handle, &out.logits, &out.size, &out.scale), RESI8_ERR_ORDER);
    EXPECT(resi8_run(handle), RESI8_OK);
    EXPECT(resi8_logits(handle, &out.logits, &out.size, &out.scale), RESI8_OK);
    EXPECT(resi8_run(handle), RESI8_ERR_ORDER);
    EXPECT(resi8_run_layers(handle, 1, &out.finished), RESI8_ERR_ORDER);
    EXPECT(resi8_selftest(handle, &out.size), RESI8_OK);
    EXPECT(resi8_logits(handle, &out.logits, &out.size, &out.scale), RESI8_ERR_ORDER);
    EXPECT(resi8_run(handle), RESI8_ERR_ORDER);
}

/* A run in steps of any size, with one given up before, has the results of a run in one piece. */
static void test_steps(void) {
    resi8_handle *handle = new_handle();
    size_t count = pixel_count(handle);
    resi8_class whole[4], steps[4];
    for (size_t i = 0; i < count; i++) pixels[i] = (uint8_t)(37 * i);
    EXPECT(resi8_set_pixels(handle, pixels, count), RESI8_OK);
    EXPECT(resi8_run(handle), RESI8_OK);
    EXPECT(resi8_top_k(handle, whole, 4, &out.size), RESI8_OK);
    CHECK(out.size == out.info.class_count);
    CHECK(whole[0].logit >= whole[1].logit && whole[1].logit >= whole[2].logit);
    for (size_t step = 1; step <= out.info.layer_count + 1; step++) {
        EXPECT(resi8_set_pixels(handle, pixels, count), RESI8_OK);
        EXPECT(resi8_run_layers(handle, 1, &out.finished), RESI8_OK);
        EXPECT(resi8_input(handle, &out.input, &out.size), RESI8_OK);
        for (size_t i = 0; i < out.size; i++) out.input[i] = (int8_t)(pixels[i] - 128);
        EXPECT(resi8_run_layers(handle, 0, &out.finished), RESI8_OK);
        CHECK(!out.finished);
        size_t calls = 0;
        for (out.finished = false; !out.finished && calls <= out.info.layer_count; calls++) {
            EXPECT(resi8_run_layers(handle, step, &out.finished), RESI8_OK);
        }
        CHECK(calls == (out.info.layer_count + step - 1) / step);
        EXPECT(resi8_top_k(handle, steps, 4, &out.size), RESI8_OK);
        CHECK(memcmp(whole, steps, out.size * sizeof whole[0]) == 0);
    }
}

static struct {
    resi8_handle *handle;
    uint32_t before, after;
} seen;

static void call_back(void) {
    every_call(seen.handle, RESI8_ERR_BUSY);
    EXPECT(resi8_init(seen.handle, sizeof *seen.handle, original, original_len, place(PLACE_ARENA, arena_size()), arena_size()),
           RESI8_ERR_BUSY);
}

static void before_layer(void *user, const resi8_layer *layer) {
    CHECK(user == &seen && layer->index == seen.before && seen.after == seen.before);
    seen.before++;
    call_back();
}

static void after_layer(void *user, const resi8_layer *layer) {
    CHECK(user == &seen && layer->index == seen.after && layer->kind.len > 0);
    seen.after++;
    call_back();
}

static void test_observer(void) {
    seen.handle = new_handle();
    size_t count = pixel_count(seen.handle);
    EXPECT(resi8_set_pixels(seen.handle, pixels, count), RESI8_OK);
    EXPECT(resi8_set_observer(seen.handle, before_layer, after_layer, &seen), RESI8_OK);
    EXPECT(resi8_run(seen.handle), RESI8_OK);
    uint32_t layers = seen.before;
    EXPECT(resi8_set_observer(seen.handle, NULL, NULL, NULL), RESI8_OK);
    EXPECT(resi8_set_pixels(seen.handle, pixels, count), RESI8_OK);
    EXPECT(resi8_run(seen.handle), RESI8_OK);
    EXPECT(resi8_describe(seen.handle, &out.info), RESI8_OK);
    CHECK(layers == out.info.layer_count && seen.before == layers && seen.after == layers);
}

static void test_answers(void) {
    resi8_handle *handle = new_handle();
    CHECK(resi8_version() == RESI8_VERSION && resi8_handle_size() == sizeof *handle);
    for (resi8_status status = -3; status < 30; status++) CHECK(resi8_status_text(status)[0] != 0);
    CHECK(resi8_status_text(INT32_MIN)[0] != 0 && resi8_status_text(INT32_MAX)[0] != 0);
    EXPECT(resi8_label(handle, 2, &out.text), RESI8_OK);
    CHECK(out.text.len == 4 && memcmp(out.text.text, "bird", 4) == 0);
    EXPECT(resi8_layer_info(handle, 5, &out.layer), RESI8_OK);
    CHECK(out.layer.kind.len == 5 && memcmp(out.layer.kind.text, "dense", 5) == 0);
    CHECK(out.layer.macs == 6 && out.layer.channels == 3);
    EXPECT(resi8_describe(handle, &out.info), RESI8_OK);
    CHECK(out.info.class_count == 3 && out.info.input_zero_point == -128 && out.info.kernels.len > 0);
}

int misuse(const uint8_t *model, size_t len) {
    original = model;
    original_len = len;
    test_null();
    test_misaligned();
    test_lengths();
    test_overlap();
    test_truncated();
    test_flipped();
    test_damaged_weights();
    test_handle();
    test_order();
    test_steps();
    test_observer();
    test_answers();
    say("misuse: failures", failures);
    return failures;
}
