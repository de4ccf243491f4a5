/* expand.h: the pieces that one IMGCORE_FILES is short for. */
#ifndef IMGCORE_EXPAND_H
#define IMGCORE_EXPAND_H

#include "imgcore.h"

/* Store the pieces of all files, at most two for each, in `out`; return how many there are. */
static inline size_t expand_files(const imgcore_piece *files, imgcore_piece *out)
{
    const imgcore_small *small = (const void *)(uintptr_t)files->data;
    size_t count = 0;

    for (uint64_t i = 0; i < files->count; i++) {
        if (small[i].size)
            out[count++] = (imgcore_piece){.kind = IMGCORE_TAIL,
                                           .number = small[i].fragment,
                                           .offset = small[i].offset,
                                           .raw_size = small[i].size,
                                           .count = small[i].same};
        out[count++] = (imgcore_piece){.kind = IMGCORE_END, .number = files->number + i, .raw_size = small[i].size};
    }
    return count;
}

#endif
