/* test_early.c: the look that spares a slow codec: what it is given, and what follows from each of its answers. */
#define _GNU_SOURCE

#include "check.h"
#include "imgcore.h"

#include <stdatomic.h>
#include <string.h>

enum { BLOCK = 1 << 15, FILES = 3, LARGE = BLOCK, EDGE = 16384, SMALL = EDGE - 1 };

static const uint64_t sizes[FILES] = {LARGE, EDGE, SMALL};
static atomic_int looked, compressed, answer;
static int flat;

static int read_content(void *context, uint64_t job, uint64_t at, size_t size, uint8_t *out)
{
    (void)context;
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)((at + i + job) & (flat ? 0xff : 0xf));
    return 0;
}

static int64_t compress(void *context, uint32_t codec, const uint8_t *data, size_t size, uint8_t *out)
{
    (void)context;
    (void)codec;
    (void)data;
    (void)size;
    atomic_fetch_add(&compressed, 1);
    *out = 1;
    return 1;
}

static int look(const char *in, char *out, int in_size, int out_size)
{
    CHECK(in && in_size >= EDGE && out_size == in_size - in_size / 64);
    memset(out, 1, (size_t)out_size); /* the room is there */
    atomic_fetch_add(&looked, 1);
    return atomic_load(&answer);
}

/* Pack the files, each as one block; return the state at the end. */
static imgcore_state run_all(int look_answer, int look_at_all)
{
    imgcore_spec spec = {
        .block_size = BLOCK,
        .jobs = 2,
        .memory = 16 * BLOCK,
        .look = look_at_all ? (uintptr_t)look : 0,
        .codecs = &(imgcore_codec){.kind = IMGCORE_CALL},
        .codec_count = 1,
        .calls = {NULL, compress, read_content, NULL},
    };
    imgcore_run *run = imgcore_open(&spec);
    imgcore_file files[FILES];
    imgcore_piece pieces[16];
    imgcore_state state = {0};
    int stored = 0;

    CHECK(run);
    atomic_store(&looked, 0);
    atomic_store(&compressed, 0);
    atomic_store(&answer, look_answer);
    for (size_t i = 0; i < FILES; i++)
        files[i] = (imgcore_file){.size = sizes[i], .blocks = IMGCORE_NO_HOLES, .path_at = IMGCORE_NO_PATH};
    CHECK(imgcore_push(run, files, FILES, "", 0) == 0);
    imgcore_finish(run);
    while (!state.done && !state.error)
        for (size_t i = 0, count = imgcore_pull(run, pieces, 16, &state); i < count; i++)
            stored += pieces[i].kind == IMGCORE_BLOCK && !pieces[i].compressed;
    imgcore_close(run);
    CHECK(state.error || stored == FILES - atomic_load(&compressed));
    return state;
}

static void what_does_not_fit_is_stored(void)
{
    flat = 1;
    CHECK(run_all(0, 1).done && atomic_load(&looked) == 2 && atomic_load(&compressed) == 1);
}

static void what_fits_is_compressed(void)
{
    flat = 1;
    CHECK(run_all(100, 1).done && atomic_load(&looked) == 2 && atomic_load(&compressed) == FILES);
}

static void frequent_bytes_spare_the_look(void)
{
    flat = 0;
    CHECK(run_all(0, 1).done && atomic_load(&looked) == 0 && atomic_load(&compressed) == FILES);
}

static void no_look_without_a_function(void)
{
    flat = 1;
    CHECK(run_all(0, 0).done && atomic_load(&looked) == 0 && atomic_load(&compressed) == FILES);
}

static void a_failed_look_ends_the_run(void)
{
    flat = 1;
    CHECK(run_all(-1, 1).error == IMGCORE_NO_MEMORY);
}

int main(void)
{
    void (*tests[])(void) = {
        what_does_not_fit_is_stored, what_fits_is_compressed,    frequent_bytes_spare_the_look,
        no_look_without_a_function,  a_failed_look_ends_the_run,
    };

    RUN(tests);
    return 0;
}
