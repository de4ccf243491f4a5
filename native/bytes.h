/* bytes.h: questions about buffers. */
#ifndef IMGCORE_BYTES_H
#define IMGCORE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hash128 {
    uint64_t low;
    uint64_t high;
} hash128;

/* Return whether all bytes are zero; true for none. */
bool bytes_are_zero(const uint8_t *data, size_t size);

/*
 * Return whether all byte values are about equally frequent: with c the number of times each of the 256 occurs,
 * sum(c * c) * 256 * 32 <= size * size * 33. `size` is at most 1 << 30.
 */
bool bytes_are_flat(const uint8_t *data, size_t size);

/* Return XXH3-128 with seed 0, by the public specification of xxHash (doc/xxhash_spec.md, release 0.8.2 and later). */
hash128 bytes_hash(const uint8_t *data, size_t size);

#endif
