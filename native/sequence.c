/*
 * sequence.c: decides, in the order of the image, what is new.
 *
 * A content without candidate enters the table when it is looked up, before it has a number; so the units behind it can
 * be compared with it while it is still in flight. Numbers are given by the resolve cursor, which is behind: whoever
 * finds a candidate there finds its number too. When comparing says "not equal" (two contents with one hash) the resolve
 * cursor asks all other entries with that hash, itself, and adds the content as one more.
 */
#include "pipeline.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static dedup *table_of(imgcore_run *run, const unit *u)
{
    if (u->kind == UNIT_TAIL)
        return &run->tails;
    return stays_raw(run, u->file) ? &run->raw_blocks : &run->blocks;
}

static void set_problem(unit *u, uint32_t code, uint64_t job)
{
    u->problem = (failure){code, 0};
    u->problem_job = job;
}

static void add_entry(imgcore_run *run, unit *u)
{
    dedup_entry entry = {.hash = u->hash, .file = u->file, .at = u->at, .size = (uint32_t)u->size};

    u->entry = dedup_add(table_of(run, u), entry);
    if (u->entry == DEDUP_NONE)
        set_problem(u, IMGCORE_NO_MEMORY, u->file->job);
}

static void look_up(imgcore_run *run, unit *u)
{
    const dedup *table;
    uint32_t found;

    if (!run->spec.dedup || u->zero || (u->kind != UNIT_BLOCK && u->kind != UNIT_TAIL))
        return;
    if (u->file->is.flags & IMGCORE_UNSHARED)
        return;
    table = table_of(run, u);
    found = dedup_find(table, u->hash, (uint32_t)u->size, DEDUP_NONE);
    if (found == DEDUP_NONE) {
        add_entry(run, u);
        return;
    }
    u->entry = found;
    u->candidate = table->entries[found].file;
    u->candidate_at = table->entries[found].at;
    u->task.kind = TASK_COMPARE;
    set_state(&u->state, STATE_COMPARING);
    pipeline_queue(run, &u->task);
}

bool pipeline_look_up(imgcore_run *run)
{
    uint64_t start = run->lookup_at;

    while (run->lookup_at < run->admit_end) {
        unit *u = ring_at(run, run->lookup_at);

        if (state_of(&u->state) != STATE_READ || u->problem.code)
            break;
        look_up(run, u);
        run->lookup_at++;
    }
    return run->lookup_at != start;
}

/* After a collision: compare with every other entry of this hash; the unit is the same as one of them, or is added. */
static void search_again(imgcore_run *run, unit *u)
{
    dedup *table = table_of(run, u);
    uint32_t tried = u->entry, next = DEDUP_NONE;

    if (!run->scratch)
        run->scratch = malloc(run->spec.block_size);
    if (!run->scratch) {
        set_problem(u, IMGCORE_NO_MEMORY, u->file->job);
        return;
    }
    while ((next = dedup_find(table, u->hash, (uint32_t)u->size, next)) != DEDUP_NONE) {
        const dedup_entry *entry = &table->entries[next];

        if (next == tried)
            continue;
        u->problem = worker_compare(run, u->payload.raw, (uint32_t)u->size, entry->file, entry->at, run->scratch, &u->equal);
        u->problem_job = entry->file->job;
        if (u->problem.code)
            return;
        if (u->equal) {
            u->entry = next;
            return;
        }
    }
    add_entry(run, u);
}

/* What comparing found out, once it is there: which entry the unit has, and whether that is an earlier one. */
static void decide(imgcore_run *run, unit *u)
{
    if (!u->problem.code && !u->equal)
        search_again(run, u);
    u->same = u->equal;
    set_state(&u->state, STATE_READ);
}

static void release(imgcore_run *run, unit *u)
{
    memory_give(run, u->payload.raw, (size_t)u->size);
    u->payload.raw = NULL;
    run->used -= u->reserved;
    u->reserved = 0;
}

static void resolve_block(imgcore_run *run, unit *u)
{
    if (u->same) {
        u->number = table_of(run, u)->entries[u->entry].number;
        release(run, u);
        return;
    }
    u->number = run->next_block++;
    if (u->entry != DEDUP_NONE)
        table_of(run, u)->entries[u->entry].number = u->number;
    if (stays_raw(run, u->file))
        return;
    u->task.kind = TASK_COMPRESS;
    set_state(&u->state, STATE_COMPRESSING);
    pipeline_queue(run, &u->task);
}

static void close_fragment(imgcore_run *run, unit *u)
{
    fragment *closed = run->open_fragment;

    run->open_fragment = NULL;
    run->closed_fragments++;
    u->closes = closed;
    if (run->spec.raw_fragments || !run->spec.codec_count) {
        set_state(&closed->state, STATE_DONE);
        return;
    }
    closed->task.kind = TASK_FRAGMENT;
    closed->task.fragment = closed;
    set_state(&closed->state, STATE_COMPRESSING);
    pipeline_queue(run, &closed->task);
}

static bool open_fragment(imgcore_run *run)
{
    fragment *fresh = calloc(1, sizeof *fresh);

    if (!fresh)
        return false;
    fresh->payload.raw = memory_take(run, run->spec.block_size);
    if (!fresh->payload.raw) {
        free(fresh);
        return false;
    }
    fresh->number = run->next_fragment++;
    run->open_fragment = fresh;
    return true;
}

/* Returns false when the tail has to wait for a fragment to leave, or has a problem. */
static bool resolve_tail(imgcore_run *run, unit *u)
{
    dedup_entry *entry = u->entry == DEDUP_NONE ? NULL : &run->tails.entries[u->entry];
    fragment *open = run->open_fragment;

    if (u->same) {
        u->number = entry->number;
        u->offset = entry->offset;
        release(run, u);
        return true;
    }
    if (open && u->size > run->spec.block_size - open->payload.raw_size) {
        if (run->closed_fragments == run->most_closed_fragments)
            return false;
        close_fragment(run, u);
        open = NULL;
    }
    if (!open && !open_fragment(run)) {
        set_problem(u, IMGCORE_NO_MEMORY, u->file->job);
        return false;
    }
    open = run->open_fragment;
    u->number = open->number;
    u->offset = open->payload.raw_size;
    memcpy(open->payload.raw + u->offset, u->payload.raw, (size_t)u->size);
    open->payload.raw_size += (uint32_t)u->size;
    assert(open->payload.raw_size <= run->spec.block_size);
    if (entry) {
        entry->number = u->number;
        entry->offset = u->offset;
    }
    release(run, u);
    return true;
}

/* The end of a file that was read through one descriptor: is it still what it was? */
static bool resolve_end(imgcore_run *run, unit *u)
{
    file *f = u->file;

    if (f->fd < 0)
        return true;
    u->problem = hostfile_check(f->fd, &f->is);
    u->problem_job = f->job;
    close(f->fd);
    f->fd = -1;
    run->open_files--;
    return !u->problem.code;
}

/* Returns false when the unit has to wait, or has a problem. */
static bool resolve(imgcore_run *run, unit *u)
{
    switch (u->kind) {
    case UNIT_BLOCK:
        if (u->zero)
            release(run, u);
        else
            resolve_block(run, u);
        return true;
    case UNIT_TAIL:
        return resolve_tail(run, u);
    case UNIT_END:
        return resolve_end(run, u);
    case UNIT_LAST:
        if (!run->open_fragment)
            return true;
        if (run->closed_fragments == run->most_closed_fragments)
            return false;
        close_fragment(run, u);
        return true;
    default:
        return true;
    }
}

bool pipeline_resolve(imgcore_run *run)
{
    uint64_t start = run->resolve_at;

    for (; run->resolve_at < run->lookup_at; run->resolve_at++) {
        unit *u = ring_at(run, run->resolve_at);
        int state = state_of(&u->state);

        if (state == STATE_COMPARING)
            break;
        if (state == STATE_COMPARED)
            decide(run, u);
        if (u->problem.code || !resolve(run, u))
            break;
    }
    return run->resolve_at != start;
}
