/*
 * decode.c: calls the decompressors through pointers, with the arguments that imgcore/codec/ passes in Python.
 *
 * The declarations repeat the ABI of the public headers libdeflate.h, zstd.h, lz4.h and lzma.h as far as it is used.
 */
#include "decode.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

enum { LZMA_FINISH = 3, LZMA_OK = 0, LZMA_STREAM_END = 1, LZMA_MEM_ERROR = 5 };

/* As imgcore/codec/xz.py, memory_limit(). */
#define LEAST_MEMORY (UINT64_C(64) << 20)
#define SPARE_MEMORY (UINT64_C(1) << 20)

typedef void *deflate_alloc(void);
typedef int deflate_decompress(void *state, const void *in, size_t in_size, void *out, size_t room, size_t *used, size_t *size);
typedef void deflate_free(void *state);

typedef void *zstd_create(void);
typedef size_t zstd_decompress(void *context, void *out, size_t room, const void *in, size_t in_size);
typedef unsigned zstd_is_error(size_t code);
typedef size_t zstd_free(void *context);

typedef int lz4_decompress(const char *in, char *out, int in_size, int room);

/* lzma_stream; what follows the named members is reserved, all zeros at first. */
typedef struct lzma_stream {
    const uint8_t *next_in;
    size_t avail_in;
    uint64_t total_in;
    uint8_t *next_out;
    size_t avail_out;
    uint64_t total_out;
    const void *allocator;
    void *internal;
    uint64_t reserved[16];
} lzma_stream;

typedef int lzma_decoder(lzma_stream *stream, uint64_t memory_limit, uint32_t flags);
typedef int lzma_code(lzma_stream *stream, int action);
typedef void lzma_end(lzma_stream *stream);

/* The function at place `index` of the decoder's table, as a `type`. */
#define FUNCTION(state, type, index) ((type *)(state)->decoder->function[index])

static bool open_state(decode_state *state)
{
    switch (state->decoder->kind) {
    case IMGCORE_UNZLIB:
        state->context = FUNCTION(state, deflate_alloc, 0)();
        break;
    case IMGCORE_UNZSTD:
        state->context = FUNCTION(state, zstd_create, 0)();
        break;
    case IMGCORE_UNXZ:
        state->context = calloc(1, sizeof(lzma_stream));
        break;
    default: /* needs none */
        return true;
    }
    return state->context != NULL;
}

static int64_t run_zlib(decode_state *state, const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    size_t used, got;

    if (FUNCTION(state, deflate_decompress, 1)(state->context, data, size, out, room, &used, &got) != 0 || got > room)
        return DECODE_BROKEN;
    return (int64_t)got;
}

static int64_t run_zstd(decode_state *state, const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    size_t got = FUNCTION(state, zstd_decompress, 1)(state->context, out, room, data, size);

    return FUNCTION(state, zstd_is_error, 2)(got) || got > room ? DECODE_BROKEN : (int64_t)got;
}

static int64_t run_xz(decode_state *state, const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    lzma_stream *stream = state->context;
    uint64_t limit = 2 * (uint64_t)room + SPARE_MEMORY;
    int result = FUNCTION(state, lzma_decoder, 0)(stream, limit > LEAST_MEMORY ? limit : LEAST_MEMORY, 0);

    if (result != LZMA_OK)
        return result == LZMA_MEM_ERROR ? DECODE_NO_MEMORY : DECODE_BROKEN;
    stream->next_in = data;
    stream->avail_in = size;
    stream->next_out = out;
    stream->avail_out = room;
    while (result == LZMA_OK) /* no progress twice is an error of its own */
        result = FUNCTION(state, lzma_code, 1)(stream, LZMA_FINISH);
    if (result == LZMA_STREAM_END)
        return (int64_t)(room - stream->avail_out);
    return result == LZMA_MEM_ERROR ? DECODE_NO_MEMORY : DECODE_BROKEN;
}

int64_t decode_run(decode_state *state, const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    int got;

    if (!state->context && !open_state(state))
        return DECODE_NO_MEMORY;
    switch (state->decoder->kind) {
    case IMGCORE_UNZLIB:
        return run_zlib(state, data, size, out, room);
    case IMGCORE_UNZSTD:
        return run_zstd(state, data, size, out, room);
    case IMGCORE_UNXZ:
        return run_xz(state, data, size, out, room);
    case IMGCORE_UNLZ4:
        if (size > INT_MAX || room > INT_MAX)
            return DECODE_BROKEN;
        got = FUNCTION(state, lz4_decompress, 0)((const char *)data, (char *)out, (int)size, (int)room);
        return got < 0 || (size_t)got > room ? DECODE_BROKEN : got;
    default:
        return DECODE_BROKEN;
    }
}

void decode_close(decode_state *state)
{
    if (!state->context)
        return;
    switch (state->decoder->kind) {
    case IMGCORE_UNZLIB:
        FUNCTION(state, deflate_free, 2)(state->context);
        break;
    case IMGCORE_UNZSTD:
        FUNCTION(state, zstd_free, 3)(state->context);
        break;
    case IMGCORE_UNXZ:
        FUNCTION(state, lzma_end, 2)(state->context);
        free(state->context);
        break;
    default:
        break;
    }
    state->context = NULL;
}
