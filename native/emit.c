/*
 * emit.c: turns resolved units into pieces. Zeros are collected until something else comes in the same file, which may
 * be in a later call. Buffers are lent to the caller until the next one.
 */
#include "pipeline.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void lend(imgcore_run *run, imgcore_piece *piece, const payload *p, uint64_t reserved, fragment *owner)
{
    assert(run->lent_count < RING_SIZE);
    piece->compressed = p->stored != NULL;
    piece->data = (uint64_t)(uintptr_t)(p->stored ? p->stored : p->raw);
    piece->data_size = p->stored ? p->stored_size : p->raw_size;
    run->lents[run->lent_count++] = (lent){*p, reserved, owner};
}

void pipeline_take_back(imgcore_run *run)
{
    for (size_t i = 0; i < run->lent_count; i++) {
        lent *l = &run->lents[i];

        /* A fragment's buffer has the size of a block, however much of it is used. */
        memory_give(run, l->payload.raw, l->fragment ? run->spec.block_size : l->payload.raw_size);
        free(l->payload.stored);
        run->used -= l->reserved;
        if (l->fragment) {
            run->closed_fragments--;
            free(l->fragment);
        }
    }
    run->lent_count = 0;
    run->small_count = 0;
}

static void set_error(imgcore_run *run, failure problem, uint64_t job)
{
    run->state.error = problem.code;
    run->state.system_error = problem.system_error;
    run->state.job = job;
}

/* Returns whether the next unit can be emitted; false too when it has a problem, which ends the run. */
static bool is_ready(imgcore_run *run, unit *u)
{
    int state = state_of(&u->state);
    bool with_worker = state == STATE_READING || state == STATE_COMPARING || state == STATE_COMPRESSING;

    if (with_worker)
        return false;
    if (u->problem.code) {
        set_error(run, u->problem, u->problem_job);
        return false;
    }
    if (run->emit_at == run->resolve_at)
        return false;
    if (u->closes && !run->fragment_emitted) {
        if (state_of(&u->closes->state) != STATE_DONE)
            return false;
        if (u->closes->problem.code) {
            set_error(run, u->closes->problem, u->file ? u->file->job : run->job_count - 1);
            return false;
        }
    }
    return true;
}

static void emit_unit(imgcore_run *run, unit *u, imgcore_piece *piece)
{
    piece->raw_size = u->size;
    piece->number = u->number;
    switch (u->kind) {
    case UNIT_BLOCK:
        piece->kind = u->same ? IMGCORE_SAME : IMGCORE_BLOCK;
        if (!u->same)
            lend(run, piece, &u->payload, u->reserved, NULL);
        u->payload = (payload){0};
        break;
    case UNIT_TAIL:
        piece->kind = IMGCORE_TAIL;
        piece->offset = u->offset;
        piece->count = u->same;
        break;
    default:
        assert(u->kind == UNIT_END);
        piece->kind = IMGCORE_END;
        piece->number = u->file->job;
        piece->raw_size = u->file->is.size;
        break;
    }
}

/*
 * Emit as one piece the files from here on that have nothing but a tail, or nothing at all, up to the next fragment;
 * returns whether there were any.
 */
static bool emit_small(imgcore_run *run, imgcore_piece *piece)
{
    imgcore_small *first = &run->small[run->small_count], *next = first;
    const imgcore_small *room = run->small + MOST_SMALL;

    *piece = (imgcore_piece){.kind = IMGCORE_FILES};
    while (next < room && run->emit_at < run->resolve_at) {
        unit *u = ring_at(run, run->emit_at);
        bool has_tail = u->kind == UNIT_TAIL && u->at == 0;

        if (!has_tail && !(u->kind == UNIT_END && u->file->is.size == 0))
            break;
        if (!is_ready(run, u) || (u->closes && !run->fragment_emitted))
            break;
        if (has_tail && run->emit_at + 1 == run->resolve_at) /* its end is behind it */
            break;
        if (next == first)
            piece->number = u->file->job;
        *next++ = (imgcore_small){(uint32_t)u->number, u->offset, (uint32_t)u->size, u->same};
        piece->raw_size += u->size;
        run->fragment_emitted = false;
        run->emit_at += has_tail ? 2 : 1;
    }
    piece->count = (uint64_t)(next - first);
    piece->data = (uint64_t)(uintptr_t)first;
    piece->data_size = piece->count * sizeof *first;
    run->small_count += (size_t)piece->count;
    return piece->count != 0;
}

size_t pipeline_emit(imgcore_run *run, imgcore_piece *pieces, size_t max)
{
    size_t count = 0;

    while (count < max && run->emit_at < run->admit_end && !run->state.done && !run->state.error) {
        unit *u = ring_at(run, run->emit_at);
        imgcore_piece *piece = &pieces[count];

        if (!is_ready(run, u))
            break;
        if (u->kind == UNIT_HOLE || (u->kind == UNIT_BLOCK && u->zero)) {
            run->zero_count += u->kind == UNIT_HOLE ? u->count : 1;
            run->zero_size += u->size;
            run->emit_at++;
            continue;
        }
        memset(piece, 0, sizeof *piece);
        if (run->zero_count) {
            *piece = (imgcore_piece){.kind = IMGCORE_ZERO, .raw_size = run->zero_size, .count = run->zero_count};
            run->zero_count = run->zero_size = 0;
        } else if (u->closes && !run->fragment_emitted) {
            *piece = (imgcore_piece){
                .kind = IMGCORE_FRAGMENT, .number = u->closes->number, .raw_size = u->closes->payload.raw_size};
            lend(run, piece, &u->closes->payload, 0, u->closes);
            run->fragment_emitted = true;
        } else if (u->kind == UNIT_LAST) {
            run->state.done = 1;
            break;
        } else if (run->small_count == MOST_SMALL) {
            break; /* the caller takes these first */
        } else if (!emit_small(run, piece)) {
            *piece = (imgcore_piece){0};
            emit_unit(run, u, piece);
            run->fragment_emitted = false;
            run->emit_at++;
        }
        count++;
    }
    return count;
}
