/* Uses an installed library: classifies a grey picture. */
#include <stdio.h>
#include <stdlib.h>

#include <resi8.h>

static uint64_t model[1 << 14];
static resi8_handle handle;

static void check(resi8_status status) {
    if (status == RESI8_OK) return;
    fprintf(stderr, "error: %s\n", resi8_status_text(status));
    exit(1);
}

int main(int argc, char **argv) {
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) return 2;
    const size_t model_len = fread(model, 1, sizeof model, file);
    fclose(file);

    size_t arena_size = 0, len = 0, found = 0, layer = 0;
    check(resi8_arena_size(model, model_len, &arena_size));
    void *arena = malloc(arena_size);
    if (arena == NULL) return 1;
    check(resi8_init(&handle, sizeof handle, model, model_len, arena, arena_size));
    check(resi8_selftest(&handle, &layer));

    int8_t *input = NULL;
    resi8_class best = {0, 0};
    resi8_info info;
    check(resi8_input(&handle, &input, &len));
    for (size_t i = 0; i < len; i++) input[i] = 0;
    check(resi8_run(&handle));
    check(resi8_top_k(&handle, &best, 1, &found));
    check(resi8_describe(&handle, &info));
    printf("class %u of %u, %.*s kernels\n", (unsigned)best.index, (unsigned)info.class_count, (int)info.kernels.len,
           (const char *)info.kernels.text);
    free(arena);
    return 0;
}
