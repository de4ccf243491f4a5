/*
 * test_pipeline.c: whole runs, with a trivial run-length codec and content that comes from a function. What is checked:
 * the pieces give back the content, they do not depend on the number of threads, and every way to end a run early ends it.
 */
#define _GNU_SOURCE

#include "check.h"
#include "expand.h"
#include "imgcore.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

enum { BLOCK = 4096, FILES = 700, MOST_PIECES = 64, MOST_SIZE = 5 * BLOCK };

/* (count, byte) pairs. */
static int64_t rle_compress(void *context, uint32_t codec, const uint8_t *data, size_t size, uint8_t *out)
{
    size_t at = 0, used = 0;

    (void)context;
    (void)codec;
    while (at < size) {
        size_t run = 1;

        while (run < 255 && at + run < size && data[at + run] == data[at])
            run++;
        if (used + 2 >= size)
            return 0;
        out[used++] = (uint8_t)run;
        out[used++] = data[at];
        at += run;
    }
    return (int64_t)used;
}

static void rle_expand(const uint8_t *data, size_t size, uint8_t *out)
{
    for (size_t i = 0; i < size; i += 2) {
        memset(out, data[i + 1], data[i]);
        out += data[i];
    }
}

/* File `job` has a size between 0 and 5 blocks, and each of its blocks is one of a few kinds. */
static uint64_t size_of(uint64_t job)
{
    return job * job * 1237 % MOST_SIZE;
}

static void fill(uint64_t job, uint64_t at, size_t size, uint8_t *out)
{
    for (size_t i = 0; i < size; i++) {
        uint64_t block = (at + i) / BLOCK, kind = (job * 7 + block * 3) % 11, place = (at + i) % BLOCK;

        if (kind < 2)
            out[i] = 0;
        else if (kind < 8)
            out[i] = (uint8_t)(kind + place / 1000);
        else
            out[i] = (uint8_t)((place + kind) * 2654435761u >> 13);
    }
}

static atomic_int reads_until_failure;

static int read_content(void *context, uint64_t job, uint64_t at, size_t size, uint8_t *out)
{
    (void)context;
    if (atomic_fetch_sub(&reads_until_failure, 1) == 0)
        return -1;
    fill(job, at, size, out);
    return 0;
}

static int next_hole(void *context, uint64_t job, uint64_t at, uint64_t *start, uint64_t *end)
{
    (void)context;
    (void)at;
    *start = *end = size_of(job);
    return 0;
}

static const imgcore_codec called = {.kind = IMGCORE_CALL};

static imgcore_spec spec_of(uint32_t jobs, uint64_t memory)
{
    return (imgcore_spec){
        .block_size = BLOCK,
        .tails = IMGCORE_TAILS_ALL,
        .dedup = 1,
        .jobs = jobs,
        .memory = memory,
        .hash_mask = UINT64_MAX,
        .codecs = &called,
        .codec_count = 1,
        .calls = {NULL, rle_compress, read_content, next_hole},
    };
}

static void push_all(imgcore_run *run)
{
    imgcore_file files[FILES];

    for (uint64_t job = 0; job < FILES; job++)
        files[job] = (imgcore_file){
            .size = size_of(job), .blocks = job % 2 ? IMGCORE_NO_HOLES : 0, .path_at = IMGCORE_NO_PATH};
    CHECK(imgcore_push(run, files, FILES / 2, "", 0) == 0);
    CHECK(imgcore_push(run, files + FILES / 2, FILES - FILES / 2, "", 0) == 0);
    imgcore_finish(run);
}

/* All stored data, and all pieces with `data` replaced by where that is. */
typedef struct result {
    imgcore_piece *pieces;
    size_t count;
    uint8_t *bytes;
    size_t used;
    imgcore_state state;
    uint64_t peak;
} result;

static result run_all(const imgcore_spec *spec)
{
    result all = {.pieces = calloc(FILES * 8, sizeof *all.pieces), .bytes = calloc(FILES, MOST_SIZE)};
    imgcore_run *run = imgcore_open(spec);
    imgcore_times times;

    CHECK(run && all.pieces && all.bytes);
    push_all(run);
    while (!all.state.done && !all.state.error) {
        imgcore_piece got[MOST_PIECES];
        size_t count = imgcore_pull(run, got, MOST_PIECES, &all.state);

        for (size_t i = 0; i < count; i++) {
            if (got[i].kind == IMGCORE_FILES) {
                all.count += expand_files(&got[i], all.pieces + all.count);
            } else {
                if (got[i].data_size) {
                    memcpy(all.bytes + all.used, (const void *)(uintptr_t)got[i].data, got[i].data_size);
                    got[i].data = all.used;
                    all.used += got[i].data_size;
                }
                all.pieces[all.count++] = got[i];
            }
            CHECK(all.count < FILES * 7);
        }
    }
    imgcore_measure(run, &times);
    all.peak = times.peak_bytes;
    imgcore_close(run);
    return all;
}

static void free_result(result *all)
{
    free(all->pieces);
    free(all->bytes);
}

/* Find the piece that stored block or fragment `number`, and expand it. */
static void load(const result *all, uint64_t kind, uint64_t number, uint8_t *out)
{
    for (size_t i = 0; i < all->count; i++) {
        const imgcore_piece *piece = &all->pieces[i];

        if (piece->kind != kind || piece->number != number)
            continue;
        if (piece->compressed)
            rle_expand(all->bytes + piece->data, piece->data_size, out);
        else
            memcpy(out, all->bytes + piece->data, piece->data_size);
        return;
    }
    CHECK(!"no such piece");
}

static void check_content(const result *all)
{
    static uint8_t got[MOST_SIZE], expected[MOST_SIZE], block[BLOCK];
    uint64_t job = 0, used = 0;

    for (size_t i = 0; i < all->count; i++) {
        const imgcore_piece *piece = &all->pieces[i];

        if (piece->kind == IMGCORE_FRAGMENT)
            continue;
        if (piece->kind == IMGCORE_END) {
            CHECK(piece->number == job && used == size_of(job) && piece->raw_size == used);
            fill(job, 0, used, expected);
            CHECK(memcmp(got, expected, used) == 0);
            job++;
            used = 0;
            continue;
        }
        if (piece->kind == IMGCORE_ZERO)
            memset(got + used, 0, piece->raw_size);
        else {
            load(all, piece->kind == IMGCORE_TAIL ? IMGCORE_FRAGMENT : IMGCORE_BLOCK, piece->number, block);
            memcpy(got + used, block + piece->offset, piece->raw_size);
        }
        used += piece->raw_size;
    }
    CHECK(job == FILES && all->state.done);
}

static bool equal(const result *a, const result *b)
{
    return a->count == b->count && a->used == b->used && memcmp(a->pieces, b->pieces, a->count * sizeof *a->pieces) == 0 &&
           memcmp(a->bytes, b->bytes, a->used) == 0;
}

static void pieces_give_back_the_content(void)
{
    imgcore_spec spec = spec_of(2, 1 << 20);

    for (spec.tails = IMGCORE_TAILS_NONE; spec.tails <= IMGCORE_TAILS_ALL; spec.tails++)
        for (spec.dedup = 0; spec.dedup < 2; spec.dedup++) {
            result all = run_all(&spec);

            check_content(&all);
            free_result(&all);
        }
    spec = spec_of(2, 1 << 20);
    spec.codec_count = 0;
    result all = run_all(&spec);
    check_content(&all);
    free_result(&all);
}

static void threads_memory_and_collisions_change_nothing(void)
{
    imgcore_spec spec = spec_of(1, 1 << 20);
    result expected = run_all(&spec);
    const struct {
        uint32_t jobs;
        uint64_t memory;
        uint64_t mask;
    } cases[] = {{1, 6 * BLOCK, UINT64_MAX}, {4, 12 * BLOCK, UINT64_MAX}, {8, 1 << 22, UINT64_MAX}, {3, 1 << 18, 3}, {4, 1 << 20, 0}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spec = spec_of(cases[i].jobs, cases[i].memory);
        spec.hash_mask = cases[i].mask;
        result got = run_all(&spec);

        CHECK(equal(&got, &expected));
        CHECK(got.peak <= cases[i].memory);
        free_result(&got);
    }
    free_result(&expected);
}

static void a_failed_read_ends_the_run(void)
{
    for (int after = 0; after < 900; after += 50 + after) {
        imgcore_spec spec = spec_of(3, 1 << 18);

        atomic_store(&reads_until_failure, after);
        result all = run_all(&spec);
        CHECK(all.state.error == IMGCORE_CALL_FAILED && !all.state.done && all.state.job < FILES);
        free_result(&all);
    }
    atomic_store(&reads_until_failure, INT32_MAX);
}

static void a_run_can_be_closed_at_any_time(void)
{
    for (int pulls = 0; pulls < 12; pulls++) {
        imgcore_spec spec = spec_of(3, 1 << 17);
        imgcore_run *run = imgcore_open(&spec);
        imgcore_piece pieces[7];
        imgcore_state state;

        CHECK(run);
        push_all(run);
        for (int i = 0; i < pulls; i++)
            imgcore_pull(run, pieces, 7, &state);
        imgcore_close(run);
    }
    imgcore_close(NULL);
}

static void a_hungry_run_waits_for_files(void)
{
    imgcore_spec spec = spec_of(2, 1 << 17);
    imgcore_run *run = imgcore_open(&spec);
    imgcore_piece pieces[4];
    imgcore_state state;

    CHECK(run);
    CHECK(imgcore_pull(run, pieces, 4, &state) == 0 && state.hungry && !state.done);
    CHECK(imgcore_push(run, NULL, 0, "", 0) == 0);
    imgcore_finish(run);
    CHECK(imgcore_pull(run, pieces, 4, &state) == 0 && !state.hungry && state.done);
    imgcore_close(run);
}

static void too_little_memory_is_refused(void)
{
    imgcore_spec spec = spec_of(2, 8 * BLOCK - 1);

    CHECK(!imgcore_open(&spec));
    spec = spec_of(0, 1 << 20);
    CHECK(!imgcore_open(&spec));
}

int main(void)
{
    void (*tests[])(void) = {
        pieces_give_back_the_content, threads_memory_and_collisions_change_nothing, a_failed_read_ends_the_run,
        a_run_can_be_closed_at_any_time, a_hungry_run_waits_for_files, too_little_memory_is_refused,
    };

    atomic_store(&reads_until_failure, INT32_MAX);
    RUN(tests);
    return 0;
}
