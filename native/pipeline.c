/*
 * pipeline.c: the functions of imgcore.h: start, feed, drive and stop a run. See pipeline.h for how it works.
 */
#define _GNU_SOURCE

#include "pipeline.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { AHEAD = 32 }; /* blocks for each worker */
enum { MOST_FREE_BYTES = 8 << 20, NANOSECONDS = 1000000000, NS_PER_MS = 1000000 };

/*
 * Divide the memory, counted in blocks: one of scratch for each worker, the open fragment, a raw and a stored block for
 * each closed fragment, and the rest, at least two blocks, for units. Fragments get up to half of what is to be shared,
 * at least one, and no more than keep the workers busy. Returns false when it is too little.
 */
static bool divide_memory(imgcore_run *run)
{
    const imgcore_spec *spec = &run->spec;
    uint64_t blocks = spec->memory / spec->block_size, closed, fixed;

    if (!spec->block_size || !spec->jobs || blocks < 2 * (uint64_t)spec->jobs + 4)
        return false;
    closed = (blocks - spec->jobs - 1) / 4;
    if (closed > 2 * (uint64_t)spec->jobs + 2)
        closed = 2 * (uint64_t)spec->jobs + 2;
    assert(closed);
    fixed = spec->jobs + 1 + 2 * closed;
    assert(fixed + 2 <= blocks);
    run->most_closed_fragments = (uint32_t)closed;
    run->fixed_bytes = fixed * spec->block_size;
    run->budget = spec->memory - run->fixed_bytes;
    /* More in flight would not be faster: what was read would have left the processor's cache before it is compressed. */
    if (run->budget > AHEAD * (spec->jobs + 1) * (uint64_t)spec->block_size)
        run->budget = AHEAD * (spec->jobs + 1) * (uint64_t)spec->block_size;
    return true;
}

static bool init_locks(imgcore_run *run)
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

static bool open_codecs(worker *w)
{
    const imgcore_spec *spec = &w->run->spec;
    size_t room = spec->block_size;

    if (spec->codec_count) {
        w->codecs = calloc(spec->codec_count, sizeof *w->codecs);
        if (!w->codecs)
            return false;
    }
    for (uint64_t i = 0; i < spec->codec_count; i++) {
        size_t bound;

        if (!codec_open(&w->codecs[i], &spec->codecs[i], &spec->calls, (uint32_t)i))
            return false;
        bound = codec_bound(&w->codecs[i], spec->block_size);
        room = bound > room ? bound : room;
    }
    w->scratch = malloc(room);
    return w->scratch != NULL;
}

/* Workers take no signals: these are for the threads of the program. */
static bool start_workers(imgcore_run *run)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; i < run->spec.jobs; i++) {
        worker *w = &run->workers[i];

        w->run = run;
        if (!open_codecs(w) || pthread_create(&w->thread, NULL, worker_main, w) != 0)
            break;
        run->worker_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return run->worker_count == run->spec.jobs;
}

imgcore_run *imgcore_open(const imgcore_spec *spec)
{
    imgcore_run *run = calloc(1, sizeof *run);

    if (!run)
        return NULL;
    run->spec = *spec;
    run->pid = getpid();
    if (!divide_memory(run) || !init_locks(run)) {
        free(run);
        return NULL;
    }
    run->free_block_room = MOST_FREE_BYTES / spec->block_size + 2;
    run->codecs = calloc(spec->codec_count + 1, sizeof *run->codecs);
    run->ring = calloc(RING_SIZE, sizeof *run->ring);
    run->lents = calloc(RING_SIZE, sizeof *run->lents);
    run->small = malloc(MOST_SMALL * sizeof *run->small);
    run->free_blocks = calloc(run->free_block_room, sizeof *run->free_blocks);
    run->workers = calloc(spec->jobs, sizeof *run->workers);
    if (run->codecs && spec->codec_count)
        memcpy(run->codecs, spec->codecs, spec->codec_count * sizeof *run->codecs);
    run->spec.codecs = run->codecs;
    if (!run->ring || !run->lents || !run->small || !run->free_blocks || !run->workers || !run->codecs || !start_workers(run)) {
        imgcore_close(run);
        return NULL;
    }
    return run;
}

int imgcore_push(imgcore_run *run, const imgcore_file *files, size_t count, const char *paths, size_t paths_size)
{
    file_chunk *chunk;

    if (!count)
        return 0;
    assert(!run->no_more_files && count <= (SIZE_MAX - sizeof *chunk) / sizeof *chunk->files);
    chunk = malloc(sizeof *chunk + count * sizeof *chunk->files);
    if (!chunk)
        return -1;
    chunk->paths = malloc(paths_size + 1);
    if (!chunk->paths) {
        free(chunk);
        return -1;
    }
    memcpy(chunk->paths, paths, paths_size);
    chunk->paths[paths_size] = '\0';
    chunk->next = NULL;
    chunk->count = count;
    for (size_t i = 0; i < count; i++) {
        assert(files[i].path_at == IMGCORE_NO_PATH || files[i].path_at <= paths_size);
        chunk->files[i] = (file){
            .is = files[i],
            .job = run->job_count + i,
            .path = files[i].path_at == IMGCORE_NO_PATH ? NULL : chunk->paths + files[i].path_at,
            .fd = -1,
        };
    }
    if (run->last_chunk)
        run->last_chunk->next = chunk;
    else
        run->chunks = run->admit_chunk = chunk;
    run->last_chunk = chunk;
    run->job_count += count;
    run->files_left += count;
    return 0;
}

void imgcore_finish(imgcore_run *run)
{
    run->no_more_files = true;
}

void pipeline_queue(imgcore_run *run, task *task)
{
    task->next = NULL;
    if (run->new_last)
        run->new_last->next = task;
    else
        run->new_first = task;
    run->new_last = task;
    run->reads_unsent += task->kind == TASK_READ;
}

static void append(task **first, task **last, task *t)
{
    t->next = NULL;
    if (*first)
        (*last)->next = t;
    else
        *first = t;
    *last = t;
}

/* Hand the new tasks to the workers. */
static void send_tasks(imgcore_run *run)
{
    size_t sent = 0;

    if (!run->new_first)
        return;
    pthread_mutex_lock(&run->mutex);
    for (task *t = run->new_first, *next; t; t = next, sent++) {
        next = t->next;
        if (t->kind == TASK_READ) {
            append(&run->reads_first, &run->reads_last, t);
            run->reads_waiting++;
        } else {
            append(&run->urgent_first, &run->urgent_last, t);
            run->urgent_waiting++;
        }
    }
    if (sent == 1)
        pthread_cond_signal(&run->work);
    else
        pthread_cond_broadcast(&run->work);
    run->reads_seen = run->reads_waiting;
    pthread_mutex_unlock(&run->mutex);
    run->new_first = run->new_last = NULL;
    run->reads_unsent = 0;
}

/*
 * Wait until workers have finished tasks since `seen` and begin to run out of others; false when `deadline` passes. As
 * long as there are many tasks, a waiting coordinator holds nobody up, and waking it for each would cost more.
 */
static bool wait_for_workers(imgcore_run *run, uint64_t seen, const struct timespec *deadline)
{
    int result = 0;

    pthread_mutex_lock(&run->mutex);
    while (result == 0 && (run->finished == seen || run->reads_waiting + run->urgent_waiting > LOW_WATER)) {
        run->coordinator_waits = true;
        result = pthread_cond_timedwait(&run->progress, &run->mutex, deadline);
    }
    run->coordinator_waits = false;
    pthread_mutex_unlock(&run->mutex);
    return result == 0;
}

/* Return how many tasks are finished, and note how many reads still wait. */
static uint64_t look_at_queue(imgcore_run *run)
{
    uint64_t finished;

    pthread_mutex_lock(&run->mutex);
    finished = run->finished;
    run->reads_seen = run->reads_waiting;
    pthread_mutex_unlock(&run->mutex);
    return finished;
}

/* Move all cursors until none moves any more. */
static size_t advance(imgcore_run *run, imgcore_piece *pieces, size_t max)
{
    size_t count = 0, got;
    bool moved;

    do {
        moved = pipeline_look_up(run);
        moved |= pipeline_resolve(run);
        got = pipeline_emit(run, pieces + count, max - count);
        count += got;
        moved |= pipeline_admit(run);
        send_tasks(run);
    } while ((moved || got) && count < max);
    return count;
}

size_t imgcore_pull(imgcore_run *run, imgcore_piece *pieces, size_t max, imgcore_state *state)
{
    struct timespec deadline;
    size_t count = 0;
    bool late = false;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_nsec += PULL_MS * NS_PER_MS;
    deadline.tv_sec += deadline.tv_nsec / NANOSECONDS;
    deadline.tv_nsec %= NANOSECONDS;
    if (max > RING_SIZE)
        max = RING_SIZE;
    pipeline_take_back(run);
    for (;;) {
        uint64_t seen = look_at_queue(run);

        count = advance(run, pieces, max);
        run->state.hungry = !run->no_more_files && run->files_left < HUNGRY_BELOW;
        if (count || late || run->state.done || run->state.error || run->state.hungry)
            break;
        late = !wait_for_workers(run, seen, &deadline);
    }
    *state = run->state;
    return count;
}

void imgcore_measure(imgcore_run *run, imgcore_times *times)
{
    *times = (imgcore_times){.peak_bytes = run->peak + run->fixed_bytes};
    if (run->pid != getpid()) /* a worker may have held the mutex when the process forked */
        return;
    pthread_mutex_lock(&run->mutex);
    for (uint32_t i = 0; i < run->worker_count; i++) {
        times->read_ns += run->workers[i].times.read_ns;
        times->hash_ns += run->workers[i].times.hash_ns;
        times->verify_ns += run->workers[i].times.verify_ns;
        times->compress_ns += run->workers[i].times.compress_ns;
    }
    pthread_mutex_unlock(&run->mutex);
}

static void free_fragment(fragment *f)
{
    if (!f)
        return;
    free(f->payload.raw);
    free(f->payload.stored);
    free(f);
}

static void free_units(imgcore_run *run)
{
    for (uint64_t at = run->emit_at; at < run->admit_end; at++) {
        unit *u = ring_at(run, at);

        free(u->payload.raw);
        free(u->payload.stored);
        if (at != run->emit_at || !run->fragment_emitted) /* else it was lent */
            free_fragment(u->closes);
    }
    free_fragment(run->open_fragment);
}

static void free_files(imgcore_run *run)
{
    for (file_chunk *chunk = run->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        for (size_t i = 0; i < chunk->count; i++)
            if (chunk->files[i].fd >= 0)
                close(chunk->files[i].fd);
        free(chunk->paths);
        free(chunk);
    }
}

static void stop_workers(imgcore_run *run)
{
    pthread_mutex_lock(&run->mutex);
    run->stop = true;
    pthread_cond_broadcast(&run->work);
    pthread_mutex_unlock(&run->mutex);
    for (uint32_t i = 0; i < run->worker_count; i++)
        pthread_join(run->workers[i].thread, NULL);
    for (uint32_t i = 0; run->workers && i < run->spec.jobs; i++) {
        worker *w = &run->workers[i];

        for (uint64_t k = 0; w->codecs && k < run->spec.codec_count; k++)
            codec_close(&w->codecs[k]);
        free(w->codecs);
        free(w->scratch);
    }
    pthread_mutex_destroy(&run->mutex);
    pthread_cond_destroy(&run->work);
    pthread_cond_destroy(&run->progress);
}

void imgcore_close(imgcore_run *run)
{
    if (!run || run->pid != getpid()) /* after a fork the child has no such threads to join: leave all as it is */
        return;
    stop_workers(run);
    if (run->lents)
        pipeline_take_back(run);
    if (run->ring)
        free_units(run);
    free_files(run);
    for (size_t i = 0; i < run->free_block_count; i++)
        free(run->free_blocks[i]);
    dedup_free(&run->blocks);
    dedup_free(&run->raw_blocks);
    dedup_free(&run->tails);
    free(run->free_blocks);
    free(run->workers);
    free(run->codecs);
    free(run->lents);
    free(run->small);
    free(run->ring);
    free(run->scratch);
    free(run);
}

void imgcore_xxh3(const uint8_t *data, size_t size, uint64_t out[2])
{
    hash128 hash = bytes_hash(data, size);

    out[0] = hash.low;
    out[1] = hash.high;
}
