/*
 * unpack_run.h: what unpack.c (the run: queue, threads), unpack_tree.c (directories) and unpack_file.c (one file) share.
 *
 * The caller's thread makes the directories, in walk order, and cuts the files in them into tasks: files in a row whose tails lie in one fragment go to one worker,
 * which decodes that once. A large file is made by one worker and then lies open in `bigs`, of which every worker takes
 * pieces; who ends the last piece finishes it.
 */
#ifndef IMGCORE_UNPACK_RUN_H
#define IMGCORE_UNPACK_RUN_H

#include "unpack.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

enum {
    TASK_ITEMS = 256,
    TASK_BYTES = 4 << 20,
    BIG_BYTES = 4 << 20,  /* a file from this size on is shared by the workers */
    PIECE_BYTES = 2 << 20, /* of such a file */
    KEPT_FRAGMENTS = 4,
    OPEN_LEVELS = 64,      /* directories above the one that is worked on whose descriptors are kept */
    MOST_LEFT = 16384      /* files that wait */
};

/* IMGCORE_UNPACK_*, or this: the run was stopped meanwhile. */
enum { UNPACK_STOPPED = 100 };

typedef struct trouble {
    uint32_t code;
    int32_t system_error;
    uint64_t xattr;
} trouble;

typedef struct directory {
    int fd;
    _Atomic uint64_t users; /* files in it that are not done, and the caller while it is on its way through it */
} directory;

/* A directory on the way from the root to the one that is worked on. */
typedef struct level {
    uint64_t index;      /* in spec.dirs */
    directory *dir;      /* NULL: its descriptor was given up */
} level;

typedef struct item {
    uint64_t row;
    directory *dir;
} item;

typedef struct task {
    struct task *next;
    size_t count;
    uint64_t bytes;
    uint32_t fragment;
    item items[];
} task;

typedef struct big {
    struct big *next;
    item item;
    int fd;
    uint64_t next_block;
    uint64_t next_position;
    uint32_t workers; /* that are at it */
    bool failed;
} big;

typedef struct kept_fragment {
    uint64_t used; /* by the worker's clock; 0: nothing is in it */
    uint32_t number;
    size_t size;
    uint8_t *data;
} kept_fragment;

typedef struct unpack_worker {
    struct imgcore_unpack *run;
    pthread_t thread;
    decode_state decoder;
    uint8_t *stored;
    uint8_t *raw;
    kept_fragment kept[KEPT_FRAGMENTS];
    uint64_t clock;
    uint64_t written;
} unpack_worker;

typedef struct unset_node {
    struct unset_node *next;
    imgcore_unset is;
} unset_node;

struct imgcore_unpack {
    imgcore_unpack_spec spec;
    pid_t pid;
    _Atomic bool stop;
    _Atomic uint64_t dirs; /* that are open */

    /* The caller's own. */
    task *filling;
    uint64_t *numbers; /* places in spec.dirs, by row */
    level *levels;
    size_t level_count, level_room;
    uint64_t next_dir;   /* to be made */
    uint64_t dirs_left;  /* to be finished */

    /* Under `mutex`. */
    pthread_mutex_t mutex;
    pthread_cond_t work;
    pthread_cond_t progress;
    task *first, *last;
    big *bigs;
    unset_node *unset_first, *unset_last;
    imgcore_unpack_state state;
    uint64_t wait_left, wait_dirs; /* what the caller waits for */
    bool caller_waits;

    unpack_worker *workers;
    uint32_t worker_count; /* started */
};

/* unpack.c */

/* Note an attribute that the system refused; returns false when memory is lacking. */
bool unpack_note_unset(imgcore_unpack *run, uint64_t row, uint64_t xattr, int system_error);
/* Give a directory up; the last who does closes it. */
void unpack_leave(imgcore_unpack *run, directory *dir);
/* Hand the files of a directory to the workers; returns false when memory is lacking. */
bool unpack_add(imgcore_unpack *run, directory *dir, uint64_t first, uint64_t end);

/* unpack_tree.c: by the caller's thread. Both do one directory. */

/* Make the next directory, and the links in it; `*row` is what a trouble is about. */
trouble tree_make_next(imgcore_unpack *run, uint64_t *row);
/* Give the last directory that has it not yet its metadata. */
trouble tree_finish_next(imgcore_unpack *run, bool root, uint64_t *row);
/* Give all directories up. */
void tree_close(imgcore_unpack *run);

/* unpack_file.c */

bool is_name(const char *name);
/* How many size words a file has. */
uint64_t file_blocks(const imgcore_unpack_spec *spec, uint64_t row);
/* Make the file; `*fd` is the caller's. */
trouble file_make(const imgcore_unpack_spec *spec, const item *item, int *fd);
/* Write `count` blocks from block `first` on, which lies at `position`. */
trouble file_blocks_write(unpack_worker *w, uint64_t row, int fd, uint64_t first, uint64_t count, uint64_t position);
/* Write the tail, set the size and all attributes. */
trouble file_finish(unpack_worker *w, uint64_t row, int fd);
/* Set owner, extended attributes, mode and time of a file or directory. */
trouble file_attributes(imgcore_unpack *run, uint64_t row, int fd);
struct timespec file_time(int64_t ns);
/* Remove the file again, and close it. */
void file_discard(const imgcore_unpack_spec *spec, const item *item, int fd);

#endif
