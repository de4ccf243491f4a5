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

static int64_t call_compress(void *context, uint32_t codec, const uint8_t *data, size_t size, uint8_t *out)
{
    CHECK(context == &state_token && codec == 3 && data && size == SIZE);
    memset(out, 2, size);
    return answer == SIZE_MAX ? -1 : (int64_t)answer;
}

static void callback(void)
{
    imgcore_codec codec = {.kind = IMGCORE_CALL};
    imgcore_calls calls = {&state_token, call_compress, NULL, NULL};
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
    void (*tests[])(void) = {libdeflate, lz4, callback, unknown};

    RUN(tests);
    return 0;
}
