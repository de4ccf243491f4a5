/*
 * rows.h: inodes and listings of squashfs as bytes, for many rows of a tree at once.
 *
 * These are the common cases of imgcore/formats/squashfs/inodes.py and dirs.py, which say what the bytes mean: inodes of
 * files, of directories without an index, and every listing. The others are left to the caller, who gets the rows before
 * such a one and goes on behind it. Nothing here allocates or keeps a pointer.
 */
#ifndef IMGCORE_ROWS_H
#define IMGCORE_ROWS_H

#include <stddef.h>
#include <stdint.h>

enum {
    IMGCORE_ROW_DIR = 1, /* basic types of inodes; that of the extended form is 7 more */
    IMGCORE_ROW_FILE = 2,
    IMGCORE_METADATA = 8192, /* bytes in a metadata block */
    IMGCORE_INODE = 56       /* the most that an inode takes here, beside its words */
};

/*
 * A tree as columns, one element a row. `names` are NUL-terminated, one behind the other, and `name_ats` (one more than
 * there are rows) says where each begins. `mtimes` are nanoseconds, whose seconds fit 32 bits. `owners` has the place in
 * the id table of each user and group, sorted by `id`. `positions` says where an inode begins in the stream of inodes;
 * whoever encodes one sets it.
 */
typedef struct imgcore_owner {
    uint32_t id;
    uint32_t place;
} imgcore_owner;

typedef struct imgcore_rows {
    uint64_t count;
    const char *names;
    const uint64_t *name_ats;
    const uint32_t *modes;
    const uint32_t *uids;
    const uint32_t *gids;
    const int64_t *mtimes;
    const uint64_t *sizes;
    const uint32_t *numbers;
    const uint8_t *types;
    const uint32_t *nlinks; /* NULL when each is 1; not for directories */
    const uint32_t *xattrs; /* ids, UINT32_MAX for none; NULL when none has any */
    int64_t *positions;
    const imgcore_owner *owners;
    uint64_t owner_count;
} imgcore_rows;

/* Where the contents of files are, one element a file: as `Placed` in imgcore/formats/squashfs/data.py. */
typedef struct imgcore_placed {
    const uint64_t *starts;
    const uint32_t *fragments;
    const uint32_t *offsets;
    const uint64_t *sparses;
    const uint32_t *counts;
    const uint64_t *word_ends; /* where the words of a file begin; NULL when no file has any */
    const uint32_t *words;
} imgcore_placed;

/* Where names begin in `names`, `count` of them and the end; returns 0, or -1 when there are not as many. */
int imgcore_name_ats(const char *names, size_t size, size_t count, uint64_t *out);

/*
 * Encode the inodes of the first rows of `which`, as long as they are files and there is `room` in `out`.
 * `files` says which content each has; when it is NULL, the first file's is number `first` and the others follow. The
 * first inode begins at `at` of the stream. Returns how many are done, and in `size` the bytes that they take.
 */
size_t imgcore_file_inodes(const imgcore_rows *rows, const imgcore_placed *placed, const uint32_t *which, const uint32_t *files,
                           uint64_t first, size_t count, uint64_t at, uint8_t *out, size_t room, uint64_t *size);

/* What became of one listing: its bytes, and how many of `imgcore_indexed` it has. */
typedef struct imgcore_listed {
    uint64_t size;
    uint64_t indexed;
} imgcore_listed;

/* A header to be named in a directory's index: where it is in its listing, and the row that it begins with. */
typedef struct imgcore_indexed {
    uint64_t at;
    uint64_t row;
} imgcore_indexed;

/*
 * Encode the listings of directories: `dirs` are places in `starts`, which says where the rows of each directory begin,
 * and one place further where they end. `block_starts` has where each block of inodes begins that a row may be in. The
 * first listing begins at `begin` of its stream. `out` has room for 20 bytes and its name for each entry; `indexed` for
 * one element in each IMGCORE_METADATA bytes that `out` has room for, and one. Returns 0, or -1 for a position that is in
 * no known block.
 */
int imgcore_listings(const imgcore_rows *rows, const uint32_t *dirs, size_t count, const uint32_t *starts,
                     const uint64_t *block_starts, size_t block_count, uint64_t begin, uint8_t *out, imgcore_listed *listed,
                     imgcore_indexed *indexed);

/*
 * Encode the inodes of directories, as long as they have no index: `which` are their rows, whose listings follow one another from `begin`; `block_starts` says where the blocks of these begin, `parents` the row that
 * each row is in, `subdirs` how many directories each of `which` has. Returns how many are done, and in `size` the bytes
 * that they take, at most IMGCORE_INODE each.
 */
size_t imgcore_dir_inodes(const imgcore_rows *rows, const uint32_t *which, size_t count, const imgcore_listed *listed,
                          uint64_t begin, const uint64_t *block_starts, size_t block_count, const uint32_t *parents,
                          const uint32_t *subdirs, uint64_t root_parent, uint64_t at, uint8_t *out, uint64_t *size);

#endif
