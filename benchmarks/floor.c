/*
 * floor.c: blocks through a codec, and nothing else: what packing them takes at the very least. Compiled by bench/floor.py
 * together with native/codec.c, so the codec is called in the way in which the pipeline calls it.
 *
 * Threads take the next block off a common counter and compress it into a buffer of their own. Nothing is read, hashed,
 * looked up, kept, put in order or written.
 */
#define _GNU_SOURCE

#include "codec.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_THREADS = 256 };

typedef struct floor_work {
    const imgcore_codec *codec;
    const uint8_t *data;
    const uint64_t *ends; /* of each block in `data`; it begins where the one before ended */
    size_t count;
    size_t block_size;
    atomic_size_t next;
    atomic_ullong stored;
    atomic_bool failed;
} floor_work;

static void *compress_blocks(void *argument)
{
    floor_work *work = argument;
    codec_state state;
    uint8_t *out = NULL;
    bool open = codec_open(&state, work->codec, NULL, 0);

    if (open)
        out = malloc(codec_bound(&state, work->block_size));
    if (!out)
        atomic_store(&work->failed, true);
    for (size_t i; out && (i = atomic_fetch_add(&work->next, 1)) < work->count;) {
        uint64_t start = i ? work->ends[i - 1] : 0, size = work->ends[i] - start;
        int64_t got = codec_run(&state, work->data + start, (size_t)size, out);

        if (got < 0)
            atomic_store(&work->failed, true);
        atomic_fetch_add(&work->stored, got > 0 && (uint64_t)got < size ? (uint64_t)got : size);
    }
    free(out);
    codec_close(&state);
    return NULL;
}

/* Return the seconds that it took, below 0 on failure; `stored` gets how many bytes came out. */
double floor_run(const imgcore_codec *codec, const uint8_t *data, const uint64_t *ends, size_t count, size_t block_size,
                 unsigned threads, uint64_t *stored)
{
    floor_work work = {.codec = codec, .data = data, .ends = ends, .count = count, .block_size = block_size};
    pthread_t made[MOST_THREADS];
    struct timespec from, to;
    unsigned started = 0;

    if (threads > MOST_THREADS)
        threads = MOST_THREADS;
    clock_gettime(CLOCK_MONOTONIC, &from);
    while (started < threads && pthread_create(&made[started], NULL, compress_blocks, &work) == 0)
        started++;
    for (unsigned i = 0; i < started; i++)
        pthread_join(made[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &to);
    *stored = atomic_load(&work.stored);
    if (started < threads || atomic_load(&work.failed))
        return -1;
    return (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}
