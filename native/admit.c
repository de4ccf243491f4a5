/*
 * admit.c: cuts files into units, in order, as far as the ring, the budget and the open files allow.
 *
 * A file of one unit is opened by the worker that reads it. A file of several, or with holes, is opened here and
 * closed when its end is resolved; until then all workers read from the one descriptor.
 */
#include "pipeline.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

static unit *new_unit(imgcore_run *run, enum unit_kind kind, int state)
{
    unit *u = ring_at(run, run->admit_end);

    assert(run->admit_end - run->emit_at < RING_SIZE);
    memset(u, 0, sizeof *u);
    u->kind = kind;
    u->file = run->admitting;
    u->entry = DEDUP_NONE;
    u->task.unit = u;
    set_state(&u->state, state);
    run->admit_end++;
    return u;
}

/* A unit that carries an error ends all: nothing is admitted after it. */
static void admit_problem(imgcore_run *run, failure problem)
{
    unit *u = new_unit(run, UNIT_LAST, STATE_READ);

    u->problem = problem;
    u->problem_job = run->admitting->job;
    run->last_admitted = true;
}

/* Set where the next hole is; one that reaches the end of the file may cover a short last block too. */
static failure find_hole(imgcore_run *run)
{
    file *f = run->admitting;
    const imgcore_calls *calls = &run->spec.calls;

    if (!run->has_holes) {
        run->hole_start = run->hole_end = UINT64_MAX;
        return (failure){IMGCORE_OK, 0};
    }
    if (f->path)
        hostfile_next_hole(f->fd, f->is.size, run->admit_at, &run->hole_start, &run->hole_end);
    else if (calls->next_hole(calls->context, f->job, run->admit_at, &run->hole_start, &run->hole_end) != 0)
        return (failure){IMGCORE_CALL_FAILED, 0};
    if (run->hole_end <= run->admit_at || run->hole_start >= f->is.size) { /* none */
        run->has_holes = false;
        run->hole_start = run->hole_end = UINT64_MAX;
    }
    return (failure){IMGCORE_OK, 0};
}

/* Begin the next file; returns false when there is none, or no descriptor is left for it. */
static bool begin_file(imgcore_run *run)
{
    uint64_t block_size = run->spec.block_size, tail;
    bool sparse, packs;
    file *f;

    while (run->admit_chunk && run->admit_index == run->admit_chunk->count) {
        if (!run->admit_chunk->next)
            return false;
        run->admit_chunk = run->admit_chunk->next;
        run->admit_index = 0;
    }
    if (!run->admit_chunk)
        return false;
    f = &run->admit_chunk->files[run->admit_index];
    tail = f->is.size % block_size;
    sparse = f->is.blocks >= 0 && (uint64_t)f->is.blocks < f->is.size / 512 + (f->is.size % 512 != 0);
    if (f->path && (f->is.size > block_size || sparse) && run->open_files == MOST_OPEN_FILES)
        return false;
    run->admit_index++;
    run->files_left--;
    run->admitting = f;
    packs = run->spec.tails == IMGCORE_TAILS_ALL || (run->spec.tails == IMGCORE_TAILS_SMALL && f->is.size < block_size);
    packs = packs && !(f->is.flags & (IMGCORE_RAW | IMGCORE_OWN_TAIL));
    run->admit_at = 0;
    run->admit_blocks_end = packs ? f->is.size - tail : f->is.size;
    run->has_holes = sparse && run->admit_blocks_end && !(f->is.flags & IMGCORE_SOLID);
    run->hole_start = run->hole_end = 0;
    if (f->path && (f->is.size > block_size || sparse)) {
        failure problem = hostfile_open(f->path, &f->is, &f->fd);

        if (problem.code)
            admit_problem(run, problem);
        else
            run->open_files++;
    }
    return true;
}

/* Admit a block or tail that has to be read; returns false when it has to wait for memory. */
static bool admit_read(imgcore_run *run, enum unit_kind kind, uint64_t size)
{
    /* A block needs room for its compressed form too; a tail only until it is copied into a fragment. */
    uint64_t reserve = kind == UNIT_BLOCK && !stays_raw(run, run->admitting) ? 2 * size : size;
    uint8_t *raw;
    unit *u;

    assert(size && size <= run->spec.block_size && reserve <= run->budget);
    if (run->used + reserve > run->budget || run->reads_unsent + run->reads_seen >= MOST_READS)
        return false;
    raw = memory_take(run, (size_t)size);
    if (!raw) {
        admit_problem(run, (failure){IMGCORE_NO_MEMORY, 0});
        return true;
    }
    memory_reserve(run, reserve);
    u = new_unit(run, kind, STATE_READING);
    u->at = run->admit_at;
    u->size = size;
    u->reserved = reserve;
    u->payload = (payload){raw, NULL, (uint32_t)size, 0};
    u->task.kind = TASK_READ;
    pipeline_queue(run, &u->task);
    run->admit_at += size;
    return true;
}

/* Admit as many whole blocks of a hole as there are from here on; returns false when this block is not in a hole. */
static bool admit_hole(imgcore_run *run)
{
    uint64_t block_size = run->spec.block_size, end = run->admit_blocks_end, hole_end, size;
    unit *u;

    if (run->hole_start > run->admit_at)
        return false;
    hole_end = run->hole_end < end ? run->hole_end : end;
    size = hole_end - run->admit_at;
    if (hole_end != end)
        size -= size % block_size;
    if (!size)
        return false;
    u = new_unit(run, UNIT_HOLE, STATE_READ);
    u->size = size;
    u->count = size / block_size + (size % block_size != 0);
    run->admit_at += size;
    return true;
}

/* Admit the next unit of the current file; returns false when it has to wait. */
static bool admit_unit(imgcore_run *run)
{
    uint64_t left;

    if (run->admit_at < run->admit_blocks_end) {
        if (run->hole_end <= run->admit_at) {
            failure problem = find_hole(run);

            if (problem.code) {
                admit_problem(run, problem);
                return true;
            }
        }
        if (admit_hole(run))
            return true;
        left = run->admit_blocks_end - run->admit_at;
        return admit_read(run, UNIT_BLOCK, left < run->spec.block_size ? left : run->spec.block_size);
    }
    if (run->admit_at < run->admitting->is.size)
        return admit_read(run, UNIT_TAIL, run->admitting->is.size - run->admit_at);
    new_unit(run, UNIT_END, STATE_READ);
    run->admitting = NULL;
    return true;
}

bool pipeline_admit(imgcore_run *run)
{
    bool moved = false;

    while (!run->last_admitted && run->admit_end - run->emit_at < RING_SIZE) {
        if (!run->admitting && !begin_file(run)) {
            if (run->files_left || !run->no_more_files)
                break;
            new_unit(run, UNIT_LAST, STATE_READ);
            run->last_admitted = true;
        } else if (!run->last_admitted && !admit_unit(run)) {
            break;
        }
        moved = true;
    }
    return moved;
}
