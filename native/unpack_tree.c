/*
 * unpack_tree.c: the directories of a tree, by the caller's thread, and the symbolic links in them.
 *
 * As imgcore/hosts/beneath.py: the descriptors from the root down to the directory that is worked on are kept, but of the
 * ones far above only the root's; such a one is reached again through `..`, and has to be the directory that it was.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include "unpack_run.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const trouble none = {IMGCORE_UNPACK_OK, 0, 0};

static trouble fail(uint32_t code, int system_error)
{
    return (trouble){code, system_error, 0};
}

static const char *name_of(const imgcore_unpack_spec *spec, uint64_t row)
{
    return spec->names + spec->name_at[row];
}

/* Put a directory on the way; its descriptor is taken over in any case. */
static trouble push(imgcore_unpack *run, uint64_t index, int fd)
{
    directory *dir = malloc(sizeof *dir);

    if (run->level_count == run->level_room) {
        size_t room = run->level_room ? 2 * run->level_room : 64;
        level *levels = realloc(run->levels, room * sizeof *levels);

        if (levels) {
            run->levels = levels;
            run->level_room = room;
        }
    }
    if (!dir || run->level_count == run->level_room) {
        free(dir);
        close(fd);
        return fail(IMGCORE_UNPACK_MEMORY, 0);
    }
    dir->fd = fd;
    atomic_init(&dir->users, 1);
    atomic_fetch_add(&run->dirs, 1);
    run->levels[run->level_count++] = (level){index, dir};
    if (run->level_count > OPEN_LEVELS + 1) {
        level *surplus = &run->levels[run->level_count - OPEN_LEVELS - 1];

        if (surplus->dir)
            unpack_leave(run, surplus->dir);
        surplus->dir = NULL;
    }
    return none;
}

/* Whether an open directory is number `index`. */
static bool is_same(const imgcore_unpack_spec *spec, uint64_t index, int fd)
{
    struct stat found;

    return fstat(fd, &found) == 0 && (uint64_t)found.st_dev == spec->devs[index] && (uint64_t)found.st_ino == spec->inos[index];
}

static trouble open_below(int parent, const char *name, int *fd)
{
    do
        *fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    while (*fd < 0 && errno == EINTR);
    if (*fd >= 0)
        return none;
    return fail(errno == ENOTDIR || errno == ELOOP ? IMGCORE_UNPACK_NOT_DIR : IMGCORE_UNPACK_OPEN_DIR, errno);
}

static level *current(imgcore_unpack *run)
{
    return &run->levels[run->level_count - 1];
}

/* Go up to the parent. */
static trouble go_up(imgcore_unpack *run)
{
    level *child = current(run), *parent = child - 1;

    if (!parent->dir) {
        int fd;
        bool same;
        directory *dir;
        trouble problem = open_below(child->dir->fd, "..", &fd);

        if (problem.code)
            return fail(IMGCORE_UNPACK_OPEN_DIR, problem.system_error);
        same = is_same(&run->spec, parent->index, fd);
        dir = same ? malloc(sizeof *dir) : NULL;
        if (!dir) {
            close(fd);
            return fail(same ? IMGCORE_UNPACK_MEMORY : IMGCORE_UNPACK_REPLACED, 0);
        }
        dir->fd = fd;
        atomic_init(&dir->users, 1);
        atomic_fetch_add(&run->dirs, 1);
        parent->dir = dir;
    }
    unpack_leave(run, child->dir);
    run->level_count--;
    return none;
}

/* Go to a directory that was made before; `*row` is the one that a trouble is about. */
static trouble go_to(imgcore_unpack *run, uint64_t index, uint64_t *row)
{
    const imgcore_unpack_spec *spec = &run->spec;

    for (;;) {
        /* The next step down from the current directory towards `index`, if that is below it. */
        uint64_t step = index, here = current(run)->index;
        trouble problem;
        int fd;

        *row = spec->dirs[here];
        if (here == index)
            return none;
        while (step && run->numbers[spec->parents[spec->dirs[step]]] > here)
            step = run->numbers[spec->parents[spec->dirs[step]]];
        if (!step || run->numbers[spec->parents[spec->dirs[step]]] != here) {
            problem = go_up(run);
            if (problem.code)
                return problem;
            continue;
        }
        *row = spec->dirs[step];
        problem = open_below(current(run)->dir->fd, name_of(spec, *row), &fd);
        if (problem.code)
            return problem;
        if (!is_same(spec, step, fd)) {
            close(fd);
            return fail(IMGCORE_UNPACK_REPLACED, 0);
        }
        problem = push(run, step, fd);
        if (problem.code)
            return problem;
    }
}

/* Note which directory number `index` is, and put it on the way. */
static trouble enter(imgcore_unpack *run, uint64_t index, int fd, uint8_t made)
{
    imgcore_unpack_spec *spec = &run->spec;
    struct stat found;

    if (fstat(fd, &found) != 0) {
        int error = errno;

        close(fd);
        return fail(IMGCORE_UNPACK_OPEN_DIR, error);
    }
    spec->devs[index] = (uint64_t)found.st_dev;
    spec->inos[index] = (uint64_t)found.st_ino;
    spec->made[index] = made;
    return push(run, index, fd);
}

static trouble make_directory(imgcore_unpack *run, uint64_t index, uint64_t *row)
{
    const imgcore_unpack_spec *spec = &run->spec;
    const char *name = name_of(spec, spec->dirs[index]);
    uint8_t made = IMGCORE_MADE;
    trouble problem;
    int fd;

    problem = go_to(run, run->numbers[spec->parents[spec->dirs[index]]], row);
    if (problem.code)
        return problem;
    *row = spec->dirs[index];
    if (!is_name(name))
        return fail(IMGCORE_UNPACK_MAKE_DIR, EINVAL);
    if (mkdirat(current(run)->dir->fd, name, 0700) != 0) {
        if (errno != EEXIST)
            return fail(IMGCORE_UNPACK_MAKE_DIR, errno);
        made = spec->replace ? IMGCORE_MADE : IMGCORE_WAS_THERE; /* used if it is a directory, and no link to one */
    }
    problem = open_below(current(run)->dir->fd, name, &fd);
    return problem.code ? problem : enter(run, index, fd, made);
}

static trouble make_link(imgcore_unpack *run, uint64_t row)
{
    const imgcore_unpack_spec *spec = &run->spec;
    const char *name = name_of(spec, row), *target = spec->targets + spec->target_at[row];
    struct timespec time = file_time(spec->mtimes_ns[row]), times[2] = {time, time};
    int dir = current(run)->dir->fd;
    bool removed = false;

    if (!is_name(name))
        return fail(IMGCORE_UNPACK_MAKE, EINVAL);
    while (symlinkat(target, dir, name) != 0) {
        if (errno != EEXIST)
            return fail(IMGCORE_UNPACK_MAKE, errno);
        if (!spec->replace || removed)
            return fail(IMGCORE_UNPACK_EXISTS, EEXIST);
        if (unlinkat(dir, name, 0) != 0)
            return fail(IMGCORE_UNPACK_MAKE, errno);
        removed = true;
    }
    if ((spec->keep_owner && fchownat(dir, name, spec->uids[row], spec->gids[row], AT_SYMLINK_NOFOLLOW) != 0) ||
        utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) != 0)
        return fail(IMGCORE_UNPACK_ATTRIBUTES, errno);
    return none;
}

trouble tree_make_next(imgcore_unpack *run, uint64_t *row)
{
    const imgcore_unpack_spec *spec = &run->spec;
    uint64_t index = run->next_dir, first = spec->starts[index], end = spec->starts[index + 1], links = 0;
    trouble problem;

    *row = spec->dirs[index];
    if (index) {
        problem = make_directory(run, index, row);
    } else {
        int fd = fcntl(spec->root_fd, F_DUPFD_CLOEXEC, 0);

        problem = fd < 0 ? fail(IMGCORE_UNPACK_OPEN_DIR, errno) : enter(run, 0, fd, IMGCORE_MADE);
    }
    if (!problem.code && !unpack_add(run, current(run)->dir, first, end))
        problem = fail(IMGCORE_UNPACK_MEMORY, 0);
    for (uint64_t child = first; child < end && !problem.code; child++) {
        if (spec->kinds[child] != IMGCORE_MAKE_LINK)
            continue;
        *row = child;
        problem = make_link(run, child);
        links++;
    }
    run->next_dir++;
    if (links) {
        pthread_mutex_lock(&run->mutex);
        run->state.links += links;
        pthread_mutex_unlock(&run->mutex);
    }
    return problem;
}

trouble tree_finish_next(imgcore_unpack *run, bool root, uint64_t *row)
{
    const imgcore_unpack_spec *spec = &run->spec;
    uint64_t index = --run->dirs_left;
    trouble problem;

    *row = spec->dirs[index];
    if (spec->made[index] != IMGCORE_MADE || (!index && !root))
        return none;
    problem = go_to(run, index, row);
    return problem.code ? problem : file_attributes(run, *row, current(run)->dir->fd);
}

void tree_close(imgcore_unpack *run)
{
    for (size_t i = 0; i < run->level_count; i++)
        if (run->levels[i].dir)
            unpack_leave(run, run->levels[i].dir);
    run->level_count = 0;
}
