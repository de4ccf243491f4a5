/*
 * scan.c: see scan.h.
 *
 * Threads take directories off a stack, so that they stay near each other in the tree and few wait. Each directory is
 * opened once and read through its descriptor, and becomes a `dir` with rows of its own, which nobody else writes. When
 * all are read, one walk puts the rows into columns, in an order that does not depend on the threads.
 */
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64

#include "scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_PATH = 4000, WAIT_MS = 100, MOST_THREADS = 8, STOP_EVERY = 1024 };

/* One entry of a directory; `name` and `target` are places in the directory's text. */
typedef struct row {
    uint64_t size, dev, ino, rdev;
    int64_t blocks, mtime_ns, ctime_ns;
    struct dir *below;
    uint32_t mode, nlink, uid, gid;
    uint32_t name;
    uint32_t target; /* of a symbolic link */
    bool has_xattrs;
} row;

typedef struct dir {
    struct dir *next; /* on the stack of those to be read */
    char *path;
    uint64_t dev, ino, begin; /* `begin`: where its rows are among the columns */
    char *text;
    size_t text_size, text_room;
    row *rows;
    size_t count, room;
} dir;

struct imgcore_scan {
    pid_t pid;
    uint32_t xattrs;
    imgcore_skip *skip;
    size_t skip_count;
    char *skip_names;

    pthread_mutex_t mutex;
    pthread_cond_t work;
    pthread_cond_t finished;
    dir *todo;
    size_t unfinished; /* directories on the stack or being read */
    atomic_bool stop;
    pthread_t threads[MOST_THREADS];
    uint32_t thread_count;
    bool joined; /* from then on everything is the caller's thread's */

    dir *top;
    row root;
    uint32_t error;
    int32_t system_error;
    char *error_path;

    void *columns;
    imgcore_scanned found;
};

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void set_status(row *r, const struct stat *is)
{
    r->mode = is->st_mode;
    r->nlink = is->st_nlink > UINT32_MAX ? UINT32_MAX : (uint32_t)is->st_nlink;
    r->uid = is->st_uid;
    r->gid = is->st_gid;
    r->size = (uint64_t)is->st_size;
    r->dev = (uint64_t)is->st_dev;
    r->ino = (uint64_t)is->st_ino;
    r->rdev = (uint64_t)major(is->st_rdev) << 32 | minor(is->st_rdev);
    r->blocks = (int64_t)is->st_blocks;
    r->mtime_ns = nanoseconds(is->st_mtim);
    r->ctime_ns = nanoseconds(is->st_ctim);
}

static void free_dir(dir *d)
{
    free(d->path);
    free(d->text);
    free(d->rows);
    free(d);
}

/* Note the first problem; the others would most likely be its consequences. */
static void fail(imgcore_scan *scan, uint32_t error, int system_error, const char *path, const char *name)
{
    pthread_mutex_lock(&scan->mutex);
    if (!scan->error) {
        scan->error = error;
        scan->system_error = system_error;
        scan->error_path = malloc(strlen(path) + (name ? strlen(name) : 0) + 2);
        if (scan->error_path) {
            size_t length = strlen(path);

            memcpy(scan->error_path, path, length + 1);
            if (name) {
                if (length && path[length - 1] != '/')
                    scan->error_path[length++] = '/';
                memcpy(scan->error_path + length, name, strlen(name) + 1);
            }
        }
    }
    atomic_store(&scan->stop, true);
    pthread_mutex_unlock(&scan->mutex);
}

static void fail_memory(imgcore_scan *scan)
{
    fail(scan, IMGCORE_SCAN_MEMORY, 0, "", NULL);
}

/* Make room for `more` bytes of text; returns whether there is. */
static bool text_grow(dir *d, size_t more)
{
    size_t room = d->text_room ? d->text_room : 256;
    char *text;

    if (d->text_size + more > UINT32_MAX)
        return false;
    while (room - d->text_size < more)
        room *= 2;
    if (room == d->text_room)
        return true;
    text = realloc(d->text, room);
    if (!text)
        return false;
    d->text = text;
    d->text_room = room;
    return true;
}

static row *add_row(dir *d)
{
    if (d->count == d->room) {
        size_t room = d->room ? 2 * d->room : 16;
        row *rows = realloc(d->rows, room * sizeof *rows);

        if (!rows)
            return NULL;
        d->rows = rows;
        d->room = room;
    }
    memset(&d->rows[d->count], 0, sizeof(row));
    return &d->rows[d->count++];
}

static bool is_skipped(const imgcore_scan *scan, const dir *d, const char *name)
{
    for (size_t i = 0; i < scan->skip_count; i++)
        if (scan->skip[i].dev == d->dev && scan->skip[i].ino == d->ino && strcmp(scan->skip[i].name, name) == 0)
            return true;
    return false;
}

/* List the names of an open directory; returns 0 or an errno. */
static int list_names(imgcore_scan *scan, dir *d, DIR *stream)
{
    for (size_t count = 1;; count++) {
        struct dirent *entry;
        size_t length;
        row *added;

        errno = 0;
        entry = readdir(stream);
        if (!entry)
            return errno;
        if (count % STOP_EVERY == 0 && atomic_load(&scan->stop))
            return 0;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || is_skipped(scan, d, entry->d_name))
            continue;
        length = strlen(entry->d_name) + 1;
        added = text_grow(d, length) ? add_row(d) : NULL;
        if (!added)
            return ENOMEM;
        added->name = (uint32_t)d->text_size;
        memcpy(d->text + d->text_size, entry->d_name, length);
        d->text_size += length;
    }
}

static int by_name(const void *a, const void *b, void *text)
{
    return strcmp((const char *)text + ((const row *)a)->name, (const char *)text + ((const row *)b)->name);
}

/* Read the target of a symbolic link into the text; returns 0 or an errno. */
static int read_target(dir *d, row *r, int fd)
{
    for (size_t room = (size_t)r->size + 1;; room *= 2) {
        ssize_t got;

        if (room < 64)
            room = 64;
        if (!text_grow(d, room))
            return ENOMEM;
        got = readlinkat(fd, d->text + r->name, d->text + d->text_size, room);
        if (got < 0)
            return errno;
        if ((size_t)got < room) { /* else it may be longer */
            r->target = (uint32_t)d->text_size;
            d->text[d->text_size + (size_t)got] = 0;
            d->text_size += (size_t)got + 1;
            return 0;
        }
    }
}

/* Whether the entry at `path` has extended attributes: 1, 0, or -1 with errno. */
static int has_xattrs(const char *path)
{
    ssize_t size = llistxattr(path, NULL, 0);

    if (size < 0 && (errno == ENOTSUP || errno == ENOSYS))
        return 0;
    return size < 0 ? -1 : size > 0;
}

static dir *new_dir(const char *path, const row *r)
{
    dir *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->path = strdup(path);
    if (!d->path) {
        free(d);
        return NULL;
    }
    d->dev = r->dev;
    d->ino = r->ino;
    return d;
}

/* Look at each entry of an open directory; directories are added to the chain `*below`, the last one first. */
static void look_at_rows(imgcore_scan *scan, dir *d, int fd, dir **below, size_t *below_count)
{
    char path[LONGEST_PATH + 258];
    size_t length = strlen(d->path);

    memcpy(path, d->path, length);
    if (!length || path[length - 1] != '/')
        path[length++] = '/';
    for (size_t i = 0; i < d->count; i++) {
        row *r = &d->rows[i];
        const char *name = d->text + r->name;
        size_t name_length = strlen(name);
        struct stat is;
        int got;

        if (i % STOP_EVERY == 0 && atomic_load(&scan->stop))
            return;
        if (fstatat(fd, name, &is, AT_SYMLINK_NOFOLLOW) != 0) {
            fail(scan, IMGCORE_SCAN_STATUS, errno, d->path, name);
            return;
        }
        set_status(r, &is);
        if (name_length > 256 || length + name_length > LONGEST_PATH) {
            fail(scan, IMGCORE_SCAN_LONG, 0, d->path, name);
            return;
        }
        memcpy(path + length, name, name_length + 1);
        if (scan->xattrs) {
            got = has_xattrs(path);
            if (got < 0) {
                fail(scan, IMGCORE_SCAN_XATTRS, errno, d->path, name);
                return;
            }
            r->has_xattrs = got != 0;
        }
        if (S_ISLNK(r->mode)) {
            got = read_target(d, r, fd);
            if (got) {
                fail(scan, got == ENOMEM ? IMGCORE_SCAN_MEMORY : IMGCORE_SCAN_TARGET, got, d->path, d->text + r->name);
                return;
            }
        } else if (S_ISDIR(r->mode)) {
            r->below = new_dir(path, r);
            if (!r->below) {
                fail_memory(scan);
                return;
            }
            r->below->next = *below;
            *below = r->below;
            ++*below_count;
        }
    }
}

static void read_dir(imgcore_scan *scan, dir *d, dir **below, size_t *below_count)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (d == scan->top ? 0 : O_NOFOLLOW), problem;
    int fd = open(d->path, flags);
    struct stat opened;
    DIR *stream;

    if (fd < 0 || fstat(fd, &opened) != 0) {
        fail(scan, IMGCORE_SCAN_DIRECTORY, errno, d->path, NULL);
        if (fd >= 0)
            close(fd);
        return;
    }
    if ((uint64_t)opened.st_dev != d->dev || (uint64_t)opened.st_ino != d->ino) {
        fail(scan, IMGCORE_SCAN_REPLACED, 0, d->path, NULL);
        close(fd);
        return;
    }
    stream = fdopendir(fd);
    if (!stream) {
        fail_memory(scan);
        close(fd);
        return;
    }
    problem = list_names(scan, d, stream);
    if (problem == ENOMEM)
        fail_memory(scan);
    else if (problem)
        fail(scan, IMGCORE_SCAN_DIRECTORY, problem, d->path, NULL);
    if (!problem && !atomic_load(&scan->stop)) {
        if (d->count)
            qsort_r(d->rows, d->count, sizeof *d->rows, by_name, d->text);
        look_at_rows(scan, d, dirfd(stream), below, below_count);
    }
    closedir(stream);
}

static void *thread_main(void *argument)
{
    imgcore_scan *scan = argument;

    pthread_mutex_lock(&scan->mutex);
    while (scan->unfinished && !atomic_load(&scan->stop)) {
        dir *d = scan->todo, *below = NULL, *last;
        size_t below_count = 0;

        if (!d) {
            pthread_cond_wait(&scan->work, &scan->mutex);
            continue;
        }
        scan->todo = d->next;
        pthread_mutex_unlock(&scan->mutex);
        read_dir(scan, d, &below, &below_count);
        pthread_mutex_lock(&scan->mutex);
        if (below) {
            /* The chain has the last directory first; on the stack the first comes first. */
            for (last = NULL; below;) {
                dir *rest = below->next;

                below->next = last;
                last = below;
                below = rest;
            }
            below = last;
            while (last->next)
                last = last->next;
            last->next = scan->todo;
            scan->todo = below;
        }
        scan->unfinished += below_count;
        scan->unfinished--;
        if (below_count > 1 || !scan->unfinished)
            pthread_cond_broadcast(&scan->work);
    }
    pthread_cond_broadcast(&scan->work);
    pthread_cond_signal(&scan->finished);
    pthread_mutex_unlock(&scan->mutex);
    return NULL;
}

imgcore_scan *imgcore_scan_open(const char *top, uint32_t jobs, uint32_t xattrs, const imgcore_skip *skip, size_t skip_count)
{
    imgcore_scan *scan = calloc(1, sizeof *scan);
    size_t names = 0;
    pthread_condattr_t monotonic;
    sigset_t all, before;
    struct stat is;

    if (!scan)
        return NULL;
    scan->pid = getpid();
    scan->xattrs = xattrs;
    for (size_t i = 0; i < skip_count; i++)
        names += strlen(skip[i].name) + 1;
    scan->skip = calloc(skip_count + 1, sizeof *scan->skip);
    scan->skip_names = malloc(names + 1);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&scan->mutex, NULL);
    pthread_cond_init(&scan->work, NULL);
    pthread_cond_init(&scan->finished, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (!scan->skip || !scan->skip_names) {
        imgcore_scan_close(scan);
        return NULL;
    }
    for (size_t i = 0, at = 0; i < skip_count; i++) {
        scan->skip[i] = skip[i];
        scan->skip[i].name = strcpy(scan->skip_names + at, skip[i].name);
        at += strlen(skip[i].name) + 1;
    }
    scan->skip_count = skip_count;
    if (stat(top, &is) != 0) {
        fail(scan, IMGCORE_SCAN_DIRECTORY, errno, top, NULL);
        return scan;
    }
    set_status(&scan->root, &is);
    scan->top = new_dir(top, &scan->root);
    if (!scan->top) {
        imgcore_scan_close(scan);
        return NULL;
    }
    scan->root.below = scan->top;
    if (strlen(top) > LONGEST_PATH) {
        fail(scan, IMGCORE_SCAN_LONG, 0, top, NULL);
        return scan;
    }
    scan->todo = scan->top;
    scan->unfinished = 1;
    /* The threads take no signals: these are for the threads of the program. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (scan->thread_count < jobs && scan->thread_count < MOST_THREADS &&
           pthread_create(&scan->threads[scan->thread_count], NULL, thread_main, scan) == 0)
        scan->thread_count++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!scan->thread_count) {
        imgcore_scan_close(scan);
        return NULL;
    }
    return scan;
}

static void join_threads(imgcore_scan *scan)
{
    for (uint32_t i = 0; i < scan->thread_count; i++)
        pthread_join(scan->threads[i], NULL);
    scan->thread_count = 0;
}

/* A directory that a walk is in, and the row that it has come to. */
typedef struct level {
    dir *d;
    size_t place;
} level;

typedef struct columns {
    uint32_t *dirs, *children, *mode, *nlink, *uid, *gid;
    uint64_t *size, *dev, *ino, *rdev;
    int64_t *blocks, *mtime_ns, *ctime_ns;
    uint8_t *has_xattrs;
    char *names, *targets;
} columns;

static void put_row(imgcore_scan *scan, columns *c, uint64_t at, const row *r)
{
    c->mode[at] = r->mode;
    c->nlink[at] = r->nlink;
    c->uid[at] = r->uid;
    c->gid[at] = r->gid;
    c->size[at] = r->size;
    c->dev[at] = r->dev;
    c->ino[at] = r->ino;
    c->rdev[at] = r->rdev;
    c->blocks[at] = r->blocks;
    c->mtime_ns[at] = r->mtime_ns;
    c->ctime_ns[at] = r->ctime_ns;
    c->has_xattrs[at] = r->has_xattrs;
    scan->found.any_xattrs |= r->has_xattrs;
}

static char *put_text(char *to, const char *text)
{
    size_t size = strlen(text) + 1;

    memcpy(to, text, size);
    return to + size;
}

/* Count what the columns have to hold: every directory that was read. */
static uint64_t count_all(const imgcore_scan *scan, uint64_t *rows, uint64_t *text, size_t *depth, level **stack)
{
    uint64_t dirs = 0;
    size_t used = 0, room = 64;

    *stack = malloc(room * sizeof **stack);
    if (!*stack)
        return 0;
    *rows = 1;
    *text = 1;
    (*stack)[used++] = (level){scan->top, 0};
    *depth = room;
    dirs = 1;
    *rows += scan->top->count;
    *text += scan->top->text_size;
    while (used) {
        level *last = &(*stack)[used - 1];

        if (last->place == last->d->count) {
            used--;
            continue;
        }
        dir *below = last->d->rows[last->place++].below;

        if (!below)
            continue;
        dirs++;
        *rows += below->count;
        *text += below->text_size;
        if (used == room) {
            level *larger = realloc(*stack, 2 * room * sizeof *larger);

            if (!larger)
                return 0;
            *stack = larger;
            room *= 2;
        }
        (*stack)[used++] = (level){below, 0};
        *depth = room;
    }
    return dirs;
}

static void *carve(char **arena, uint64_t count, size_t size)
{
    char *part = *arena;

    *arena += (count * size + 7) / 8 * 8;
    return part;
}

/* Put all rows into columns; directories are freed as they are left. Returns whether there was memory. */
static bool put_columns(imgcore_scan *scan)
{
    imgcore_scanned *found = &scan->found;
    uint64_t rows = 0, text = 0, dirs, at = 1, dir_at = 0;
    size_t depth = 0, used = 0;
    level *stack = NULL;
    columns c;
    char *arena, *name_end, *target_end;

    dirs = count_all(scan, &rows, &text, &depth, &stack);
    if (!dirs || rows > UINT32_MAX)
        goto fail;
    scan->columns = arena = malloc(rows * (4 * 4 + 8 * 7 + 1) + dirs * 8 + 2 * text + 16 * 8);
    if (!arena)
        goto fail;
    c.size = carve(&arena, rows, 8);
    c.dev = carve(&arena, rows, 8);
    c.ino = carve(&arena, rows, 8);
    c.rdev = carve(&arena, rows, 8);
    c.blocks = carve(&arena, rows, 8);
    c.mtime_ns = carve(&arena, rows, 8);
    c.ctime_ns = carve(&arena, rows, 8);
    c.mode = carve(&arena, rows, 4);
    c.nlink = carve(&arena, rows, 4);
    c.uid = carve(&arena, rows, 4);
    c.gid = carve(&arena, rows, 4);
    c.dirs = carve(&arena, dirs, 4);
    c.children = carve(&arena, dirs, 4);
    c.has_xattrs = carve(&arena, rows, 1);
    c.names = name_end = carve(&arena, text, 1);
    c.targets = target_end = carve(&arena, text, 1);
    put_row(scan, &c, 0, &scan->root);
    *name_end++ = 0;
    stack[used++] = (level){scan->top, 0};
    scan->root.below = NULL;
    c.dirs[0] = 0;
    for (bool entered = true; used;) {
        level *last = &stack[used - 1];
        dir *d = last->d;

        if (entered) { /* put its rows, all of them */
            c.children[dir_at++] = (uint32_t)d->count;
            d->begin = at;
            for (size_t i = 0; i < d->count; i++) {
                put_row(scan, &c, at++, &d->rows[i]);
                name_end = put_text(name_end, d->text + d->rows[i].name);
                if (S_ISLNK(d->rows[i].mode))
                    target_end = put_text(target_end, d->text + d->rows[i].target);
            }
            entered = false;
        }
        while (last->place < d->count && !d->rows[last->place].below)
            last->place++;
        if (last->place == d->count) {
            if (d == scan->top)
                scan->top = NULL;
            free_dir(d);
            used--;
            continue;
        }
        c.dirs[dir_at] = (uint32_t)(d->begin + last->place);
        stack[used++] = (level){d->rows[last->place].below, 0};
        d->rows[last->place++].below = NULL;
        entered = true;
    }
    free(stack);
    found->rows = rows;
    found->dir_count = dirs;
    found->names = c.names;
    found->names_size = (uint64_t)(name_end - c.names);
    found->targets = c.targets;
    found->targets_size = (uint64_t)(target_end - c.targets);
    found->dirs = c.dirs;
    found->children = c.children;
    found->mode = c.mode;
    found->nlink = c.nlink;
    found->uid = c.uid;
    found->gid = c.gid;
    found->size = c.size;
    found->dev = c.dev;
    found->ino = c.ino;
    found->rdev = c.rdev;
    found->blocks = c.blocks;
    found->mtime_ns = c.mtime_ns;
    found->ctime_ns = c.ctime_ns;
    found->has_xattrs = c.has_xattrs;
    found->done = 1;
    return true;
fail:
    free(stack);
    return false;
}

void imgcore_scan_wait(imgcore_scan *scan, imgcore_scanned *found)
{
    if (!scan->joined) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WAIT_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_mutex_lock(&scan->mutex);
        while (scan->unfinished && !atomic_load(&scan->stop))
            if (pthread_cond_timedwait(&scan->finished, &scan->mutex, &until) != 0)
                break;
        bool ended = !scan->unfinished || atomic_load(&scan->stop);
        pthread_mutex_unlock(&scan->mutex);
        if (ended) {
            join_threads(scan);
            scan->joined = true;
            if (!scan->error && !put_columns(scan))
                fail_memory(scan);
        }
    }
    *found = scan->found;
    if (!scan->joined)
        return;
    found->error = scan->error;
    found->system_error = scan->system_error;
    found->path = scan->error_path;
}

/* Free every directory that put_columns did not. */
static void free_dirs(imgcore_scan *scan)
{
    dir *todo = scan->top;

    if (todo)
        todo->next = NULL;
    while (todo) {
        dir *d = todo;

        todo = d->next;
        for (size_t i = 0; i < d->count; i++)
            if (d->rows[i].below) {
                d->rows[i].below->next = todo;
                todo = d->rows[i].below;
            }
        free_dir(d);
    }
}

void imgcore_scan_close(imgcore_scan *scan)
{
    if (!scan)
        return;
    if (scan->pid != getpid()) /* the child of a fork has no such threads, and the mutex may be held for ever */
        return;
    atomic_store(&scan->stop, true);
    pthread_mutex_lock(&scan->mutex);
    pthread_cond_broadcast(&scan->work);
    pthread_mutex_unlock(&scan->mutex);
    join_threads(scan);
    free_dirs(scan);
    pthread_cond_destroy(&scan->finished);
    pthread_cond_destroy(&scan->work);
    pthread_mutex_destroy(&scan->mutex);
    free(scan->columns);
    free(scan->error_path);
    free(scan->skip);
    free(scan->skip_names);
    free(scan);
}
