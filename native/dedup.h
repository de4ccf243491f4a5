/*
 * dedup.h: a table from hashes to the first occurrences of contents. Entries with equal hashes are kept side by side, so
 * that two contents that collide are both known. Belongs to one thread.
 */
#ifndef IMGCORE_DEDUP_H
#define IMGCORE_DEDUP_H

#include "bytes.h"

struct file;

#define DEDUP_NONE UINT32_MAX

/* `number` and `offset` are the place in the image, given once it is known; the rest is where to read it again. */
typedef struct dedup_entry {
    hash128 hash;
    const struct file *file;
    uint64_t at;
    uint64_t number;
    uint32_t offset;
    uint32_t size;
    uint32_t next;
} dedup_entry;

typedef struct dedup {
    dedup_entry *entries;
    uint32_t *heads;
    uint32_t count;
    uint32_t room;
    uint32_t head_count; /* a power of two, or 0 */
} dedup;

/* Return the first entry of this hash and size after `after` (DEDUP_NONE: from the start), or DEDUP_NONE. */
uint32_t dedup_find(const dedup *table, hash128 hash, uint32_t size, uint32_t after);

/* Add an entry, whatever is there already; returns its index, or DEDUP_NONE when memory is lacking. */
uint32_t dedup_add(dedup *table, dedup_entry entry);

/* Free the table's memory. */
void dedup_free(dedup *table);

#endif
