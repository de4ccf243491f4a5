/*
 * worker.c: what the threads do. A worker takes one task at a time, first those that free memory, and gives its results
 * back by setting the state of the unit or fragment, which it does not touch again.
 */
#define _POSIX_C_SOURCE 200809L

#include "pipeline.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEAST_LOOKED_AT = 16384 }; /* bytes, as in imgcore/engine/protocol.py */

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Read content again, or for the first time. */
static failure read_content(const imgcore_run *run, const file *f, uint64_t at, size_t size, uint8_t *out)
{
    const imgcore_calls *calls = &run->spec.calls;

    if (f->path)
        return hostfile_read_once(f->path, &f->is, at, size, out);
    if (calls->read(calls->context, f->job, at, size, out) != 0)
        return (failure){IMGCORE_CALL_FAILED, 0};
    return (failure){IMGCORE_OK, 0};
}

failure worker_compare(const imgcore_run *run, const uint8_t *raw, uint32_t size, const file *other, uint64_t at,
                       uint8_t *scratch, bool *equal)
{
    failure problem = read_content(run, other, at, size, scratch);

    *equal = !problem.code && memcmp(raw, scratch, size) == 0;
    return problem;
}

static void do_read(worker *w, unit *u, imgcore_times *times)
{
    const imgcore_run *run = w->run;
    uint64_t start = now_ns(), between;

    if (u->file->fd >= 0)
        u->problem = hostfile_read(u->file->fd, u->at, (size_t)u->size, u->payload.raw);
    else
        u->problem = read_content(run, u->file, u->at, (size_t)u->size, u->payload.raw);
    u->problem_job = u->file->job;
    between = now_ns();
    times->read_ns += between - start;
    if (!u->problem.code) {
        u->zero = u->kind == UNIT_BLOCK && !(u->file->is.flags & IMGCORE_SOLID) &&
                  bytes_are_zero(u->payload.raw, (size_t)u->size);
        if (!u->zero && run->spec.dedup && !(u->file->is.flags & IMGCORE_UNSHARED)) {
            u->hash = bytes_hash(u->payload.raw, (size_t)u->size);
            u->hash.low &= run->spec.hash_mask;
            u->hash.high &= run->spec.hash_mask;
        }
        times->hash_ns += now_ns() - between;
    }
    set_state(&u->state, STATE_READ);
}

static void do_compare(worker *w, unit *u, imgcore_times *times)
{
    uint64_t start = now_ns();

    u->problem = worker_compare(w->run, u->payload.raw, (uint32_t)u->size, u->candidate, u->candidate_at, w->scratch, &u->equal);
    u->problem_job = u->candidate->job;
    times->verify_ns += now_ns() - start;
    set_state(&u->state, STATE_COMPARED);
}

typedef int look_function(const char *in, char *out, int in_size, int out_size);

/* A quick look at what the slow codec would get: 1 when the codec has to try, 0 when it is stored, -1 on failure. */
static int look(const worker *w, const payload *p, bool is_fragment)
{
    int size = (int)p->raw_size, got;

    if (is_fragment || !w->run->spec.look || p->raw_size < LEAST_LOOKED_AT || !bytes_are_flat(p->raw, p->raw_size))
        return 1;
    got = ((look_function *)w->run->spec.look)((const char *)p->raw, (char *)w->scratch, size, size - size / 64);
    return got < 0 ? -1 : got > 0;
}

/* Let one codec try; what it makes is kept, in a buffer of just the size, when nothing as short was there before. */
static failure try_codec(worker *w, codec_state *codec, payload *p)
{
    int64_t size = codec_run(codec, p->raw, p->raw_size, w->scratch);

    if (size < 0)
        return (failure){codec->codec->kind == IMGCORE_CALL ? IMGCORE_CALL_FAILED : IMGCORE_CODEC_FAILED, 0};
    if (size == 0 || (uint64_t)size >= (p->stored ? p->stored_size : p->raw_size))
        return (failure){IMGCORE_OK, 0};
    free(p->stored);
    p->stored = malloc((size_t)size);
    if (!p->stored)
        return (failure){IMGCORE_NO_MEMORY, 0};
    memcpy(p->stored, w->scratch, (size_t)size);
    p->stored_size = (uint32_t)size;
    return (failure){IMGCORE_OK, 0};
}

static bool is_stopping(imgcore_run *run)
{
    bool stop;

    pthread_mutex_lock(&run->mutex);
    stop = run->stop;
    pthread_mutex_unlock(&run->mutex);
    return stop;
}

/* Ask the caller for what was made of this before; returns whether it knew. */
static bool recall(worker *w, payload *p, bool is_fragment, failure *problem)
{
    const imgcore_calls *calls = &w->run->spec.calls;
    int64_t size = calls->recall ? calls->recall(calls->context, p->raw, p->raw_size, !is_fragment, w->scratch) : -1;

    if (size < 0 || size >= (int64_t)p->raw_size)
        return false;
    if (!size)
        return true;
    p->stored = malloc((size_t)size);
    if (!p->stored) {
        *problem = (failure){IMGCORE_NO_MEMORY, 0};
        return true;
    }
    memcpy(p->stored, w->scratch, (size_t)size);
    p->stored_size = (uint32_t)size;
    return true;
}

/* Compress with all codecs and keep the shortest result; none when the raw bytes are not longer. */
static failure compress(worker *w, payload *p, bool is_fragment, imgcore_times *times)
{
    const imgcore_calls *calls = &w->run->spec.calls;
    uint64_t start = now_ns();
    failure problem = {IMGCORE_OK, 0};
    bool complete = true;
    int tries;

    if (recall(w, p, is_fragment, &problem))
        return problem;
    tries = look(w, p, is_fragment);
    problem.code = tries < 0 ? IMGCORE_NO_MEMORY : IMGCORE_OK;
    for (uint64_t i = 0; tries > 0 && i < w->run->spec.codec_count && !problem.code; i++) {
        if (i && is_stopping(w->run)) { /* nobody will look at the result */
            complete = false;
            break;
        }
        problem = try_codec(w, &w->codecs[i], p);
    }
    if (calls->keep && complete && !problem.code)
        calls->keep(calls->context, p->raw_size, p->stored, p->stored_size);
    times->compress_ns += now_ns() - start;
    return problem;
}

static void run_task(worker *w, task *t, imgcore_times *times)
{
    switch (t->kind) {
    case TASK_READ:
        do_read(w, t->unit, times);
        break;
    case TASK_COMPARE:
        do_compare(w, t->unit, times);
        break;
    case TASK_COMPRESS:
        t->unit->problem = compress(w, &t->unit->payload, false, times);
        t->unit->problem_job = t->unit->file->job;
        set_state(&t->unit->state, STATE_DONE);
        break;
    case TASK_FRAGMENT:
        t->fragment->problem = compress(w, &t->fragment->payload, true, times);
        set_state(&t->fragment->state, STATE_DONE);
        break;
    }
}

/* Take the next task off the queue; the mutex is held. */
static task *take_task(imgcore_run *run)
{
    task *t = run->urgent_first;

    if (t) {
        run->urgent_first = t->next;
        run->urgent_waiting--;
    } else if ((t = run->reads_first) != NULL) {
        run->reads_first = t->next;
        run->reads_waiting--;
    }
    return t;
}

void *worker_main(void *argument)
{
    worker *w = argument;
    imgcore_run *run = w->run;

    pthread_mutex_lock(&run->mutex);
    while (!run->stop) {
        task *t = take_task(run);
        imgcore_times times = {0};

        if (!t) {
            pthread_cond_wait(&run->work, &run->mutex);
            continue;
        }
        pthread_mutex_unlock(&run->mutex);
        run_task(w, t, &times);
        pthread_mutex_lock(&run->mutex);
        w->times.read_ns += times.read_ns;
        w->times.hash_ns += times.hash_ns;
        w->times.verify_ns += times.verify_ns;
        w->times.compress_ns += times.compress_ns;
        run->finished++;
        if (run->coordinator_waits && run->reads_waiting + run->urgent_waiting <= LOW_WATER)
            pthread_cond_signal(&run->progress);
    }
    pthread_mutex_unlock(&run->mutex);
    return NULL;
}
