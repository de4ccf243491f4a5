/*
 * scan.h: everything below a directory of the host, as columns.
 *
 *     scan = imgcore_scan_open(top, ...);          starts threads
 *     imgcore_scan_wait(scan, &found) until found.done or found.error
 *     the columns of `found` are read; they last until
 *     imgcore_scan_close(scan);                    stops and joins all threads, at any time
 *
 * One row for each name, in this order: row 0 is the top itself; the rows of one directory follow one another, sorted by
 * the bytes of their names; directories come in the order of a walk that descends into each as it meets it. `dirs` lists
 * the rows of directories in that order, `children` how many rows each has.
 */
#ifndef IMGCORE_SCAN_H
#define IMGCORE_SCAN_H

#include <stddef.h>
#include <stdint.h>

/* A name to be left out: that of an entry of the directory with this device and inode. */
typedef struct imgcore_skip {
    uint64_t dev;
    uint64_t ino;
    const char *name;
} imgcore_skip;

enum imgcore_scan_error {
    IMGCORE_SCAN_OK = 0,
    IMGCORE_SCAN_DIRECTORY = 1, /* a directory cannot be opened or read; see system_error */
    IMGCORE_SCAN_REPLACED = 2,  /* a directory is not the one that was listed */
    IMGCORE_SCAN_STATUS = 3,
    IMGCORE_SCAN_TARGET = 4, /* of a symbolic link */
    IMGCORE_SCAN_XATTRS = 5,
    IMGCORE_SCAN_LONG = 6, /* a path that one system call does not take */
    IMGCORE_SCAN_MEMORY = 7
};

/*
 * What was found. Every column has `rows` elements, but `dirs` and `children`, which have `dir_count`. `names` and
 * `targets` (of symbolic links, in the order of rows) are NUL-terminated, one behind the other. `has_xattrs` says that
 * there are extended attributes. `path` is what `error` is about.
 */
typedef struct imgcore_scanned {
    uint32_t done;
    uint32_t error;
    int32_t system_error;
    uint32_t any_xattrs;
    const char *path;
    uint64_t rows;
    uint64_t dir_count;
    uint64_t names_size;
    uint64_t targets_size;
    const char *names;
    const char *targets;
    const uint32_t *dirs;
    const uint32_t *children;
    const uint32_t *mode;
    const uint32_t *nlink;
    const uint32_t *uid;
    const uint32_t *gid;
    const uint64_t *size;
    const uint64_t *dev;
    const uint64_t *ino;
    const uint64_t *rdev;
    const int64_t *blocks;
    const int64_t *mtime_ns;
    const int64_t *ctime_ns;
    const uint8_t *has_xattrs;
} imgcore_scanned;

typedef struct imgcore_scan imgcore_scan;

/*
 * Start to read the directory `top`, which may be a symbolic link to one; NULL when memory or threads are lacking. With
 * `xattrs`, every entry is asked whether it has extended attributes.
 */
imgcore_scan *imgcore_scan_open(const char *top, uint32_t jobs, uint32_t xattrs, const imgcore_skip *skip, size_t skip_count);

/* Wait for up to 100 ms and say how it stands; the columns are there once it is done. After an error they never are. */
void imgcore_scan_wait(imgcore_scan *scan, imgcore_scanned *found);

/* End all threads, at the latest after some entries of the directory that each is in, and free everything; NULL is fine. */
void imgcore_scan_close(imgcore_scan *scan);

#endif
