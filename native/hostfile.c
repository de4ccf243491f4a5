/*
 * hostfile.c: see hostfile.h.
 *
 * A file is compared before and after it is read. O_NOFOLLOW and O_NONBLOCK make a path that became a link or a FIFO an
 * answer instead of a trap.
 */
#define _GNU_SOURCE /* SEEK_DATA, SEEK_HOLE */
#define _FILE_OFFSET_BITS 64

#include "hostfile.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NANOSECONDS = 1000000000 };

static const failure none = {IMGCORE_OK, 0};

static failure fail(uint32_t code, int system_error)
{
    return (failure){code, system_error};
}

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * NANOSECONDS + time.tv_nsec;
}

failure hostfile_check(int fd, const imgcore_file *expected)
{
    struct stat found;

    if (fstat(fd, &found) != 0)
        return fail(IMGCORE_UNREADABLE, errno);
    if (!S_ISREG(found.st_mode) || (uint64_t)found.st_dev != expected->dev || (uint64_t)found.st_ino != expected->ino)
        return fail(IMGCORE_REPLACED, 0);
    if ((uint64_t)found.st_size != expected->size || nanoseconds(found.st_mtim) != expected->mtime_ns ||
        nanoseconds(found.st_ctim) != expected->ctime_ns)
        return fail(IMGCORE_CHANGED, 0);
    return none;
}

failure hostfile_open(const char *path, const imgcore_file *expected, int *fd)
{
    failure problem;

    do
        *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    while (*fd < 0 && errno == EINTR);
    if (*fd < 0) {
        if (errno == ENOENT)
            return fail(IMGCORE_VANISHED, errno);
        if (errno == ELOOP || errno == ENXIO || errno == ENOTDIR)
            return fail(IMGCORE_REPLACED, errno);
        return fail(IMGCORE_UNREADABLE, errno);
    }
    problem = hostfile_check(*fd, expected);
    if (problem.code) {
        close(*fd);
        *fd = -1;
    }
    return problem;
}

failure hostfile_read(int fd, uint64_t at, size_t size, uint8_t *out)
{
    while (size) {
        ssize_t got = pread(fd, out, size, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(IMGCORE_UNREADABLE, errno);
        if (got == 0)
            return fail(IMGCORE_SHRANK, 0);
        assert((size_t)got <= size);
        out += got;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
    return none;
}

failure hostfile_read_once(const char *path, const imgcore_file *expected, uint64_t at, size_t size, uint8_t *out)
{
    int fd;
    failure problem = hostfile_open(path, expected, &fd);

    if (problem.code)
        return problem;
    problem = hostfile_read(fd, at, size, out);
    if (!problem.code)
        problem = hostfile_check(fd, expected);
    close(fd);
    return problem;
}

void hostfile_next_hole(int fd, uint64_t size, uint64_t at, uint64_t *start, uint64_t *end)
{
    off_t hole = lseek(fd, (off_t)at, SEEK_HOLE), data;

    *start = *end = size;
    if (hole < 0 || (uint64_t)hole >= size)
        return; /* an error too: reading will tell, and zeros are found anyway */
    data = lseek(fd, hole, SEEK_DATA);
    if (data >= 0 && data <= hole)
        return;
    if (data < 0 && errno != ENXIO)
        return;
    *start = (uint64_t)hole;
    if (data >= 0 && (uint64_t)data < size)
        *end = (uint64_t)data;
}
