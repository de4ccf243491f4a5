/* unpack_file.c: one file of an image: made, written, given its attributes, or removed again. */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include "unpack_run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NANOSECONDS = 1000000000, MOST_AT_ONCE = 1 << 30 };

static const trouble none = {IMGCORE_UNPACK_OK, 0, 0};

static trouble fail(uint32_t code, int system_error)
{
    return (trouble){code, system_error, 0};
}

uint64_t file_blocks(const imgcore_unpack_spec *spec, uint64_t row)
{
    uint64_t size = spec->sizes[row], whole = size / spec->block_size;

    return spec->fragments[row] == IMGCORE_NO_FRAGMENT && size % spec->block_size ? whole + 1 : whole;
}

bool is_name(const char *name)
{
    return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/');
}

trouble file_make(const imgcore_unpack_spec *spec, const item *item, int *fd)
{
    const char *name = spec->names + spec->name_at[item->row];
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    bool removed = false;

    *fd = -1;
    if (!is_name(name))
        return fail(IMGCORE_UNPACK_MAKE, EINVAL);
    for (;;) {
        *fd = openat(item->dir->fd, name, flags, 0600);
        if (*fd >= 0)
            return none;
        if (errno == EINTR)
            continue;
        if (errno != EEXIST)
            return fail(IMGCORE_UNPACK_MAKE, errno);
        if (!spec->replace || removed)
            return fail(IMGCORE_UNPACK_EXISTS, EEXIST);
        if (unlinkat(item->dir->fd, name, 0) != 0)
            return fail(IMGCORE_UNPACK_MAKE, errno);
        removed = true;
    }
}

void file_discard(const imgcore_unpack_spec *spec, const item *item, int fd)
{
    const char *name = spec->names + spec->name_at[item->row];
    struct stat made, found;

    /* Somebody may have put another file in its place: that one is not ours. */
    if (fstat(fd, &made) == 0 && fstatat(item->dir->fd, name, &found, AT_SYMLINK_NOFOLLOW) == 0 &&
        made.st_dev == found.st_dev && made.st_ino == found.st_ino)
        unlinkat(item->dir->fd, name, 0);
    close(fd);
}

static trouble read_image(const imgcore_unpack_spec *spec, uint64_t position, size_t size, uint8_t *out)
{
    uint64_t at = spec->image_start + position;

    while (size) {
        ssize_t got = pread(spec->image_fd, out, size, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail(IMGCORE_UNPACK_READ, got < 0 ? errno : 0);
        out += got;
        at += (uint64_t)got;
        size -= (size_t)got;
    }
    return none;
}

/* Read and decode one block into `out`, which has block_size bytes. */
static trouble read_block(unpack_worker *w, uint64_t position, uint32_t word, uint8_t *out, size_t *size)
{
    const imgcore_unpack_spec *spec = &w->run->spec;
    uint32_t length = word & (IMGCORE_WORD_RAW - 1);
    trouble problem;
    int64_t got;

    if (word >> 25 || !length || length > spec->block_size || position > spec->image_size ||
        length > spec->image_size - position)
        return fail(IMGCORE_UNPACK_CORRUPT, 0);
    problem = read_image(spec, position, length, word & IMGCORE_WORD_RAW ? out : w->stored);
    if (problem.code || word & IMGCORE_WORD_RAW) {
        *size = length;
        return problem;
    }
    got = decode_run(&w->decoder, w->stored, length, out, spec->block_size);
    if (got < 0)
        return fail(got == DECODE_NO_MEMORY ? IMGCORE_UNPACK_MEMORY : IMGCORE_UNPACK_CORRUPT, 0);
    *size = (size_t)got;
    return none;
}

static trouble write_all(unpack_worker *w, int fd, const uint8_t *data, size_t size, uint64_t at)
{
    while (size) {
        ssize_t put = pwrite(fd, data, size < MOST_AT_ONCE ? size : MOST_AT_ONCE, (off_t)at);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return fail(IMGCORE_UNPACK_WRITE, put < 0 ? errno : EIO);
        w->written += (uint64_t)put;
        data += put;
        at += (uint64_t)put;
        size -= (size_t)put;
    }
    return none;
}

trouble file_blocks_write(unpack_worker *w, uint64_t row, int fd, uint64_t first, uint64_t count, uint64_t position)
{
    const imgcore_unpack_spec *spec = &w->run->spec;
    const uint32_t *words = spec->words + spec->words_at[row];

    for (uint64_t block = first; block < first + count; block++) {
        uint64_t at = block * spec->block_size, left = spec->sizes[row] - at;
        size_t size, expected = left < spec->block_size ? (size_t)left : spec->block_size;
        trouble problem;

        if (atomic_load_explicit(&w->run->stop, memory_order_relaxed))
            return fail(UNPACK_STOPPED, 0);
        if (!words[block])
            continue; /* a hole */
        problem = read_block(w, position, words[block], w->raw, &size);
        if (!problem.code && size != expected)
            problem.code = IMGCORE_UNPACK_CORRUPT;
        if (!problem.code)
            problem = write_all(w, fd, w->raw, size, at);
        if (problem.code)
            return problem;
        position += words[block] & (IMGCORE_WORD_RAW - 1);
    }
    return none;
}

/* Return fragment `number`, decoded; the one that was not used for longest makes room for it. */
static trouble get_fragment(unpack_worker *w, uint32_t number, const kept_fragment **found)
{
    const imgcore_unpack_spec *spec = &w->run->spec;
    kept_fragment *oldest = &w->kept[0];
    trouble problem;

    for (kept_fragment *kept = w->kept; kept < w->kept + KEPT_FRAGMENTS; kept++) {
        if (kept->used && kept->number == number) {
            kept->used = ++w->clock;
            *found = kept;
            return none;
        }
        if (kept->used < oldest->used)
            oldest = kept;
    }
    if (number >= spec->fragment_count)
        return fail(IMGCORE_UNPACK_CORRUPT, 0);
    if (!oldest->data && !(oldest->data = malloc(spec->block_size)))
        return fail(IMGCORE_UNPACK_MEMORY, 0);
    oldest->used = 0;
    problem = read_block(w, spec->fragment_positions[number], spec->fragment_words[number], oldest->data, &oldest->size);
    if (problem.code)
        return problem;
    oldest->number = number;
    oldest->used = ++w->clock;
    *found = oldest;
    return none;
}

static trouble write_tail(unpack_worker *w, uint64_t row, int fd)
{
    const imgcore_unpack_spec *spec = &w->run->spec;
    uint64_t size = spec->sizes[row], tail = size % spec->block_size;
    const kept_fragment *fragment;
    trouble problem;

    if (!tail)
        return fail(IMGCORE_UNPACK_CORRUPT, 0); /* a fragment, and nothing that could be in it */
    problem = get_fragment(w, spec->fragments[row], &fragment);
    if (problem.code)
        return problem;
    if (spec->offsets[row] > fragment->size || tail > fragment->size - spec->offsets[row])
        return fail(IMGCORE_UNPACK_CORRUPT, 0);
    return write_all(w, fd, fragment->data + spec->offsets[row], (size_t)tail, size - tail);
}

static trouble set_xattrs(imgcore_unpack *run, uint64_t row, int fd)
{
    const imgcore_unpack_spec *spec = &run->spec;
    uint32_t set = spec->xattrs ? spec->xattrs[row] : IMGCORE_NO_XATTRS;

    if (set == IMGCORE_NO_XATTRS)
        return none;
    for (uint64_t i = spec->set_at[set]; i < spec->set_at[set + 1]; i++) {
        const char *name = spec->xattr_bytes + spec->xattr_name_at[i], *value = spec->xattr_bytes + spec->xattr_value_at[i];

        if (fsetxattr(fd, name, value, (size_t)spec->xattr_value_size[i], 0) == 0)
            continue;
        if (spec->xattr_may_fail[i] && (errno == EPERM || errno == EACCES || errno == ENOTSUP || errno == EINVAL)) {
            if (!unpack_note_unset(run, row, i, errno))
                return fail(IMGCORE_UNPACK_MEMORY, 0);
            continue;
        }
        return (trouble){IMGCORE_UNPACK_XATTR, errno, i};
    }
    return none;
}

struct timespec file_time(int64_t ns)
{
    int64_t seconds = ns / NANOSECONDS, rest = ns % NANOSECONDS;

    return (struct timespec){.tv_sec = (time_t)(rest < 0 ? seconds - 1 : seconds),
                             .tv_nsec = (long)(rest < 0 ? rest + NANOSECONDS : rest)};
}

trouble file_attributes(imgcore_unpack *run, uint64_t row, int fd)
{
    const imgcore_unpack_spec *spec = &run->spec;
    struct timespec time = file_time(spec->mtimes_ns[row]), times[2] = {time, time};
    trouble problem;

    /* The order of imgcore/hosts/attributes.py: each step would undo what comes behind it. */
    if (spec->keep_owner && fchown(fd, spec->uids[row], spec->gids[row]) != 0)
        return fail(IMGCORE_UNPACK_ATTRIBUTES, errno);
    problem = set_xattrs(run, row, fd);
    if (problem.code)
        return problem;
    if (fchmod(fd, spec->modes[row]) != 0 || futimens(fd, times) != 0)
        return fail(IMGCORE_UNPACK_ATTRIBUTES, errno);
    return none;
}

trouble file_finish(unpack_worker *w, uint64_t row, int fd)
{
    const imgcore_unpack_spec *spec = &w->run->spec;
    uint64_t size = spec->sizes[row], blocks = file_blocks(spec, row);
    trouble problem = none;

    if (size && spec->fragments[row] != IMGCORE_NO_FRAGMENT)
        problem = write_tail(w, row, fd);
    else if (blocks && !spec->words[spec->words_at[row] + blocks - 1] && ftruncate(fd, (off_t)size) != 0)
        problem = fail(IMGCORE_UNPACK_WRITE, errno); /* it ends with a hole */
    return problem.code ? problem : file_attributes(w->run, row, fd);
}
