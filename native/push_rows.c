/* push_rows.c: files of a scanned directory, handed over by their rows. */
#include "imgcore.h"

#include <stdlib.h>
#include <string.h>

/* Paths, one behind the other; `prefix` is where the last one begins, whose first `prefix_size` bytes are its directory. */
typedef struct arena {
    char *bytes;
    size_t size;
    size_t room;
    size_t prefix;
    size_t prefix_size;
    uint32_t parent; /* whose path the prefix is */
} arena;

static const char *name_of(const imgcore_host_tree *tree, uint32_t row, size_t *size)
{
    *size = (size_t)(tree->name_ats[row + 1] - tree->name_ats[row] - 1);
    return tree->names + tree->name_ats[row];
}

static int make_room(arena *arena, size_t more)
{
    size_t room = arena->room ? arena->room : 1 << 16;
    char *grown;

    if (arena->room - arena->size >= more)
        return 0;
    while (room - arena->size < more)
        room *= 2;
    grown = realloc(arena->bytes, room);
    if (!grown)
        return -1;
    arena->bytes = grown;
    arena->room = room;
    return 0;
}

/* Append the path of the directory `row` and a slash. */
static int add_prefix(arena *arena, const imgcore_host_tree *tree, uint32_t row)
{
    size_t top = strlen(tree->top), total = top + 1, size;
    char *end;

    for (uint32_t at = row; at; at = tree->parents[at]) {
        name_of(tree, at, &size);
        total += size + 1;
    }
    if (make_room(arena, total))
        return -1;
    arena->prefix = arena->size;
    arena->prefix_size = total;
    arena->parent = row;
    end = arena->bytes + arena->size + total;
    *--end = '/';
    for (uint32_t at = row; at; at = tree->parents[at]) {
        const char *name = name_of(tree, at, &size);

        end -= size;
        memcpy(end, name, size);
        *--end = '/';
    }
    memcpy(end - top, tree->top, top);
    arena->size += total;
    return 0;
}

/* Append the path of `row` and a NUL; return where it begins, SIZE_MAX when memory is lacking. */
static size_t add_path(arena *arena, const imgcore_host_tree *tree, uint32_t row)
{
    size_t at = arena->size, size;
    const char *name = name_of(tree, row, &size);

    if (at && arena->parent == tree->parents[row]) {
        if (make_room(arena, arena->prefix_size))
            return SIZE_MAX;
        memcpy(arena->bytes + at, arena->bytes + arena->prefix, arena->prefix_size);
        arena->size += arena->prefix_size;
        arena->prefix = at;
    } else if (add_prefix(arena, tree, tree->parents[row])) {
        return SIZE_MAX;
    }
    if (make_room(arena, size + 1))
        return SIZE_MAX;
    memcpy(arena->bytes + arena->size, name, size);
    arena->bytes[arena->size + size] = '\0';
    arena->size += size + 1;
    return at;
}

int imgcore_push_rows(imgcore_run *run, const imgcore_host_tree *tree, const uint32_t *rows, size_t count, size_t longest)
{
    imgcore_file *files = calloc(count ? count : 1, sizeof *files);
    arena arena = {0};
    int result = files ? 0 : IMGCORE_PUSH_MEMORY;

    for (size_t i = 0; !result && i < count; i++) {
        uint32_t row = rows[i];
        size_t at = add_path(&arena, tree, row);

        if (at == SIZE_MAX)
            result = IMGCORE_PUSH_MEMORY;
        else if (arena.size - at - 1 > longest)
            result = IMGCORE_PUSH_LONG;
        files[i] = (imgcore_file){
            .size = tree->sizes[row],
            .dev = tree->devs[row],
            .ino = tree->inos[row],
            .mtime_ns = tree->mtimes[row],
            .ctime_ns = tree->ctimes[row],
            .blocks = tree->blocks[row],
            .path_at = at,
        };
    }
    if (!result && imgcore_push(run, files, count, arena.bytes, arena.size))
        result = IMGCORE_PUSH_MEMORY;
    free(arena.bytes);
    free(files);
    return result;
}
