/*
 * codec.c: calls the codecs through pointers, with the very arguments that imgcore/codec/ passes in Python.
 *
 * The declarations below repeat the ABI of the public headers libdeflate.h, zstd.h, lz4.h and lzma.h as far as it is
 * used. A codec is given the room of its own bound, also where less would do: how much room there is must not be able to
 * change the bytes. (XZ and callbacks are given the room of the input: they stop where it is full, and nothing is stored.)
 */
#include "codec.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { ZSTD_LEVEL_PARAMETER = 100, LZMA_RUN = 0, LZMA_FINISH = 3, LZMA_OK = 0, LZMA_STREAM_END = 1, LZMA_CRC32 = 1 };

#define LZMA_FILTER_LZMA2 UINT64_C(0x21)
#define LZMA_EXTREME (UINT32_C(1) << 31)
#define LZMA_FILTERS_END UINT64_MAX

typedef void *deflate_alloc(int level);
typedef size_t deflate_compress(void *state, const void *in, size_t in_size, void *out, size_t out_size);
typedef size_t deflate_bound(void *state, size_t size);
typedef void deflate_free(void *state);

typedef void *zstd_create(void);
typedef size_t zstd_set(void *context, int parameter, int value);
typedef size_t zstd_compress(void *context, void *out, size_t out_size, const void *in, size_t in_size);
typedef size_t zstd_bound(size_t size);
typedef unsigned zstd_is_error(size_t code);
typedef size_t zstd_free(void *context);

typedef int lz4_bound(int size);
typedef int lz4_compress(const char *in, char *out, int in_size, int out_size);
/* LZ4_compress_HC and LZ4_compress_fast: the level of one, the acceleration of the other. */
typedef int lz4_compress_at(const char *in, char *out, int in_size, int out_size, int level);

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

/* lzma_options_lzma: filled by lzma_lzma_preset, of which only the named members are changed. */
typedef struct lzma_options {
    uint32_t dict_size;
    const uint8_t *preset_dict;
    uint32_t preset_dict_size;
    uint32_t lc;
    uint32_t lp;
    uint32_t pb;
    uint64_t rest[32];
} lzma_options;

typedef struct lzma_filter {
    uint64_t id;
    void *options;
} lzma_filter;

typedef unsigned char lzma_preset(lzma_options *options, uint32_t level);
typedef int lzma_encoder(lzma_stream *stream, const lzma_filter *filters, int check);
typedef int lzma_code(lzma_stream *stream, int action);
typedef void lzma_end(lzma_stream *stream);

typedef struct xz_context {
    lzma_stream stream;
    lzma_options options;
} xz_context;

/* The function at place `index` of the codec's table, as a `type`. */
#define FUNCTION(state, type, index) ((type *)(state)->codec->function[index])

static bool open_zlib(codec_state *state)
{
    state->context = FUNCTION(state, deflate_alloc, 0)(state->codec->level);
    return state->context != NULL;
}

static bool open_zstd(codec_state *state)
{
    size_t result;

    state->context = FUNCTION(state, zstd_create, 0)();
    if (!state->context)
        return false;
    result = FUNCTION(state, zstd_set, 1)(state->context, ZSTD_LEVEL_PARAMETER, state->codec->level);
    return !FUNCTION(state, zstd_is_error, 4)(result);
}

static bool open_xz(codec_state *state)
{
    const imgcore_codec *codec = state->codec;
    uint32_t preset = (uint32_t)codec->level | (codec->extreme ? LZMA_EXTREME : 0);
    xz_context *xz = calloc(1, sizeof *xz);

    state->context = xz;
    if (!xz || FUNCTION(state, lzma_preset, 0)(&xz->options, preset))
        return false;
    xz->options.dict_size = codec->dict_size;
    if (codec->lc != IMGCORE_PRESET)
        xz->options.lc = (uint32_t)codec->lc;
    if (codec->lp != IMGCORE_PRESET)
        xz->options.lp = (uint32_t)codec->lp;
    if (codec->pb != IMGCORE_PRESET)
        xz->options.pb = (uint32_t)codec->pb;
    return true;
}

bool codec_open(codec_state *state, const imgcore_codec *codec, const imgcore_calls *calls, uint32_t number)
{
    *state = (codec_state){codec, calls, number, NULL};
    switch (codec->kind) {
    case IMGCORE_ZLIB:
        return open_zlib(state);
    case IMGCORE_ZSTD:
        return open_zstd(state);
    case IMGCORE_XZ:
        return open_xz(state);
    default:
        return codec->kind == IMGCORE_LZ4 || codec->kind == IMGCORE_LZ4HC || codec->kind == IMGCORE_LZ4FAST ||
               codec->kind == IMGCORE_CALL;
    }
}

size_t codec_bound(const codec_state *state, size_t size)
{
    size_t bound = size;

    switch (state->codec->kind) {
    case IMGCORE_ZLIB:
        bound = FUNCTION(state, deflate_bound, 2)(state->context, size);
        break;
    case IMGCORE_ZSTD:
        bound = FUNCTION(state, zstd_bound, 3)(size);
        break;
    case IMGCORE_LZ4:
    case IMGCORE_LZ4HC:
    case IMGCORE_LZ4FAST:
        assert(size <= INT_MAX);
        bound = (size_t)FUNCTION(state, lz4_bound, 0)((int)size);
        break;
    default: /* XZ and CALL stop where their output reaches the size of the input */
        break;
    }
    return bound > size ? bound : size;
}

/* As CPython's lzma.compress: RUN until all input is taken, then FINISH. */
static int64_t run_xz(codec_state *state, const uint8_t *data, size_t size, uint8_t *out)
{
    xz_context *xz = state->context;
    lzma_stream *stream = &xz->stream;
    lzma_filter filters[3] = {
        {state->codec->filter, NULL}, {LZMA_FILTER_LZMA2, &xz->options}, {LZMA_FILTERS_END, NULL}};
    const lzma_filter *chain = state->codec->filter ? filters : filters + 1;
    int result = FUNCTION(state, lzma_encoder, 1)(stream, chain, LZMA_CRC32); /* reuses the memory of the last */

    if (result != LZMA_OK)
        return -1;
    stream->next_in = data;
    stream->avail_in = size;
    stream->next_out = out;
    stream->avail_out = size;
    while (result == LZMA_OK && stream->avail_in && stream->avail_out)
        result = FUNCTION(state, lzma_code, 2)(stream, LZMA_RUN);
    while (result == LZMA_OK && stream->avail_out)
        result = FUNCTION(state, lzma_code, 2)(stream, LZMA_FINISH);
    if (result == LZMA_STREAM_END)
        return (int64_t)(size - stream->avail_out);
    return result == LZMA_OK ? 0 : -1;
}

static int64_t run_zstd(codec_state *state, const uint8_t *data, size_t size, uint8_t *out, size_t room)
{
    size_t result = FUNCTION(state, zstd_compress, 2)(state->context, out, room, data, size);

    return FUNCTION(state, zstd_is_error, 4)(result) ? -1 : (int64_t)result;
}

int64_t codec_run(codec_state *state, const uint8_t *data, size_t size, uint8_t *out)
{
    const imgcore_codec *codec = state->codec;
    size_t room = codec_bound(state, size), result;
    int written;

    assert(size);
    switch (codec->kind) {
    case IMGCORE_ZLIB:
        result = FUNCTION(state, deflate_compress, 1)(state->context, data, size, out, room);
        return result ? (int64_t)result : -1;
    case IMGCORE_ZSTD:
        return run_zstd(state, data, size, out, room);
    case IMGCORE_XZ:
        return run_xz(state, data, size, out);
    case IMGCORE_LZ4:
        written = FUNCTION(state, lz4_compress, 1)((const char *)data, (char *)out, (int)size, (int)room);
        return written > 0 ? written : -1;
    case IMGCORE_LZ4HC:
    case IMGCORE_LZ4FAST:
        written = FUNCTION(state, lz4_compress_at, 1)((const char *)data, (char *)out, (int)size, (int)room, codec->level);
        return written > 0 ? written : -1;
    case IMGCORE_CALL:
        return state->calls->compress(state->calls->context, state->number, data, size, out);
    default:
        return 0;
    }
}

void codec_close(codec_state *state)
{
    if (!state->context)
        return;
    switch (state->codec->kind) {
    case IMGCORE_ZLIB:
        FUNCTION(state, deflate_free, 3)(state->context);
        break;
    case IMGCORE_ZSTD:
        FUNCTION(state, zstd_free, 5)(state->context);
        break;
    case IMGCORE_XZ:
        FUNCTION(state, lzma_end, 3)(&((xz_context *)state->context)->stream);
        free(state->context);
        break;
    default:
        break;
    }
    state->context = NULL;
}
