/*
 * unpack.h: regular files of an image into directories of the host, by threads.
 *
 *     run = imgcore_unpack_open(&spec);                   starts spec.jobs threads
 *     imgcore_unpack_files(run, dir_fd, first, end);      hands over the files of one directory, any number of times
 *     imgcore_unpack_wait(run, left, dirs, ..., &state)       until state.left is 0, or state.error
 *     imgcore_unpack_close(run);                          stops and joins all threads, at any time
 *
 * A file is a row of the columns in `spec`, which has to outlive the run, with all that it points to. It is made new
 * (O_EXCL, O_NOFOLLOW, mode 0600) in the directory that `dir_fd` is, by its name, which no system call takes apart: one
 * with a slash in it is refused. Its blocks are read, decompressed and written, holes are left out, then it is given its
 * owner, extended attributes, mode and time, through its descriptor. A file that fails, or that a stop interrupts, is
 * removed again, if it is still the one that was made: so every file that is left is whole.
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

/*
 * `name_at` is where a row's NUL-terminated name begins in `names`; `wanted` is not 0 for the files to be made. The blocks
 * of a file lie one behind the other from `position`, and their size words are `words[words_at[row]]` and on; the rest of
 * it, if `fragment` is one, begins at `offset` in that. `modes` are those to be set (twelve bits).
 *
 * Set `xattrs[row]` of extended attributes is made of the attributes `set_at[set]` to `set_at[set + 1]`; each has a
 * NUL-terminated name and a value in `xattr_bytes`. One that `xattr_may_fail` says may be refused by the system.
 */
typedef struct imgcore_unpack_spec {
    int32_t image_fd;
    uint32_t jobs;
    uint32_t block_size;
    uint32_t keep_owner;
    uint32_t replace; /* remove what has the name already */
    uint32_t unused;
    uint64_t image_start; /* in the file that image_fd is */
    uint64_t image_size;
    imgcore_decoder decoder;
    uint64_t rows;
    const char *names;
    const uint64_t *name_at;
    const uint8_t *wanted;
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
    IMGCORE_UNPACK_MEMORY = 8
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
    uint64_t last;
    uint64_t left; /* files that are not done yet */
    uint64_t dirs; /* descriptors of directories that are open */
    uint64_t row;  /* that `error` is about */
    uint64_t xattr;
    uint32_t error;
    int32_t system_error;
    uint64_t unset; /* how many were stored in `unset` */
} imgcore_unpack_state;

typedef struct imgcore_unpack imgcore_unpack;

/* Start a run; NULL when memory or threads are lacking. */
imgcore_unpack *imgcore_unpack_open(const imgcore_unpack_spec *spec);

/*
 * Hand over the files among the rows from `first` to `end`, which lie in one directory; `dir_fd` is the run's from now
 * on, whatever comes back. Returns 0, or -1 when memory is lacking.
 */
int imgcore_unpack_files(imgcore_unpack *run, int32_t dir_fd, uint64_t first, uint64_t end);

/*
 * Wait for up to 100 ms, until at most `left` files are not done and at most `dirs` of the descriptors are open, or there
 * is an error; say how it stands. The attributes that were refused since the last call are stored in `unset`, at most
 * `most` of them.
 */
void imgcore_unpack_wait(imgcore_unpack *run, uint64_t left, uint64_t dirs, imgcore_unset *unset, uint64_t most,
                         imgcore_unpack_state *state);

/* End all threads, at the latest after the block that each works on, and free everything; NULL is fine. */
void imgcore_unpack_close(imgcore_unpack *run);

#endif
