/* unpack.c: see unpack.h; the queue, the threads, how they are driven, and how they stop. */
#define _GNU_SOURCE

#include "unpack_run.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 100, NS_PER_MS = 1000000, NANOSECONDS = 1000000000 };

void unpack_leave(imgcore_unpack *run, directory *dir)
{
    if (atomic_fetch_sub(&dir->users, 1) != 1)
        return;
    close(dir->fd);
    free(dir);
    atomic_fetch_sub(&run->dirs, 1);
}

bool unpack_note_unset(imgcore_unpack *run, uint64_t row, uint64_t xattr, int system_error)
{
    unset_node *node = malloc(sizeof *node);

    if (!node)
        return false;
    *node = (unset_node){NULL, {row, xattr, system_error}};
    pthread_mutex_lock(&run->mutex);
    if (run->unset_last)
        run->unset_last->next = node;
    else
        run->unset_first = node;
    run->unset_last = node;
    pthread_mutex_unlock(&run->mutex);
    return true;
}

/* Whether the caller has nothing more to wait for; the mutex is held. */
static bool is_awaited(imgcore_unpack *run)
{
    return run->state.error || (run->state.left <= run->wait_left && atomic_load(&run->dirs) <= run->wait_dirs);
}

/* Note what became of some files; the mutex is held. */
static void report(imgcore_unpack *run, unpack_worker *w, uint64_t files, uint64_t bytes, uint64_t row, trouble problem)
{
    imgcore_unpack_state *state = &run->state;

    state->written += w->written;
    w->written = 0;
    state->files += files;
    state->bytes += bytes;
    state->left -= files;
    if (files)
        state->last = row;
    if (problem.code && problem.code != UNPACK_STOPPED && (!state->error || row < state->row)) {
        state->error = problem.code;
        state->system_error = problem.system_error;
        state->xattr = problem.xattr;
        state->row = row;
    }
    if (problem.code)
        atomic_store(&run->stop, true);
    if (atomic_load(&run->stop))
        pthread_cond_broadcast(&run->work);
    if (run->caller_waits && is_awaited(run))
        pthread_cond_signal(&run->progress);
}

/* Make a small file, whole. */
static trouble do_file(unpack_worker *w, const item *item)
{
    const imgcore_unpack_spec *spec = &w->run->spec;
    trouble problem;
    int fd;

    problem = file_make(spec, item, &fd);
    if (problem.code)
        return problem;
    problem = file_blocks_write(w, item->row, fd, 0, file_blocks(spec, item->row), spec->positions[item->row]);
    if (!problem.code)
        problem = file_finish(w, item->row, fd);
    if (problem.code)
        file_discard(spec, item, fd);
    else
        close(fd);
    return problem;
}

/* Make a large file and leave it to all workers. */
static trouble open_big(unpack_worker *w, const item *item)
{
    imgcore_unpack *run = w->run;
    big *b = calloc(1, sizeof *b);
    trouble problem;

    if (!b)
        return (trouble){IMGCORE_UNPACK_MEMORY, 0, 0};
    b->item = *item;
    b->next_position = run->spec.positions[item->row];
    problem = file_make(&run->spec, item, &b->fd);
    if (problem.code) {
        free(b);
        return problem;
    }
    pthread_mutex_lock(&run->mutex);
    b->next = run->bigs;
    run->bigs = b;
    pthread_cond_broadcast(&run->work);
    pthread_mutex_unlock(&run->mutex);
    return problem;
}

/* Do all files of a task; the mutex is not held. */
static void do_task(unpack_worker *w, task *t)
{
    imgcore_unpack *run = w->run;
    const imgcore_unpack_spec *spec = &run->spec;
    uint64_t files = 0, bytes = 0, row = 0;
    trouble problem = {0};
    size_t done = 0;

    while (done < t->count && !problem.code && !atomic_load_explicit(&run->stop, memory_order_relaxed)) {
        const item *item = &t->items[done++];

        row = item->row;
        if (spec->sizes[row] >= BIG_BYTES) {
            problem = open_big(w, item);
            if (!problem.code)
                continue; /* its directory is still in use */
        } else {
            problem = do_file(w, item);
            if (!problem.code) {
                files++;
                bytes += spec->sizes[row];
            }
        }
        unpack_leave(run, item->dir);
    }
    for (; done < t->count; done++)
        unpack_leave(run, t->items[done].dir);
    free(t);
    pthread_mutex_lock(&run->mutex);
    report(run, w, files, bytes, row, problem);
    pthread_mutex_unlock(&run->mutex);
}

/* Take a file out of the list; the mutex is held. */
static void unlist(imgcore_unpack *run, const big *b)
{
    for (big **link = &run->bigs; *link; link = &(*link)->next)
        if (*link == b) {
            *link = b->next;
            return;
        }
    assert(!"a large file is in the list until it is done");
}

/* Whether all of a file was given out. */
static bool is_given_out(const imgcore_unpack *run, const big *b)
{
    return b->next_block == file_blocks(&run->spec, b->item.row);
}

/*
 * Do a piece of a large file; the mutex is held when this is called and when it returns. It ends with the file when
 * nobody else is at it and no piece is left.
 */
static void do_piece(unpack_worker *w, big *b)
{
    imgcore_unpack *run = w->run;
    const imgcore_unpack_spec *spec = &run->spec;
    uint64_t row = b->item.row, first = b->next_block, position = b->next_position;
    uint64_t count = file_blocks(spec, row) - first, most = PIECE_BYTES / spec->block_size;
    const uint32_t *words = spec->words + spec->words_at[row];
    trouble problem;

    count = count < most ? count : most;
    for (uint64_t i = 0; i < count; i++)
        b->next_position += words[first + i] & (IMGCORE_WORD_RAW - 1);
    b->next_block += count;
    b->workers++;
    pthread_mutex_unlock(&run->mutex);
    problem = file_blocks_write(w, row, b->fd, first, count, position);
    pthread_mutex_lock(&run->mutex);
    b->workers--;
    if (problem.code) {
        b->failed = true;
        report(run, w, 0, 0, row, problem);
    }
    if (b->workers || b->failed || !is_given_out(run, b) || atomic_load(&run->stop))
        return; /* what is left of a failed one is removed when the run is closed */
    unlist(run, b);
    pthread_mutex_unlock(&run->mutex);
    problem = file_finish(w, row, b->fd);
    if (problem.code)
        file_discard(spec, &b->item, b->fd);
    else
        close(b->fd);
    unpack_leave(run, b->item.dir);
    pthread_mutex_lock(&run->mutex);
    report(run, w, !problem.code, spec->sizes[row], row, problem);
    free(b);
}

/* Return a large file of which there is a piece left; the mutex is held. */
static big *next_big(imgcore_unpack *run)
{
    for (big *b = run->bigs; b; b = b->next)
        if (!b->failed && !is_given_out(run, b))
            return b;
    return NULL;
}

static void *work(void *argument)
{
    unpack_worker *w = argument;
    imgcore_unpack *run = w->run;

    pthread_mutex_lock(&run->mutex);
    while (!atomic_load(&run->stop)) {
        big *b = next_big(run);
        task *t = run->first;

        if (b) {
            do_piece(w, b);
        } else if (t) {
            run->first = t->next;
            if (!run->first)
                run->last = NULL;
            pthread_mutex_unlock(&run->mutex);
            do_task(w, t);
            pthread_mutex_lock(&run->mutex);
        } else {
            pthread_cond_wait(&run->work, &run->mutex);
        }
    }
    pthread_mutex_unlock(&run->mutex);
    return NULL;
}

static bool init_locks(imgcore_unpack *run)
{
    pthread_condattr_t monotonic;

    if (pthread_condattr_init(&monotonic) != 0)
        return false;
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    if (pthread_mutex_init(&run->mutex, NULL) != 0 || pthread_cond_init(&run->work, NULL) != 0 ||
        pthread_cond_init(&run->progress, &monotonic) != 0)
        return false;
    pthread_condattr_destroy(&monotonic);
    return true;
}

/* Workers take no signals: these are for the threads of the program. */
static bool start_workers(imgcore_unpack *run)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; i < run->spec.jobs; i++) {
        unpack_worker *w = &run->workers[i];

        w->run = run;
        w->decoder.decoder = &run->spec.decoder;
        w->stored = malloc(run->spec.block_size);
        w->raw = malloc(run->spec.block_size);
        if (!w->stored || !w->raw || pthread_create(&w->thread, NULL, work, w) != 0)
            break;
        run->worker_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return run->worker_count == run->spec.jobs;
}

imgcore_unpack *imgcore_unpack_open(const imgcore_unpack_spec *spec)
{
    imgcore_unpack *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    assert(spec->jobs && spec->block_size && spec->block_size <= PIECE_BYTES && spec->dir_count && spec->dirs[0] == 0);
    run->spec = *spec;
    run->pid = getpid();
    run->dirs_left = spec->dir_count;
    run->workers = calloc(spec->jobs, sizeof *run->workers);
    run->numbers = calloc(spec->rows, sizeof *run->numbers);
    if (!run->workers || !run->numbers || !init_locks(run)) {
        free(run->workers);
        free(run->numbers);
        free(run);
        return NULL;
    }
    for (uint64_t i = 0; i < spec->dir_count; i++)
        run->numbers[spec->dirs[i]] = i;
    if (!start_workers(run)) {
        imgcore_unpack_close(run);
        return NULL;
    }
    return run;
}

/* Give the task that is being filled to the workers. */
static void send(imgcore_unpack *run)
{
    task *t = run->filling;

    if (!t)
        return;
    run->filling = NULL;
    t->next = NULL;
    pthread_mutex_lock(&run->mutex);
    if (run->last)
        run->last->next = t;
    else
        run->first = t;
    run->last = t;
    pthread_cond_signal(&run->work);
    pthread_mutex_unlock(&run->mutex);
}

/* Whether a file of another fragment, or of so many bytes, had better go to another worker. */
static bool is_full(const task *t, uint64_t size, uint32_t fragment)
{
    bool other = t->fragment != IMGCORE_NO_FRAGMENT && fragment != IMGCORE_NO_FRAGMENT && fragment != t->fragment;

    return t->count == TASK_ITEMS || size >= TASK_BYTES - t->bytes || other;
}

static bool add(imgcore_unpack *run, uint64_t row, directory *dir)
{
    uint64_t size = run->spec.sizes[row];
    uint32_t fragment = run->spec.fragments[row];
    task *t = run->filling;

    if (t && is_full(t, size, fragment))
        send(run);
    t = run->filling;
    if (!t) {
        t = run->filling = malloc(sizeof *t + TASK_ITEMS * sizeof *t->items);
        if (!t)
            return false;
        t->count = 0;
        t->bytes = 0;
        t->fragment = IMGCORE_NO_FRAGMENT;
    }
    t->items[t->count++] = (item){row, dir};
    t->bytes += size < TASK_BYTES ? size : TASK_BYTES;
    if (fragment != IMGCORE_NO_FRAGMENT)
        t->fragment = fragment;
    atomic_fetch_add(&dir->users, 1);
    return true;
}

/* Whether the columns hold as many size words as the file needs. */
static bool has_words(const imgcore_unpack_spec *spec, uint64_t row)
{
    uint64_t at = spec->words_at[row];

    return at <= spec->word_count && file_blocks(spec, row) <= spec->word_count - at;
}

bool unpack_add(imgcore_unpack *run, directory *dir, uint64_t first, uint64_t end)
{
    const imgcore_unpack_spec *spec = &run->spec;
    uint64_t files = 0;

    for (uint64_t row = first; row < end; row++)
        files += spec->kinds[row] == IMGCORE_MAKE_FILE;
    if (!files)
        return true;
    pthread_mutex_lock(&run->mutex);
    run->state.left += files; /* before a worker can be done with the first */
    pthread_mutex_unlock(&run->mutex);
    for (uint64_t row = first; row < end; row++) {
        if (spec->kinds[row] != IMGCORE_MAKE_FILE)
            continue;
        assert(has_words(spec, row));
        if (!add(run, row, dir))
            return false;
    }
    return true;
}

/* Move refused attributes to the caller; the mutex is held. */
static uint64_t take_unset(imgcore_unpack *run, imgcore_unset *unset, uint64_t most)
{
    uint64_t count = 0;

    while (run->unset_first && count < most) {
        unset_node *node = run->unset_first;

        unset[count++] = node->is;
        run->unset_first = node->next;
        if (!run->unset_first)
            run->unset_last = NULL;
        free(node);
    }
    return count;
}

static struct timespec deadline_of(void)
{
    struct timespec deadline;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_nsec += WAIT_MS * NS_PER_MS;
    deadline.tv_sec += deadline.tv_nsec / NANOSECONDS;
    deadline.tv_nsec %= NANOSECONDS;
    return deadline;
}

static bool is_over(const struct timespec *deadline)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > deadline->tv_sec || (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec);
}

/* Wait until no more files and directories than these are in work; false when the deadline passes before. */
static bool wait_for(imgcore_unpack *run, uint64_t left, uint64_t dirs, const struct timespec *deadline)
{
    int result = 0;
    bool awaited;

    pthread_mutex_lock(&run->mutex);
    run->wait_left = left;
    run->wait_dirs = dirs;
    awaited = is_awaited(run);
    pthread_mutex_unlock(&run->mutex);
    if (awaited)
        return true;
    send(run);
    pthread_mutex_lock(&run->mutex);
    run->caller_waits = true;
    while (result == 0 && !is_awaited(run))
        result = pthread_cond_timedwait(&run->progress, &run->mutex, deadline);
    run->caller_waits = false;
    awaited = is_awaited(run);
    pthread_mutex_unlock(&run->mutex);
    return awaited;
}

/* Note what went wrong in the caller's own work. */
static void note(imgcore_unpack *run, uint64_t row, trouble problem)
{
    unpack_worker nobody = {0};

    if (!problem.code)
        return;
    pthread_mutex_lock(&run->mutex);
    report(run, &nobody, 0, 0, row, problem);
    pthread_mutex_unlock(&run->mutex);
}

static void tell(imgcore_unpack *run, imgcore_unset *unset, uint64_t most, imgcore_unpack_state *state)
{
    pthread_mutex_lock(&run->mutex);
    run->state.unset = take_unset(run, unset, most);
    *state = run->state;
    pthread_mutex_unlock(&run->mutex);
}

void imgcore_unpack_walk(imgcore_unpack *run, imgcore_unset *unset, uint64_t most, imgcore_unpack_state *state)
{
    const struct timespec deadline = deadline_of();
    /* The levels above the current directory are open too, and their number is not the workers' to lower. */
    const uint64_t dirs = run->spec.most_dirs + OPEN_LEVELS + 2;
    uint64_t row = 0;

    while (!atomic_load(&run->stop) && run->next_dir < run->spec.dir_count) {
        if (!wait_for(run, MOST_LEFT, dirs, &deadline) || is_over(&deadline))
            break;
        trouble problem = tree_make_next(run, &row);

        note(run, row, problem); /* not in one call: `row` might be read first */
    }
    if (run->next_dir == run->spec.dir_count && wait_for(run, 0, UINT64_MAX, &deadline))
        run->state.walked = 1;
    tell(run, unset, most, state);
}

void imgcore_unpack_finish(imgcore_unpack *run, uint32_t root, imgcore_unset *unset, uint64_t most,
                           imgcore_unpack_state *state)
{
    const struct timespec deadline = deadline_of();
    uint64_t row = 0;

    while (!atomic_load(&run->stop) && run->dirs_left && !is_over(&deadline)) {
        trouble problem = tree_finish_next(run, root, &row);

        note(run, row, problem);
    }
    run->state.finished = !run->dirs_left;
    tell(run, unset, most, state);
}

static void free_task(imgcore_unpack *run, task *t)
{
    for (size_t i = 0; i < t->count; i++)
        unpack_leave(run, t->items[i].dir);
    free(t);
}

/* Remove the files that are not whole, and forget those that were not begun. */
static void drop_work(imgcore_unpack *run)
{
    for (big *b = run->bigs, *next; b; b = next) {
        next = b->next;
        file_discard(&run->spec, &b->item, b->fd);
        unpack_leave(run, b->item.dir);
        free(b);
    }
    for (task *t = run->first, *next; t; t = next) {
        next = t->next;
        free_task(run, t);
    }
    if (run->filling)
        free_task(run, run->filling);
}

void imgcore_unpack_close(imgcore_unpack *run)
{
    if (!run || run->pid != getpid()) /* after a fork the child has no such threads to join: leave all as it is */
        return;
    pthread_mutex_lock(&run->mutex);
    atomic_store(&run->stop, true);
    pthread_cond_broadcast(&run->work);
    pthread_mutex_unlock(&run->mutex);
    for (uint32_t i = 0; i < run->worker_count; i++)
        pthread_join(run->workers[i].thread, NULL);
    for (uint32_t i = 0; i < run->spec.jobs; i++) {
        unpack_worker *w = &run->workers[i];

        if (w->decoder.decoder)
            decode_close(&w->decoder);
        for (size_t k = 0; k < KEPT_FRAGMENTS; k++)
            free(w->kept[k].data);
        free(w->stored);
        free(w->raw);
    }
    drop_work(run);
    tree_close(run);
    for (unset_node *node = run->unset_first, *next; node; node = next) {
        next = node->next;
        free(node);
    }
    pthread_mutex_destroy(&run->mutex);
    pthread_cond_destroy(&run->work);
    pthread_cond_destroy(&run->progress);
    free(run->workers);
    free(run->numbers);
    free(run->levels);
    free(run);
}
