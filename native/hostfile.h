/* hostfile.h: reading files of the host that have to be what they were when the tree was scanned. */
#ifndef IMGCORE_HOSTFILE_H
#define IMGCORE_HOSTFILE_H

#include "imgcore.h"

/* What went wrong: `code` is an enum imgcore_error, `system_error` an errno or 0. */
typedef struct failure {
    uint32_t code;
    int32_t system_error;
} failure;

/* Open the regular file at `path` and compare it with `expected`; on success `*fd` is the caller's to close. */
failure hostfile_open(const char *path, const imgcore_file *expected, int *fd);

/* Compare the open file with what it was. */
failure hostfile_check(int fd, const imgcore_file *expected);

/* Read exactly `size` bytes at `at`. */
failure hostfile_read(int fd, uint64_t at, size_t size, uint8_t *out);

/* Open, compare, read, compare again and close. */
failure hostfile_read_once(const char *path, const imgcore_file *expected, uint64_t at, size_t size, uint8_t *out);

/* Set the first hole that ends after `at`, [size, size) when there is none. */
void hostfile_next_hole(int fd, uint64_t size, uint64_t at, uint64_t *start, uint64_t *end);

#endif
