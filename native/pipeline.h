/*
 * pipeline.h: what the parts of the pipeline share.
 *
 * The image is a sequence of `unit`s: a block, a tail, a run of holes, the end of a file. They live in a ring, and four
 * cursors of the coordinator (the thread inside imgcore_pull) walk over it, each behind the one before:
 *
 *     admit    cuts the next file into units, reserves memory for them and sends reading to the workers (admit.c)
 *     look up  asks the dedup table for content like this; a candidate is sent to the workers to be compared
 *     resolve  decides: new or known; gives numbers, packs tails, sends compressing to the workers (sequence.c)
 *     emit     turns units into pieces (emit.c)
 *
 * All order is made by these cursors, none by the workers: so the pieces do not depend on how fast anything was. What
 * workers share with the coordinator is the queue of tasks, under one mutex, and the `state` of units and fragments, with
 * which buffers and results change hands. All else belongs to the coordinator alone.
 *
 * Memory: admit reserves a unit's raw and stored bytes before anything of it is allocated, in order, and the first unit
 * in the ring always has what it needs; fragments have a reserve of their own. So nobody waits for memory that only a
 * later unit could free.
 */
#ifndef IMGCORE_PIPELINE_H
#define IMGCORE_PIPELINE_H

#include "bytes.h"
#include "codec.h"
#include "dedup.h"
#include "hostfile.h"
#include "imgcore.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

enum {
    RING_SIZE = 16384,    /* units in flight; a power of two */
    MOST_OPEN_FILES = 64, /* files of several units that are open at once */
    MOST_READS = 256,     /* tasks of reading that wait: further ahead only costs memory */
    LOW_WATER = 64,       /* with fewer tasks waiting, workers wake the coordinator */
    FILES_PER_CHUNK = 1024,
    MOST_SMALL = 8192, /* small files that one pull gives out */
    HUNGRY_BELOW = 1024, /* files left */
    PULL_MS = 100
};

/* A file and where the admit cursor left it. Stays until the end: duplicates are compared with it. */
typedef struct file {
    imgcore_file is;
    uint64_t job;
    const char *path; /* NULL: imgcore_calls.read */
    int fd; /* of a file of several units, while it is in flight; else -1 */
} file;

typedef struct file_chunk {
    struct file_chunk *next;
    size_t count;
    char *paths;
    file files[];
} file_chunk;

enum unit_kind { UNIT_BLOCK, UNIT_TAIL, UNIT_HOLE, UNIT_END, UNIT_LAST };

/* Where a unit is; the states ending in ING belong to a worker. Others are the coordinator's, as are all the fields. */
enum unit_state { STATE_READING, STATE_READ, STATE_COMPARING, STATE_COMPARED, STATE_COMPRESSING, STATE_DONE };

enum task_kind { TASK_READ, TASK_COMPARE, TASK_COMPRESS, TASK_FRAGMENT };

typedef struct task {
    struct task *next;
    enum task_kind kind;
    struct unit *unit;
    struct fragment *fragment;
} task;

/* Bytes on their way into the image. `stored` is NULL when `raw` is to be stored as it is. */
typedef struct payload {
    uint8_t *raw;
    uint8_t *stored;
    uint32_t raw_size;
    uint32_t stored_size;
} payload;

typedef struct fragment {
    task task;
    _Atomic int state; /* STATE_COMPRESSING or STATE_DONE once it is closed */
    payload payload;
    uint64_t number;
    failure problem;
} fragment;

typedef struct unit {
    task task;
    _Atomic int state;
    enum unit_kind kind;
    file *file;
    uint64_t at;
    uint64_t size; /* at most the block size but for holes */
    uint64_t count;
    uint64_t reserved;
    payload payload;
    bool zero;
    bool equal; /* the answer to comparing */
    bool same;
    hash128 hash;
    uint32_t entry; /* this unit's in the dedup table, or the candidate's */
    const file *candidate;
    uint64_t candidate_at;
    uint64_t number;
    uint32_t offset;
    fragment *closes; /* the fragment that did not take this tail */
    failure problem;
    uint64_t problem_job;
} unit;

/* A buffer that imgcore_pull gave out; freed in the next call. */
typedef struct lent {
    payload payload;
    uint64_t reserved;
    fragment *fragment;
} lent;

typedef struct worker {
    struct imgcore_run *run;
    pthread_t thread;
    codec_state *codecs;
    uint8_t *scratch; /* as many bytes as each codec_bound(block_size) */
    imgcore_times times; /* under the mutex */
} worker;

struct imgcore_run {
    imgcore_spec spec;
    imgcore_codec *codecs; /* what spec.codecs points to */
    pid_t pid;

    /* Under `mutex`. */
    pthread_mutex_t mutex;
    pthread_cond_t work;
    pthread_cond_t progress;
    task *urgent_first, *urgent_last; /* comparing and compressing: they free memory */
    task *reads_first, *reads_last;
    size_t reads_waiting, urgent_waiting;
    uint64_t finished; /* tasks */
    bool coordinator_waits;
    bool stop;

    worker *workers;
    uint32_t worker_count; /* started */

    /* Tasks made since the last look at the queue, in order. */
    task *new_first, *new_last;
    size_t reads_unsent;
    size_t reads_seen; /* that were waiting at the last look at the queue */

    /* Files. */
    file_chunk *chunks, *last_chunk, *admit_chunk;
    size_t admit_index;
    uint64_t job_count, files_left;
    bool no_more_files;

    /* The admit cursor inside a file. */
    file *admitting;
    uint64_t admit_at, admit_blocks_end, hole_start, hole_end;
    bool has_holes;
    bool last_admitted;
    uint32_t open_files;

    /* The ring: positions only grow. */
    unit *ring;
    uint64_t emit_at, resolve_at, lookup_at, admit_end;

    uint64_t budget, used, peak;
    uint64_t fixed_bytes; /* scratch and fragments, for `peak` */
    uint8_t **free_blocks; /* raw buffers of block_size */
    size_t free_block_count, free_block_room;

    dedup blocks, raw_blocks, tails; /* raw_blocks: that are to be stored raw */
    uint64_t next_block;
    fragment *open_fragment;
    uint64_t next_fragment;
    uint32_t closed_fragments, most_closed_fragments;
    uint8_t *scratch; /* for the coordinator's own comparing after a collision */

    /* The emit cursor. */
    uint64_t zero_count, zero_size;
    bool fragment_emitted;
    lent *lents;
    size_t lent_count;
    imgcore_small *small;
    size_t small_count;
    imgcore_state state;
};

/* admit.c: admit what there is room for; returns whether anything was. */
bool pipeline_admit(imgcore_run *run);

/* sequence.c: move the cursors as far as they go; return whether they moved. */
bool pipeline_look_up(imgcore_run *run);
bool pipeline_resolve(imgcore_run *run);

/* emit.c: store pieces, at most `max`; returns how many. Sets `run->state`. */
size_t pipeline_emit(imgcore_run *run, imgcore_piece *pieces, size_t max);
/* Free what the last pull gave out. */
void pipeline_take_back(imgcore_run *run);

/* worker.c: the thread function of a worker; and comparing, which the coordinator does itself after a collision. */
void *worker_main(void *argument);
failure worker_compare(const imgcore_run *run, const uint8_t *raw, uint32_t size, const file *other, uint64_t at,
                       uint8_t *scratch, bool *equal);

/* memory.c: raw buffers, by the coordinator only; NULL when memory is lacking. */
uint8_t *memory_take(imgcore_run *run, size_t size);
void memory_give(imgcore_run *run, uint8_t *buffer, size_t size);
void memory_reserve(imgcore_run *run, uint64_t size);

/* Queue a task; it is sent when the coordinator has nothing else to do (pipeline.c). */
void pipeline_queue(imgcore_run *run, task *task);

static inline unit *ring_at(imgcore_run *run, uint64_t position)
{
    return &run->ring[position & (RING_SIZE - 1)];
}

/* Whether a file's blocks are stored raw, whatever a codec could do. */
static inline bool stays_raw(const imgcore_run *run, const file *f)
{
    return run->spec.raw_blocks || !run->spec.codec_count || f->is.flags & IMGCORE_RAW;
}

static inline int state_of(_Atomic int *state)
{
    return atomic_load_explicit(state, memory_order_acquire);
}

static inline void set_state(_Atomic int *state, int value)
{
    atomic_store_explicit(state, value, memory_order_release);
}

#endif
