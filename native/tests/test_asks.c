/*
 * test_asks.c: what single files ask for (raw blocks, tails of their own, nothing shared, no holes), what is to be stored
 * raw of all, and which of several codecs' results is kept.
 */
#define _GNU_SOURCE

#include "check.h"
#include "expand.h"
#include "imgcore.h"

#include <stdatomic.h>
#include <string.h>

enum { BLOCK = 1024, MOST = 32, TAIL = 10 };

static int zeros; /* whether all content is zeros */
static atomic_int calls[3];

static int read_content(void *context, uint64_t job, uint64_t at, size_t size, uint8_t *out)
{
    (void)context;
    (void)job;
    (void)at;
    memset(out, zeros ? 0 : 'x', size);
    return 0;
}

/* Codec 0 makes half of it, codec 1 one byte less than that, codec 2 as much as codec 1; each marks what it made. */
static int64_t compress(void *context, uint32_t codec, const uint8_t *data, size_t size, uint8_t *out)
{
    size_t made = codec ? size / 2 - 1 : size / 2;

    (void)context;
    (void)data;
    CHECK(codec < 3);
    atomic_fetch_add(&calls[codec], 1);
    memset(out, 0, made);
    out[0] = (uint8_t)codec;
    return (int64_t)made;
}

static const imgcore_codec codecs[3] = {{.kind = IMGCORE_CALL}, {.kind = IMGCORE_CALL}, {.kind = IMGCORE_CALL}};

static imgcore_spec usual(void)
{
    return (imgcore_spec){
        .block_size = BLOCK,
        .tails = IMGCORE_TAILS_ALL,
        .dedup = 1,
        .jobs = 2,
        .memory = 64 * BLOCK,
        .hash_mask = UINT64_MAX,
        .codecs = codecs,
        .codec_count = 1,
        .calls = {NULL, compress, read_content, NULL},
    };
}

/*
 * Pack files of `size` bytes with these flags (the list ends with -1) and compare the pieces with `expected`: B and b
 * are a block, compressed or raw, S the same, T a tail, t the same, Z zeros, F and f a fragment, a space an end.
 */
static void require(imgcore_spec spec, uint64_t size, const int *flags, const char *expected)
{
    imgcore_run *run = imgcore_open(&spec);
    imgcore_piece pieces[MOST];
    imgcore_state state = {0};
    char found[MOST + 1] = "";
    size_t used = 0;

    CHECK(run);
    for (; *flags >= 0; flags++) {
        imgcore_file file = {
            .size = size, .blocks = IMGCORE_NO_HOLES, .path_at = IMGCORE_NO_PATH, .flags = (uint64_t)*flags};

        CHECK(imgcore_push(run, &file, 1, "", 0) == 0);
    }
    imgcore_finish(run);
    while (!state.done && !state.error)
        for (size_t i = 0, count = imgcore_pull(run, pieces, MOST, &state); i < count && used < MOST; i++) {
            const imgcore_piece *p = &pieces[i];
            const char *letters[] = {"", "bB", "ZZ", "SS", "Tt", "fF", "  "};

            if (p->kind != IMGCORE_FILES) {
                found[used++] = letters[p->kind][p->kind == IMGCORE_TAIL ? p->count : p->compressed];
                continue;
            }
            imgcore_piece parts[2 * MOST];
            size_t part_count;

            CHECK(p->count <= MOST);
            part_count = expand_files(p, parts);

            for (size_t k = 0; k < part_count && used < MOST; k++)
                found[used++] = letters[parts[k].kind][parts[k].kind == IMGCORE_TAIL ? parts[k].count : 0];
        }
    imgcore_close(run);
    CHECK(state.done && strcmp(found, expected) == 0);
}

static void files_ask(void)
{
    imgcore_spec spec = usual();

    require(spec, BLOCK, (int[]){0, 0, IMGCORE_RAW, 0, IMGCORE_RAW, -1}, "B S b S S ");
    require(spec, BLOCK + TAIL, (int[]){0, IMGCORE_RAW, IMGCORE_OWN_TAIL, 0, -1}, "BT bb SB St F");
    require(spec, BLOCK + TAIL, (int[]){0, IMGCORE_UNSHARED, 0, IMGCORE_UNSHARED, -1}, "BT BT St BT F");
    spec.tails = IMGCORE_TAILS_NONE;
    require(spec, TAIL, (int[]){0, IMGCORE_RAW, 0, -1}, "B b S ");
}

static void zeros_are_data_where_a_file_asks(void)
{
    zeros = 1;
    require(usual(), 2 * BLOCK, (int[]){0, IMGCORE_SOLID, IMGCORE_SOLID | IMGCORE_UNSHARED, 0, -1}, "Z BS BB Z ");
    require(usual(), 2 * BLOCK, (int[]){IMGCORE_SOLID | IMGCORE_RAW, IMGCORE_SOLID, -1}, "bS BS ");
    zeros = 0;
}

static void all_blocks_or_fragments_raw(void)
{
    imgcore_spec spec = usual();

    spec.raw_blocks = 1;
    require(spec, BLOCK + TAIL, (int[]){0, IMGCORE_RAW, -1}, "bT Sb F");
    spec.raw_fragments = 1;
    require(spec, BLOCK + TAIL, (int[]){0, -1}, "bT f");
    spec.raw_blocks = 0;
    require(spec, BLOCK + TAIL, (int[]){0, -1}, "BT f");
    spec = usual();
    spec.codec_count = 0;
    require(spec, BLOCK + TAIL, (int[]){0, IMGCORE_RAW, -1}, "bT Sb f");
}

/* Return the mark in the one block that `count` codecs make, and its size. */
static uint8_t kept_of(uint64_t count, uint64_t *size)
{
    imgcore_spec spec = usual();
    imgcore_file file = {.size = BLOCK, .blocks = IMGCORE_NO_HOLES, .path_at = IMGCORE_NO_PATH};
    imgcore_piece pieces[MOST];
    imgcore_state state = {0};
    imgcore_run *run;
    uint8_t mark = UINT8_MAX;

    spec.codec_count = count;
    run = imgcore_open(&spec);
    CHECK(run && imgcore_push(run, &file, 1, "", 0) == 0);
    imgcore_finish(run);
    while (!state.done && !state.error)
        for (size_t i = 0, got = imgcore_pull(run, pieces, MOST, &state); i < got; i++)
            if (pieces[i].kind == IMGCORE_BLOCK) {
                mark = *(const uint8_t *)(uintptr_t)pieces[i].data;
                *size = pieces[i].data_size;
            }
    imgcore_close(run);
    return mark;
}

static void the_shortest_is_kept_of_equals_the_first(void)
{
    uint64_t size = 0;

    CHECK(kept_of(1, &size) == 0 && size == BLOCK / 2);
    CHECK(kept_of(2, &size) == 1 && size == BLOCK / 2 - 1);
    for (size_t i = 0; i < 3; i++)
        atomic_store(&calls[i], 0);
    CHECK(kept_of(3, &size) == 1 && size == BLOCK / 2 - 1);
    for (size_t i = 0; i < 3; i++)
        CHECK(atomic_load(&calls[i]) == 1);
}

int main(void)
{
    void (*tests[])(void) = {
        files_ask, zeros_are_data_where_a_file_asks, all_blocks_or_fragments_raw, the_shortest_is_kept_of_equals_the_first};

    RUN(tests);
    return 0;
}
