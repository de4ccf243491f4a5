/* codec.h: one codec, from the addresses of its functions; a `codec_state` belongs to one thread. */
#ifndef IMGCORE_CODEC_H
#define IMGCORE_CODEC_H

#include "imgcore.h"

#include <stdbool.h>

typedef struct codec_state {
    const imgcore_codec *codec;
    const imgcore_calls *calls;
    uint32_t number;
    void *context;
} codec_state;

/*
 * Prepare `state`; both pointers have to outlive it. `number` is what a callback is told. Returns false when memory is
 * lacking or the level is refused.
 */
bool codec_open(codec_state *state, const imgcore_codec *codec, const imgcore_calls *calls, uint32_t number);

/* Return the room that codec_run needs for blocks of `size` bytes; at least `size`. */
size_t codec_bound(const codec_state *state, size_t size);

/*
 * Compress into `out`, which has codec_bound(state, size) bytes. Returns the compressed size, 0 when it is known not to
 * be below `size`, -1 on failure.
 */
int64_t codec_run(codec_state *state, const uint8_t *data, size_t size, uint8_t *out);

/* Free what codec_open made; also after a codec_open that failed. */
void codec_close(codec_state *state);

#endif
