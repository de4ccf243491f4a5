/*
 * unpack.h: a tree whose contents lie in an image, into a directory of the host, by threads.
 *
 *     run = imgcore_unpack_open(&spec);            starts spec.jobs threads
 *     imgcore_unpack_walk(run, ..., &state)        until state.walked, or state.error
 *     imgcore_unpack_finish(run, ..., &state)      until state.finished, or state.error
 *     imgcore_unpack_close(run);                   stops and joins all threads, at any time
 *
 * The tree is the columns in `spec`, which have to outlive the run, with all that they point to. Walking makes directories,
 * symbolic links and regular files; what is of another kind, or has kind IMGCORE_NOT_MADE, is left to the caller, who makes
 * it between the two. Finishing gives the directories their metadata, what is below first.
 *
 * Nothing outside of `root_fd` is touched: every step is one system call on the descriptor of a directory and one name,
 * which is refused when there is a slash in it, and follows no link. A directory whose descriptor was given up meanwhile
 * is opened again the same way, and has to be the very directory that it was.
 *
 * A file is made new (O_EXCL, O_NOFOLLOW, mode 0600). Its blocks are read, decompressed and written, holes are left out,
 * then it is given its owner, extended attributes, mode and time, through its descriptor. A file that fails, or that a stop
 * interrupts, is removed again, if it is still the one that was made: so every file that is left is whole.
 *
 * All numbers of an image are checked here too: no read outside of the image, no output beyond a block, and every block as
 * long as the file's size wants it. What is wrong with an image is told by its row only: the caller knows how to say it.
 *
 * One thread at a time may call these functions for one run. The child of a fork may call imgcore_unpack_close only,
 * which then does nothing.
 */
#ifndef IMGCORE_UNPACK_H
#define IMGCORE_UNPACK_H

#include "decode.h"

#include <stddef.h>
#include <stdint.h>

/* What `fragment` is for a file without one, and `xattrs` for one without attributes. */
#define IMGCORE_NO_FRAGMENT UINT32_MAX
#define IMGCORE_NO_XATTRS UINT32_MAX

/* Size words, as squashfs has them: the length below bit 24, which says that the block is stored as it is. */
#define IMGCORE_WORD_RAW (UINT32_C(1) << 24)

/* What a row is. */
enum imgcore_unpack_kind {
    IMGCORE_NOT_MADE = 0, /* left to the caller */
    IMGCORE_MAKE_FILE = 1,
    IMGCORE_MAKE_LINK = 2, /* symbolic */
    IMGCORE_MAKE_DIR = 3
};

/* What became of a directory: it was there before, and keeps its metadata; or it gets the tree's. */
enum imgcore_unpack_made { IMGCORE_NOT_YET = 0, IMGCORE_WAS_THERE = 1, IMGCORE_MADE = 2 };

/*
 * Rows are in the order of imgcore/model/table.py: row 0 is the root; `dirs` are the rows of directories in walk order,
 * and `starts` says where the rows in each begin, with one more for the end; `parents` is the row of a row's directory.
 *
 * `name_at` is where a row's NUL-terminated name begins in `names`, and `target_at` the target of a link. The blocks of a
 * file lie one behind the other from `position`, and their size words are `words[words_at[row]]` and on; the rest of it, if
 * `fragment` is one, begins at `offset` in that. `modes` are those to be set (twelve bits).
 *
 * Set `xattrs[row]` of extended attributes is made of the attributes `set_at[set]` to `set_at[set + 1]`; each has a
 * NUL-terminated name and a value in `xattr_bytes`. One that `xattr_may_fail` says may be refused by the system.
 *
 * `made`, `devs` and `inos` are written: what became of each directory, and which one it is, by its place in `dirs`.
 */
typedef struct imgcore_unpack_spec {
    int32_t image_fd;
    int32_t root_fd; /* stays the caller's */
    uint32_t jobs;
    uint32_t block_size;
    uint32_t keep_owner;
    uint32_t replace;   /* remove what has the name already; directories that exist get the tree's metadata */
    uint64_t most_dirs; /* descriptors that may be open at a time, or so */
    uint64_t image_start; /* in the file that image_fd is */
    uint64_t image_size;
    imgcore_decoder decoder;
    uint64_t rows;
    uint64_t dir_count;
    const uint32_t *dirs;
    const uint32_t *starts;
    const uint32_t *parents;
    const uint8_t *kinds;
    const char *names;
    const uint64_t *name_at;
    const char *targets;
    const uint64_t *target_at;
    const uint32_t *modes;
    const uint32_t *uids;
    const uint32_t *gids;
    const int64_t *mtimes_ns;
    const uint64_t *sizes;
    const uint64_t *positions;
    const uint64_t *words_at;
    const uint32_t *words;
    uint64_t word_count;
    const uint32_t *fragments;
    const uint32_t *offsets;
    const uint64_t *fragment_positions;
    const uint32_t *fragment_words;
    uint64_t fragment_count;
    const uint32_t *xattrs; /* NULL: none is set */
    const uint64_t *set_at;
    const uint64_t *xattr_name_at;
    const uint64_t *xattr_value_at;
    const uint64_t *xattr_value_size;
    const uint8_t *xattr_may_fail;
    const char *xattr_bytes;
    uint8_t *made;
    uint64_t *devs;
    uint64_t *inos;
} imgcore_unpack_spec;

enum imgcore_unpack_error {
    IMGCORE_UNPACK_OK = 0,
    IMGCORE_UNPACK_EXISTS = 1,     /* something has the name already */
    IMGCORE_UNPACK_MAKE = 2,       /* the file cannot be made; see system_error, as for the next four */
    IMGCORE_UNPACK_WRITE = 3,      /* it cannot be written */
    IMGCORE_UNPACK_ATTRIBUTES = 4, /* owner, mode or time cannot be set */
    IMGCORE_UNPACK_XATTR = 5,      /* `xattr` cannot be set */
    IMGCORE_UNPACK_READ = 6,       /* the image cannot be read */
    IMGCORE_UNPACK_CORRUPT = 7,    /* the content cannot be what the image says */
    IMGCORE_UNPACK_MEMORY = 8,
    IMGCORE_UNPACK_MAKE_DIR = 9,       /* the directory cannot be made; see system_error */
    IMGCORE_UNPACK_OPEN_DIR = 10,      /* it cannot be opened; see system_error */
    IMGCORE_UNPACK_NOT_DIR = 11,       /* something that is no directory has its name */
    IMGCORE_UNPACK_REPLACED = 12       /* it is not the directory that it was */
};

/* An extended attribute that the system refused. */
typedef struct imgcore_unset {
    uint64_t row;
    uint64_t xattr;
    int64_t system_error;
} imgcore_unset;

/* How it stands. Of several errors, `error` is that of the lowest row. `last` is a row that is done. */
typedef struct imgcore_unpack_state {
    uint64_t files; /* that are whole */
    uint64_t bytes; /* in them, holes included */
    uint64_t written;
    uint64_t links; /* symbolic ones that were made */
    uint64_t last;
    uint64_t left; /* files that were found and are not done yet */
    uint64_t row;  /* that `error` is about */
    uint64_t xattr;
    uint32_t error;
    int32_t system_error;
    uint32_t walked;   /* all directories, links and files are made */
    uint32_t finished; /* all directories have their metadata */
    uint64_t unset;    /* how many were stored in `unset` */
} imgcore_unpack_state;

typedef struct imgcore_unpack imgcore_unpack;

/* Start a run; NULL when memory or threads are lacking. */
imgcore_unpack *imgcore_unpack_open(const imgcore_unpack_spec *spec);

/*
 * Make directories, links and files for up to 100 ms, and say how it stands. The attributes that were refused since the
 * last call are stored in `unset`, at most `most` of them.
 */
void imgcore_unpack_walk(imgcore_unpack *run, imgcore_unset *unset, uint64_t most, imgcore_unpack_state *state);

/* Give directories their metadata for up to 100 ms, the root only with `root`; else as imgcore_unpack_walk. */
void imgcore_unpack_finish(imgcore_unpack *run, uint32_t root, imgcore_unset *unset, uint64_t most,
                           imgcore_unpack_state *state);

/* End all threads, at the latest after the block that each works on, and free everything; NULL is fine. */
void imgcore_unpack_close(imgcore_unpack *run);

#endif
