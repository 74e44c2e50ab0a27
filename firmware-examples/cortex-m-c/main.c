/* Classifies a picture with a network in flash: all that firmware needs of resi8. */
#include "board.h"
#include "model.h"
#include "resi8.h"

static resi8_handle handle;
/* resi8_init refuses an arena that is too small; resi8_arena_size says how large it must be for the kernels of a core. */
static uint32_t arena[24 * 1024 / sizeof(uint32_t)];

static void check(resi8_status status) {
    if (status != RESI8_OK) board_fail(resi8_status_text(status));
}

/* Stands for a camera: red, green and blue planes become red, green, blue, red, green, ... */
static void take_picture(int8_t *input, size_t len) {
    const size_t channels = 3, pixels = len / channels;
    for (size_t i = 0; i < len; i++) {
        input[i] = (int8_t)(board_picture[i % channels * pixels + i / channels] - 128);
    }
}

int main(void) {
    /* Once, at boot: every check of the model, then whether this chip computes what the converter computed. */
    size_t failed_layer = 0;
    check(resi8_init(&handle, sizeof handle, model_file, MODEL_FILE_LEN, arena, sizeof arena));
    check(resi8_selftest(&handle, &failed_layer));

    /* For every picture. */
    int8_t *input = NULL;
    size_t len = 0, found = 0;
    resi8_class best = {0, 0};
    resi8_text label = {NULL, 0};
    check(resi8_input(&handle, &input, &len));
    take_picture(input, len);
    const uint32_t start = board_instructions();
    check(resi8_run(&handle));
    const uint32_t instructions = board_instructions() - start;
    check(resi8_top_k(&handle, &best, 1, &found));
    check(resi8_label(&handle, best.index, &label));

    board_print_number("class", best.index);
    board_print_text("label", label.text, label.len);
    board_print_number("instructions", instructions);
    board_print_number("arena bytes", sizeof arena);
    board_print_number("handle bytes", sizeof handle);
    board_print_number("stack bytes", board_stack_used());
    return 0;
}
