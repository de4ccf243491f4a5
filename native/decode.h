/* decode.h: one decompressor, from the addresses of its functions; a `decode_state` belongs to one thread. */
#ifndef IMGCORE_DECODE_H
#define IMGCORE_DECODE_H

#include <stddef.h>
#include <stdint.h>

/* Which calling convention `imgcore_decoder.function` follows. */
enum imgcore_decoder_kind {
    IMGCORE_UNZLIB = 1, /* libdeflate: alloc_decompressor, zlib_decompress_ex, free_decompressor */
    IMGCORE_UNZSTD = 2, /* createDCtx, decompressDCtx, isError, freeDCtx */
    IMGCORE_UNXZ = 3,   /* liblzma: stream_decoder, code, end */
    IMGCORE_UNLZ4 = 4   /* decompress_safe */
};

typedef struct imgcore_decoder {
    uint32_t kind;
    uint32_t unused;
    uintptr_t function[4];
} imgcore_decoder;

typedef struct decode_state {
    const imgcore_decoder *decoder;
    void *context;
} decode_state;

enum { DECODE_BROKEN = -1, DECODE_NO_MEMORY = -2 };

/*
 * Decompress into `out`, which has `room` bytes. Returns the size, DECODE_BROKEN when the data is broken or would give
 * more, or DECODE_NO_MEMORY. Bytes behind the end of the stream are ignored, as imgcore/codec/ does.
 */
int64_t decode_run(decode_state *state, const uint8_t *data, size_t size, uint8_t *out, size_t room);

/* Free what decode_run made. */
void decode_close(decode_state *state);

#endif
