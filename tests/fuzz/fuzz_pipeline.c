/*
 * fuzz_pipeline.c: fuzz target: the input says which files there are and how the pipeline is driven; the pieces have to
 * give the files back. With clang it is a libFuzzer target; with -DPLAIN_LOOP a program that makes up inputs by itself.
 */
#define _GNU_SOURCE

#include "../../native/tests/expand.h"
#include "imgcore.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 8, PER_FILE = 3, MOST_FILES = 200, MOST_SIZE = 1 << 15, MOST_STORED = 2048, MOST_PIECES = 16 };

#define REQUIRE(condition)                                           \
    do {                                                             \
        if (!(condition)) {                                          \
            fprintf(stderr, "%d: %s\n", __LINE__, #condition);       \
            abort();                                                 \
        }                                                            \
    } while (0)

typedef struct input {
    const uint8_t *files; /* size in 2 bytes, seed in 1 */
    size_t count;
    atomic_int reads_left;
} input;

typedef struct stored {
    uint8_t *data;
    size_t size;
} stored;

typedef struct output {
    stored blocks[MOST_STORED], fragments[MOST_STORED];
    imgcore_piece *pieces;
    size_t count, room;
} output;

static uint64_t size_of(const input *in, uint64_t job)
{
    const uint8_t *file = in->files + PER_FILE * job;

    return (file[0] | (uint64_t)file[1] << 8) % MOST_SIZE;
}

static uint8_t byte_at(const input *in, uint64_t job, uint64_t at)
{
    uint8_t seed = in->files[PER_FILE * job + 2];

    if (seed < 64) /* zeros with something in between */
        return at % 1024 == seed ? seed : 0;
    return seed < 128 ? seed : (uint8_t)((at + seed) * 2654435761u >> (seed & 7));
}

static int read_content(void *context, uint64_t job, uint64_t at, size_t size, uint8_t *out)
{
    input *in = context;

    if (atomic_fetch_sub(&in->reads_left, 1) == 0)
        return -1;
    for (size_t i = 0; i < size; i++)
        out[i] = byte_at(in, job, at + i);
    return 0;
}

static int next_hole(void *context, uint64_t job, uint64_t at, uint64_t *start, uint64_t *end)
{
    (void)at;
    *start = *end = size_of(context, job);
    return 0;
}

/* Keep all but the last byte, which is the sum of all: enough to undo it. */
static int64_t compress(void *context, uint32_t codec, const uint8_t *data, size_t size, uint8_t *out)
{
    uint8_t sum = 0;

    (void)context;
    REQUIRE(codec < 2);
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + data[i]);
    if (sum != data[size - 1] || size < 2)
        return 0;
    memcpy(out, data, size - 1);
    return (int64_t)(size - 1);
}

static int look(const char *in, char *out, int in_size, int out_size)
{
    memset(out, 0, (size_t)out_size);
    return in[in_size / 2] & 1;
}

static void keep(stored *place, const imgcore_piece *piece)
{
    uint8_t sum = 0;

    REQUIRE(piece->data_size && !place->data);
    REQUIRE(piece->compressed ? piece->data_size < piece->raw_size : piece->data_size == piece->raw_size);
    place->size = piece->raw_size;
    place->data = calloc(1, piece->raw_size);
    REQUIRE(place->data);
    memcpy(place->data, (const void *)(uintptr_t)piece->data, piece->data_size);
    if (!piece->compressed)
        return;
    for (size_t i = 0; i + 1 < place->size; i++) /* all but the last sum up to 0 */
        sum = (uint8_t)(sum + place->data[i]);
    REQUIRE(sum == 0);
    place->size--; /* the last byte is not known; it is not compared */
}

static void collect(output *out, const imgcore_piece *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].kind == IMGCORE_BLOCK || pieces[i].kind == IMGCORE_FRAGMENT) {
            REQUIRE(pieces[i].number < MOST_STORED);
            keep((pieces[i].kind == IMGCORE_BLOCK ? out->blocks : out->fragments) + pieces[i].number, &pieces[i]);
        }
        size_t more = pieces[i].kind == IMGCORE_FILES ? 2 * pieces[i].count : 1;

        if (out->count + more > out->room) {
            out->room = 2 * out->room + 64 + more;
            out->pieces = realloc(out->pieces, out->room * sizeof *out->pieces);
            REQUIRE(out->pieces);
        }
        if (pieces[i].kind == IMGCORE_FILES)
            out->count += expand_files(&pieces[i], out->pieces + out->count);
        else
            out->pieces[out->count++] = pieces[i];
    }
}

static void compare(const input *in, const output *out)
{
    uint64_t job = 0, at = 0;

    for (size_t i = 0; i < out->count; i++) {
        const imgcore_piece *piece = &out->pieces[i];
        const stored *from = (piece->kind == IMGCORE_TAIL ? out->fragments : out->blocks) + piece->number;

        if (piece->kind == IMGCORE_FRAGMENT)
            continue;
        if (piece->kind == IMGCORE_END) {
            REQUIRE(piece->number == job && at == size_of(in, job) && piece->raw_size == at);
            job++;
            at = 0;
            continue;
        }
        for (uint64_t k = 0; k < piece->raw_size; k++, at++) {
            if (piece->kind == IMGCORE_ZERO)
                REQUIRE(byte_at(in, job, at) == 0);
            else if (piece->offset + k < from->size)
                REQUIRE(from->data && from->data[piece->offset + k] == byte_at(in, job, at));
        }
    }
    REQUIRE(job == in->count);
}

static void push(imgcore_run *run, const input *in, size_t from, size_t to)
{
    imgcore_file files[MOST_FILES];

    for (size_t i = from; i < to; i++)
        files[i - from] = (imgcore_file){
            .size = size_of(in, i),
            .blocks = i % 2 ? 0 : IMGCORE_NO_HOLES,
            .path_at = IMGCORE_NO_PATH,
            .flags = in->files[PER_FILE * i + 2] >> 2 & 15,
        };
    REQUIRE(imgcore_push(run, files, to - from, "", 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEADER)
        return 0;
    input in = {.files = data + HEADER, .count = (size - HEADER) / PER_FILE};
    uint32_t jobs = 1 + data[0] % 4, block = data[1] & 1 ? 1 << 14 : 512 + data[1];
    unsigned reads = data[5], pulls = data[6], most = 1 + data[7] % MOST_PIECES;
    const imgcore_codec codecs[2] = {{.kind = IMGCORE_CALL}, {.kind = IMGCORE_CALL}};
    imgcore_spec spec = {
        .block_size = block,
        .tails = data[2] % 3,
        .dedup = data[2] >> 2 & 1,
        .jobs = jobs,
        .memory = (uint64_t)(2 * jobs + 4 + data[3]) * block,
        .hash_mask = data[4] & 1 ? UINT64_MAX : data[4],
        .look = data[4] & 2 ? (uintptr_t)look : 0,
        .raw_blocks = data[4] >> 4 & 1,
        .raw_fragments = data[4] >> 5 & 1,
        .codecs = codecs,
        .codec_count = data[4] & 4 ? 0 : 1 + (data[4] >> 3 & 1),
        .calls = {&in, compress, read_content, next_hole},
    };

    if (in.count > MOST_FILES)
        in.count = MOST_FILES;
    atomic_init(&in.reads_left, reads < 128 ? INT32_MAX : (int)reads - 128);
    imgcore_run *run = imgcore_open(&spec);
    REQUIRE(run);
    output *out = calloc(1, sizeof *out);
    imgcore_piece pieces[MOST_PIECES];
    imgcore_state state = {0};
    size_t half = in.count / 2;

    REQUIRE(out);
    push(run, &in, 0, half);
    while (!state.done && !state.error && (pulls >= 200 ? pulls-- > 200 : 1)) {
        collect(out, pieces, imgcore_pull(run, pieces, most, &state));
        if (state.hungry) {
            push(run, &in, half, in.count);
            imgcore_finish(run);
        }
    }
    imgcore_close(run);
    if (state.done)
        compare(&in, out);
    else
        REQUIRE(pulls <= 200 || state.error == IMGCORE_CALL_FAILED);
    for (size_t i = 0; i < MOST_STORED; i++) {
        free(out->blocks[i].data);
        free(out->fragments[i].data);
    }
    free(out->pieces);
    free(out);
    return 0;
}

#ifdef PLAIN_LOOP
int main(int argc, char **argv)
{
    unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    uint8_t data[HEADER + PER_FILE * 40];

    srandom(argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1);
    for (unsigned long round = 0; round < rounds; round++) {
        size_t size = HEADER + (size_t)random() % (sizeof data - HEADER);

        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)(random() >> 7);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%lu inputs, no failure\n", rounds);
    return 0;
}
#endif
