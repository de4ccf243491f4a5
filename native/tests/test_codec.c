/*
 * test_codec.c: the calling conventions, with functions that record how they were called instead of a codec. That the
 * real functions give the same bytes as from Python is tested in tests/unit/engine.
 */
#include "check.h"
#include "codec.h"

#include <string.h>

enum { SIZE = 1000, EXTRA = 16, NO_SUCH_KIND = 77 };

static int state_token, opened, closed, level_seen;
static size_t room_seen;
static size_t answer;

static uintptr_t address(void (*function)(void))
{
    return (uintptr_t)function;
}

#define ADDRESS(function) address((void (*)(void))(function))

static void reset(size_t next_answer)
{
    opened = closed = level_seen = 0;
    room_seen = 0;
    answer = next_answer;
}

static void *deflate_alloc(int level)
{
    opened++;
    level_seen = level;
    return level > 12 ? NULL : &state_token;
}

static size_t deflate_compress(void *state, const void *in, size_t in_size, void *out, size_t out_size)
{
    CHECK(state == &state_token && in && in_size == SIZE);
    room_seen = out_size;
    memset(out, 1, out_size);
    return answer;
}

static size_t deflate_bound(void *state, size_t size)
{
    CHECK(state == &state_token);
    return size + EXTRA;
}

static void deflate_free(void *state)
{
    CHECK(state == &state_token);
    closed++;
}

static void libdeflate(void)
{
    imgcore_codec codec = {.kind = IMGCORE_ZLIB, .level = 9};
    uint8_t in[SIZE] = {0}, out[SIZE + EXTRA];
    codec_state state;

    codec.function[0] = ADDRESS(deflate_alloc);
    codec.function[1] = ADDRESS(deflate_compress);
    codec.function[2] = ADDRESS(deflate_bound);
    codec.function[3] = ADDRESS(deflate_free);
    reset(500);
    CHECK(codec_open(&state, &codec, NULL, 0) && opened == 1 && level_seen == 9);
    CHECK(codec_bound(&state, SIZE) == SIZE + EXTRA);
    CHECK(codec_run(&state, in, SIZE, out) == 500 && room_seen == SIZE + EXTRA);
    answer = 0;
    CHECK(codec_run(&state, in, SIZE, out) == -1);
    codec_close(&state);
    codec_close(&state);
    CHECK(closed == 1);
    codec.level = 13;
    CHECK(!codec_open(&state, &codec, NULL, 0));
    codec_close(&state);
    CHECK(closed == 1);
}

static int lz4_bound(int size)
{
    return size + EXTRA;
}

static int lz4_compress_hc(const char *in, char *out, int in_size, int out_size, int level)
{
    CHECK(in && out && in_size == SIZE);
    room_seen = (size_t)out_size;
    level_seen = level;
    return (int)answer;
}

static void lz4(void)
{
    imgcore_codec codec = {.kind = IMGCORE_LZ4HC, .level = 11};
    uint8_t in[SIZE] = {0}, out[SIZE + EXTRA];
    codec_state state;

    codec.function[0] = ADDRESS(lz4_bound);
    codec.function[1] = ADDRESS(lz4_compress_hc);
    reset(300);
    CHECK(codec_open(&state, &codec, NULL, 0));
    CHECK(codec_run(&state, in, SIZE, out) == 300 && level_seen == 11 && room_seen == SIZE + EXTRA);
    answer = 0;
    CHECK(codec_run(&state, in, SIZE, out) == -1);
    codec_close(&state);
}

/* The calling convention of LZ4_compress_HC, with the acceleration instead of a level. */
static void lz4_fast(void)
{
    imgcore_codec codec = {.kind = IMGCORE_LZ4FAST, .level = 65537};
    uint8_t in[SIZE] = {0}, out[SIZE + EXTRA];
    codec_state state;

    codec.function[0] = ADDRESS(lz4_bound);
    codec.function[1] = ADDRESS(lz4_compress_hc);
    reset(300);
    CHECK(codec_open(&state, &codec, NULL, 0) && codec_bound(&state, SIZE) == SIZE + EXTRA);
    CHECK(codec_run(&state, in, SIZE, out) == 300 && level_seen == 65537 && room_seen == SIZE + EXTRA);
    codec_close(&state);
}

/* What lzma_lzma_preset and lzma_stream_encoder were given. */
typedef struct xz_options {
    uint32_t dict_size;
    const uint8_t *preset_dict;
    uint32_t preset_dict_size, lc, lp, pb;
} xz_options;

typedef struct xz_filter {
    uint64_t id;
    const xz_options *options;
} xz_filter;

static uint32_t preset_seen;
static uint64_t ids_seen[3];
static xz_options options_seen;

static unsigned char xz_preset(xz_options *options, uint32_t preset)
{
    preset_seen = preset;
    *options = (xz_options){1 << 23, NULL, 0, 3, 0, 2};
    return preset == 10;
}

static int xz_encoder(void *stream, const xz_filter *filters, int check)
{
    CHECK(stream && check == 1);
    memset(ids_seen, 0, sizeof ids_seen);
    for (size_t i = 0; i < 3; i++) {
        ids_seen[i] = filters[i].id;
        if (filters[i].id == UINT64_MAX)
            break;
        CHECK((filters[i].id == 0x21) == (filters[i].options != NULL));
        if (filters[i].options)
            options_seen = *filters[i].options;
    }
    return 5; /* LZMA_MEM_ERROR: what follows is not called */
}

static void xz_end(void *stream)
{
    CHECK(stream);
    closed++;
}

static void xz_filters_and_parameters(void)
{
    imgcore_codec codec = {
        .kind = IMGCORE_XZ,
        .level = 6,
        .dict_size = 8192,
        .lc = IMGCORE_PRESET,
        .lp = IMGCORE_PRESET,
        .pb = IMGCORE_PRESET,
    };
    uint8_t in[SIZE] = {0}, out[SIZE];
    codec_state state;

    codec.function[0] = ADDRESS(xz_preset);
    codec.function[1] = ADDRESS(xz_encoder);
    codec.function[3] = ADDRESS(xz_end);
    reset(0);
    CHECK(codec_open(&state, &codec, NULL, 0) && preset_seen == 6);
    CHECK(codec_run(&state, in, SIZE, out) == -1 && ids_seen[0] == 0x21 && ids_seen[1] == UINT64_MAX);
    CHECK(options_seen.dict_size == 8192 && options_seen.lc == 3 && options_seen.lp == 0 && options_seen.pb == 2);
    codec_close(&state);
    codec.filter = 10;
    codec.extreme = 1;
    codec.lc = codec.pb = 0;
    codec.lp = 4;
    CHECK(codec_open(&state, &codec, NULL, 0) && preset_seen == (UINT32_C(1) << 31 | 6));
    CHECK(codec_run(&state, in, SIZE, out) == -1 && ids_seen[0] == 10 && ids_seen[1] == 0x21 && ids_seen[2] == UINT64_MAX);
    CHECK(options_seen.lc == 0 && options_seen.lp == 4 && options_seen.pb == 0);
    codec_close(&state);
    CHECK(closed == 2);
    codec.extreme = 0;
    codec.level = 10;
    CHECK(!codec_open(&state, &codec, NULL, 0));
    codec_close(&state);
}

static int64_t call_compress(void *context, uint32_t codec, const uint8_t *data, size_t size, uint8_t *out)
{
    CHECK(context == &state_token && codec == 3 && data && size == SIZE);
    memset(out, 2, size);
    return answer == SIZE_MAX ? -1 : (int64_t)answer;
}

static void callback(void)
{
    imgcore_codec codec = {.kind = IMGCORE_CALL};
    imgcore_calls calls = {.context = &state_token, .compress = call_compress};
    uint8_t in[SIZE] = {0}, out[SIZE];
    codec_state state;

    reset(10);
    CHECK(codec_open(&state, &codec, &calls, 3) && codec_bound(&state, SIZE) == SIZE);
    CHECK(codec_run(&state, in, SIZE, out) == 10);
    answer = SIZE_MAX;
    CHECK(codec_run(&state, in, SIZE, out) == -1);
    codec_close(&state);
}

static void unknown(void)
{
    imgcore_codec codec = {.kind = NO_SUCH_KIND};
    codec_state state;

    CHECK(!codec_open(&state, &codec, NULL, 0));
}

int main(void)
{
    void (*tests[])(void) = {libdeflate, lz4, lz4_fast, xz_filters_and_parameters, callback, unknown};

    RUN(tests);
    return 0;
}
