/* dedup.c: chains in one growing array; heads are rebuilt when there are as many entries as heads. */
#define _DEFAULT_SOURCE /* reallocarray: it checks the product */

#include "dedup.h"

#include <assert.h>
#include <stdlib.h>

enum { FIRST_ROOM = 1024 };

static uint32_t *head_of(const dedup *table, hash128 hash)
{
    return &table->heads[(uint32_t)hash.low & (table->head_count - 1)];
}

uint32_t dedup_find(const dedup *table, hash128 hash, uint32_t size, uint32_t after)
{
    uint32_t index;

    if (!table->head_count)
        return DEDUP_NONE;
    index = after == DEDUP_NONE ? *head_of(table, hash) : table->entries[after].next;
    while (index != DEDUP_NONE) {
        const dedup_entry *entry = &table->entries[index];

        assert(index < table->count);
        if (entry->size == size && entry->hash.low == hash.low && entry->hash.high == hash.high)
            return index;
        index = entry->next;
    }
    return DEDUP_NONE;
}

static void link_entry(dedup *table, uint32_t index)
{
    uint32_t *head = head_of(table, table->entries[index].hash);

    table->entries[index].next = *head;
    *head = index;
}

static bool grow(dedup *table)
{
    uint32_t room = table->room ? table->room * 2 : FIRST_ROOM;
    dedup_entry *entries;
    uint32_t *heads;

    if (room <= table->room)
        return false;
    entries = reallocarray(table->entries, room, sizeof *entries);
    if (!entries)
        return false;
    table->entries = entries;
    heads = reallocarray(table->heads, room, sizeof *heads);
    if (!heads)
        return false;
    table->heads = heads;
    table->room = table->head_count = room;
    for (uint32_t i = 0; i < room; i++)
        heads[i] = DEDUP_NONE;
    for (uint32_t i = 0; i < table->count; i++)
        link_entry(table, i);
    return true;
}

uint32_t dedup_add(dedup *table, dedup_entry entry)
{
    if (table->count == table->room && !grow(table))
        return DEDUP_NONE;
    table->entries[table->count] = entry;
    link_entry(table, table->count);
    return table->count++;
}

void dedup_free(dedup *table)
{
    free(table->entries);
    free(table->heads);
    *table = (dedup){0};
}
