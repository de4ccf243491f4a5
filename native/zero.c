/* zero.c: is a block all zeros? Most are not, and most of those show it in their first bytes. */
#include "bytes.h"

#include <string.h>

enum { PROBE = 16, STRIDE = 256 };

bool bytes_are_zero(const uint8_t *data, size_t size)
{
    size_t at = 0;

    for (; at < size && at < PROBE; at++)
        if (data[at])
            return false;
    /* A fixed stride without an exit inside is what compilers vectorise. */
    for (; size - at >= STRIDE; at += STRIDE) {
        uint8_t any = 0;

        for (size_t i = 0; i < STRIDE; i++)
            any |= data[at + i];
        if (any)
            return false;
    }
    for (; at < size; at++)
        if (data[at])
            return false;
    return true;
}
