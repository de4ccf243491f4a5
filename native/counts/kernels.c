/*
 * kernels.c: the hot parts of the core, one at a time, for tools/native_counts, which counts their instructions.
 *
 *     kernels NAME DIRECTORY
 *
 * What they work on is made here, from a fixed rule; the instructions of this file are not counted. The codec compresses
 * nothing: what is counted in a run of the pipeline is the pipeline. DIRECTORY is empty, and used by `scan`.
 */
#define _GNU_SOURCE

#include "bytes.h"
#include "dedup.h"
#include "imgcore.h"
#include "scan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 128 << 10, SMALL_FILES = 4000, LARGE_FILES = 6, LARGE_SIZE = 9 * BLOCK + 1000, ENTRIES = 20000, NAMES = 400 };

static uint8_t block[BLOCK];
static volatile uint64_t sink; /* what is computed has to be of use */

static void need(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void fill(uint8_t *out, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)next(&seed);
}

static void hash(void)
{
    fill(block, BLOCK, 1);
    for (size_t i = 0; i < 16; i++)
        sink += bytes_hash(block, BLOCK - i).low;
}

static void hash_short(void)
{
    fill(block, BLOCK, 1);
    for (size_t size = 0; size < 4096; size++)
        sink += bytes_hash(block + size, size % 300).low;
}

static void zero(void)
{
    for (size_t i = 0; i < 16; i++)
        sink += bytes_are_zero(block, BLOCK - i);
}

static void flat(void)
{
    fill(block, BLOCK, 1);
    for (size_t i = 0; i < 8; i++)
        sink += bytes_are_flat(block, BLOCK - i);
}

static void dedup_table(void)
{
    dedup table = {0};
    uint32_t state = 1;

    for (uint32_t i = 0; i < ENTRIES; i++) {
        dedup_entry entry = {.hash = {next(&state) * UINT64_C(0x9e3779b97f4a7c15), i}, .size = 1 + i % 100};

        need(dedup_add(&table, entry) != DEDUP_NONE, "no memory");
    }
    state = 1;
    for (uint32_t i = 0; i < 2 * ENTRIES; i++) { /* half of them are there */
        hash128 wanted = {next(&state) * UINT64_C(0x9e3779b97f4a7c15), i};

        sink += dedup_find(&table, wanted, 1 + i % 100, DEDUP_NONE);
    }
    dedup_free(&table);
}

static int64_t no_codec(void *context, uint32_t codec, const uint8_t *data, size_t size, uint8_t *out)
{
    (void)context, (void)codec, (void)data, (void)size, (void)out;
    return 0;
}

static int read_content(void *context, uint64_t job, uint64_t at, size_t size, uint8_t *out)
{
    const uint64_t *modulus = context; /* files of equal rest have equal content */

    for (size_t i = 0; i < size; i += 4096)
        fill(out + i, size - i < 4096 ? size - i : 4096, (uint32_t)(job % *modulus * 31 + at + i));
    if (at / BLOCK % 4 == 2)
        memset(out, 0, size);
    return 0;
}

static int next_hole(void *context, uint64_t job, uint64_t at, uint64_t *start, uint64_t *end)
{
    (void)context, (void)job, (void)at, (void)start, (void)end;
    return -1; /* files here say that they have none */
}

static void run(uint64_t count, uint64_t modulus, uint64_t size, uint64_t most_more)
{
    static const imgcore_codec codec = {.kind = IMGCORE_CALL};
    imgcore_spec spec = {
        .block_size = BLOCK,
        .tails = IMGCORE_TAILS_ALL,
        .dedup = 1,
        .jobs = 1,
        .memory = UINT64_C(32) << 20,
        .hash_mask = UINT64_MAX,
        .codecs = &codec,
        .codec_count = 1,
        .calls = {.context = &modulus, .compress = no_codec, .read = read_content, .next_hole = next_hole},
    };
    imgcore_file *files = calloc(count, sizeof *files);
    imgcore_run *made = imgcore_open(&spec);
    imgcore_state state = {0};
    static imgcore_piece pieces[1024];

    need(files && made, "no memory");
    for (uint64_t i = 0; i < count; i++)
        files[i] = (imgcore_file){.size = size + (i % modulus * 7919) % (most_more + 1),
                                  .blocks = IMGCORE_NO_HOLES,
                                  .path_at = IMGCORE_NO_PATH};
    need(imgcore_push(made, files, count, "", 0) == 0, "no memory");
    imgcore_finish(made);
    while (!state.done && !state.error)
        sink += imgcore_pull(made, pieces, 1024, &state);
    need(!state.error, "the run failed");
    imgcore_close(made);
    free(files);
}

static void pipeline_small(void)
{
    run(SMALL_FILES, SMALL_FILES * 9 / 10, 10, 6000);
}

static void pipeline_large(void)
{
    run(LARGE_FILES, LARGE_FILES - 2, LARGE_SIZE, 0);
}

static void scan_directory(const char *place)
{
    imgcore_scanned found;
    imgcore_scan *scan;

    for (int i = 0; i < NAMES; i++) {
        char path[512];
        int fd;

        snprintf(path, sizeof path, "%s/%02d", place, i % 20);
        mkdir(path, 0755);
        snprintf(path, sizeof path, "%s/%02d/name-%03d", place, i % 20, i * 77 % NAMES);
        fd = open(path, O_WRONLY | O_CREAT, 0644);
        need(fd >= 0, path);
        close(fd);
    }
    scan = imgcore_scan_open(place, 1, 1, NULL, 0);
    need(scan != NULL, "no memory");
    do
        imgcore_scan_wait(scan, &found);
    while (!found.done && !found.error);
    need(!found.error && found.rows == NAMES + 21, "the scan failed");
    imgcore_scan_close(scan);
}

int main(int count, char **words)
{
    static const struct {
        const char *name;
        void (*function)(void);
    } kernels[] = {
        {"hash", hash},
        {"hash_short", hash_short},
        {"zero", zero},
        {"flat", flat},
        {"dedup", dedup_table},
        {"pipeline_small", pipeline_small},
        {"pipeline_large", pipeline_large},
    };

    if (count == 1) { /* which there are */
        for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
            puts(kernels[i].name);
        puts("scan");
        return 0;
    }
    need(count == 3, "kernels NAME DIRECTORY");
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(kernels[i].name, words[1]) == 0) {
            kernels[i].function();
            return 0;
        }
    need(strcmp(words[1], "scan") == 0, "no such kernel");
    scan_directory(words[2]);
    return 0;
}
