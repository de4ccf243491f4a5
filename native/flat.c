/* flat.c: are all byte values about equally frequent? Then a Huffman code gains nothing. */
#include "bytes.h"

#include <assert.h>

enum { VALUES = 256, LANES = 4, MOST_BYTES = 1 << 30 };

/* 33 / (256 * 32): the sum of squares in proportion to size * size that is flat still. */
enum { NUMERATOR = 33, DENOMINATOR = 256 * 32 };

bool bytes_are_flat(const uint8_t *data, size_t size)
{
    /* Lanes: counting the same value twice in a row need not wait for the first addition. */
    uint32_t counts[LANES][VALUES] = {{0}};
    uint64_t sum = 0, square = (uint64_t)size * size;
    size_t at = 0;

    assert(size <= MOST_BYTES);
    for (; size - at >= LANES; at += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            counts[lane][data[at + lane]]++;
    for (; at < size; at++)
        counts[0][data[at]]++;
    for (size_t value = 0; value < VALUES; value++) {
        uint64_t count = 0;

        for (size_t lane = 0; lane < LANES; lane++)
            count += counts[lane][value];
        sum += count * count;
    }
    /* sum <= floor(square * 33 / 8192), in parts because square * 33 may have 66 bits. */
    return sum <= square / DENOMINATOR * NUMERATOR + square % DENOMINATOR * NUMERATOR / DENOMINATOR;
}
