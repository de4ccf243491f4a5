/* test_hostfile.c: a file is read, or it is told in which way it is not what it was. */
#define _GNU_SOURCE

#include "check.h"
#include "hostfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/imgcore-test-XXXXXX";

static imgcore_file identity(void)
{
    struct stat found;

    CHECK(stat(path, &found) == 0);
    return (imgcore_file){
        .size = (uint64_t)found.st_size,
        .dev = (uint64_t)found.st_dev,
        .ino = (uint64_t)found.st_ino,
        .mtime_ns = (int64_t)found.st_mtim.tv_sec * 1000000000 + found.st_mtim.tv_nsec,
        .ctime_ns = (int64_t)found.st_ctim.tv_sec * 1000000000 + found.st_ctim.tv_nsec,
        .blocks = found.st_blocks,
    };
}

static void write_file(const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

static void reads_what_is_there(void)
{
    imgcore_file is;
    uint8_t out[5];

    write_file("hello world");
    is = identity();
    CHECK(hostfile_read_once(path, &is, 6, 5, out).code == IMGCORE_OK);
    CHECK(memcmp(out, "world", 5) == 0);
    CHECK(hostfile_read_once(path, &is, 8, 5, out).code == IMGCORE_SHRANK);
}

static void sees_every_change(void)
{
    imgcore_file is, other;
    uint8_t out[1];

    write_file("abc");
    is = other = identity();
    other.mtime_ns++;
    CHECK(hostfile_read_once(path, &other, 0, 1, out).code == IMGCORE_CHANGED);
    other = is;
    other.ctime_ns--;
    CHECK(hostfile_read_once(path, &other, 0, 1, out).code == IMGCORE_CHANGED);
    other = is;
    other.size++;
    CHECK(hostfile_read_once(path, &other, 0, 1, out).code == IMGCORE_CHANGED);
    other = is;
    other.ino++;
    CHECK(hostfile_read_once(path, &other, 0, 1, out).code == IMGCORE_REPLACED);
    other = is;
    other.dev++;
    CHECK(hostfile_read_once(path, &other, 0, 1, out).code == IMGCORE_REPLACED);
}

static void sees_what_is_not_a_file(void)
{
    imgcore_file is;
    uint8_t out[1];
    failure problem;

    write_file("abc");
    is = identity();
    CHECK(unlink(path) == 0);
    problem = hostfile_read_once(path, &is, 0, 1, out);
    CHECK(problem.code == IMGCORE_VANISHED && problem.system_error == ENOENT);
    CHECK(mkfifo(path, 0600) == 0); /* opening it must not wait for a writer */
    CHECK(hostfile_read_once(path, &is, 0, 1, out).code == IMGCORE_REPLACED);
    CHECK(unlink(path) == 0 && symlink("/etc/passwd", path) == 0);
    CHECK(hostfile_read_once(path, &is, 0, 1, out).code == IMGCORE_REPLACED);
    CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
    CHECK(hostfile_read_once(path, &is, 0, 1, out).code == IMGCORE_REPLACED);
    CHECK(rmdir(path) == 0);
    CHECK(hostfile_read_once("/dev/null/x", &is, 0, 1, out).code == IMGCORE_REPLACED);
}

static void finds_holes(void)
{
    enum { SIZE = 1 << 20 };
    uint64_t start, end, at = 0, holes = 0;
    uint8_t byte;
    int fd;

    write_file("data");
    CHECK(truncate(path, SIZE) == 0);
    fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    for (; at < SIZE; at = end) {
        hostfile_next_hole(fd, SIZE, at, &start, &end);
        CHECK(start <= end && end <= SIZE && (end > at || start == SIZE));
        if (start == SIZE)
            break;
        for (uint64_t i = start; i < end; i += 997)
            CHECK(pread(fd, &byte, 1, (off_t)i) == 1 && byte == 0);
        holes += end - start;
    }
    CHECK(holes < SIZE); /* and not 0 where the file system knows holes */
    hostfile_next_hole(fd, SIZE, SIZE, &start, &end);
    CHECK(start == SIZE && end == SIZE);
    close(fd);
}

int main(void)
{
    void (*tests[])(void) = {reads_what_is_there, sees_every_change, sees_what_is_not_a_file, finds_holes};
    int fd = mkstemp(path);

    CHECK(fd >= 0);
    close(fd);
    RUN(tests);
    unlink(path);
    return 0;
}
