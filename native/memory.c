/* memory.c: buffers of one block are kept for the next block; all others have their own size. */
#include "pipeline.h"

#include <stdlib.h>

uint8_t *memory_take(imgcore_run *run, size_t size)
{
    if (size == run->spec.block_size && run->free_block_count)
        return run->free_blocks[--run->free_block_count];
    return malloc(size);
}

void memory_give(imgcore_run *run, uint8_t *buffer, size_t size)
{
    if (buffer && size == run->spec.block_size && run->free_block_count < run->free_block_room)
        run->free_blocks[run->free_block_count++] = buffer;
    else
        free(buffer);
}

void memory_reserve(imgcore_run *run, uint64_t size)
{
    run->used += size;
    if (run->used > run->peak)
        run->peak = run->used;
}
