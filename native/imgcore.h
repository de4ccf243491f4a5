/*
 * imgcore.h: the native core of imgcore, the block pipeline without Python objects and without the GIL.
 *
 * The contract is that of imgcore/engine/protocol.py, which says what the pieces are; this file says how to drive it:
 *
 *     run = imgcore_open(&spec);             starts spec.jobs threads
 *     imgcore_push(run, files, n, paths);    hands over files, in the order of the image, any number of times;
 *                                            imgcore_push_rows does it for rows of a scanned directory
 *     imgcore_finish(run);                   says that there are no more
 *     imgcore_pull(run, pieces, max, &state) until state.done or state.error
 *     imgcore_close(run);                    stops and joins all threads, at any time
 *
 * One thread at a time may call these functions for one run. None keeps a pointer to its arguments, except `spec.calls`
 * and the functions of `spec.codecs`. Numbers are native; nothing here writes a format. Memory that the core returns is
 * its own. The child of a fork has no threads of the run: it may call imgcore_close only, which then does nothing.
 *
 * No codec is linked: `spec.codecs` carry the addresses of the codecs' functions, or `spec.calls` calls back.
 */
#ifndef IMGCORE_H
#define IMGCORE_H

#include <stddef.h>
#include <stdint.h>

/* Which calling convention `imgcore_codec.function` follows. */
enum imgcore_codec_kind {
    IMGCORE_ZLIB = 1,  /* libdeflate: alloc_compressor, zlib_compress, zlib_compress_bound, free_compressor */
    IMGCORE_ZSTD = 2,  /* createCCtx, CCtx_setParameter, compress2, compressBound, isError, freeCCtx */
    IMGCORE_XZ = 3,    /* liblzma: lzma_preset, stream_encoder, code, end */
    IMGCORE_LZ4 = 4,   /* compressBound, compress_default */
    IMGCORE_LZ4HC = 5, /* compressBound, compress_HC */
    IMGCORE_CALL = 6,  /* no function: imgcore_calls.compress */
    IMGCORE_LZ4FAST = 7 /* compressBound, compress_fast; `level` is the acceleration */
};

/* What `lc`, `lp` and `pb` are when the preset decides. */
#define IMGCORE_PRESET (-1)

/*
 * A codec in one configuration. Only XZ looks at `dict_size`, `filter` (the id of a BCJ filter before LZMA2; 0 is none),
 * `extreme` (the preset's flag) and the three parameters of LZMA.
 */
typedef struct imgcore_codec {
    uint32_t kind;
    int32_t level;
    uint32_t dict_size;
    uint32_t filter;
    uint32_t extreme;
    int32_t lc;
    int32_t lp;
    int32_t pb;
    uintptr_t function[6];
} imgcore_codec;

/*
 * Functions of the caller. They are called from any thread of the run, several at a time, except next_hole, which is
 * called by the thread inside imgcore_pull. None is called after imgcore_close has returned.
 */
typedef struct imgcore_calls {
    void *context;
    /*
     * Compress with the codec at place `codec` of the spec's; return the size, 0 when it is not below `size` (which is
     * all the room there is), -1 on failure.
     */
    int64_t (*compress)(void *context, uint32_t codec, const uint8_t *data, size_t size, uint8_t *out);
    /* Read exactly `size` bytes of the content of file `job`; return 0, or -1 on failure. */
    int (*read)(void *context, uint64_t job, uint64_t at, size_t size, uint8_t *out);
    /* Set the first hole of file `job` that ends after `at`, [size, size) if there is none; 0, or -1 on failure. */
    int (*next_hole)(void *context, uint64_t job, uint64_t at, uint64_t *start, uint64_t *end);
    /*
     * Both may be NULL. Before a block is compressed, `recall` is asked for its stored form: it returns the size of the
     * compressed bytes that it put into `out`, which has room for `size`, 0 when the block is to be stored raw, -1 when
     * it does not know. Then the block is compressed, and `keep` told by the same thread: `stored` is NULL when it is to
     * be stored raw. Blocks are `looked_at` before they are compressed (see `look`), fragments are not: the same bytes may
     * be stored in two ways.
     */
    int64_t (*recall)(void *context, const uint8_t *data, size_t size, int looked_at, uint8_t *out);
    void (*keep)(void *context, size_t size, const uint8_t *stored, size_t stored_size);
} imgcore_calls;

enum imgcore_tails { IMGCORE_TAILS_NONE = 0, IMGCORE_TAILS_SMALL = 1, IMGCORE_TAILS_ALL = 2 };

/*
 * `hash_mask` is ANDed to both halves of every hash: all ones, but for tests that force collisions. `look` is the address
 * of LZ4_compress_default, or of a function that is called in the same way, for early store; 0 asks the codec always.
 * Each block is compressed by all `codecs`, and the shortest result kept, of equals the first; without any, everything is
 * stored. `raw_blocks` and `raw_fragments` store all of these.
 */
typedef struct imgcore_spec {
    uint32_t block_size;
    uint32_t tails;
    uint32_t dedup;
    uint32_t jobs;
    uint32_t raw_blocks;
    uint32_t raw_fragments;
    uint64_t memory;
    uint64_t hash_mask;
    uintptr_t look;
    const imgcore_codec *codecs;
    uint64_t codec_count;
    imgcore_calls calls;
} imgcore_spec;

/* A path instead of which imgcore_calls.read and .next_hole are called. */
#define IMGCORE_NO_PATH UINT64_MAX
/* What `blocks` is when it says nothing of holes: the whole content is taken as data. */
#define IMGCORE_NO_HOLES (-1)

/* What a file asks for; see imgcore/engine/protocol.py. */
enum imgcore_file_flags {
    IMGCORE_RAW = 1,      /* `compress` is off */
    IMGCORE_OWN_TAIL = 2, /* `pack_tail` is off */
    IMGCORE_UNSHARED = 4, /* `dedup` is off */
    IMGCORE_SOLID = 8     /* `holes` is off */
};

/*
 * One regular file. `path_at` is where its NUL-terminated path begins in the `paths` of imgcore_push. `dev`, `ino`,
 * `size` and both times are what the opened file must show; `blocks` (of 512 bytes) tells whether it may have holes;
 * `flags` are enum imgcore_file_flags.
 */
typedef struct imgcore_file {
    uint64_t size;
    uint64_t dev;
    uint64_t ino;
    int64_t mtime_ns;
    int64_t ctime_ns;
    int64_t blocks;
    uint64_t path_at;
    uint64_t flags;
} imgcore_file;

/* As imgcore.engine.protocol.Kind. */
enum imgcore_piece_kind {
    IMGCORE_BLOCK = 1,
    IMGCORE_ZERO = 2,
    IMGCORE_SAME = 3,
    IMGCORE_TAIL = 4,
    IMGCORE_FRAGMENT = 5,
    IMGCORE_END = 6,
    IMGCORE_FILES = 7
};

/* One file of IMGCORE_FILES, as imgcore.engine.protocol.SMALL_FILE. */
typedef struct imgcore_small {
    uint32_t fragment;
    uint32_t offset;
    uint32_t size;
    uint32_t same;
} imgcore_small;

/* As imgcore.engine.protocol.Piece; `data` is valid until the next call for the run. All fields have 8 bytes. */
typedef struct imgcore_piece {
    uint64_t kind;
    uint64_t number;
    uint64_t raw_size;
    uint64_t count;
    uint64_t offset;
    uint64_t compressed;
    uint64_t data;
    uint64_t data_size;
} imgcore_piece;

enum imgcore_error {
    IMGCORE_OK = 0,
    IMGCORE_VANISHED = 1,     /* the path is gone */
    IMGCORE_REPLACED = 2,     /* the path is another file, or none that is regular */
    IMGCORE_CHANGED = 3,      /* the file has another size or time than it had */
    IMGCORE_SHRANK = 4,       /* the file ended early */
    IMGCORE_UNREADABLE = 5,   /* the system refused; see system_error */
    IMGCORE_CALL_FAILED = 6,  /* a function of imgcore_calls returned -1 */
    IMGCORE_CODEC_FAILED = 7, /* a codec failed within its own bound */
    IMGCORE_NO_MEMORY = 8
};

/* What imgcore_pull says beside the pieces. `job` is the number of the file that `error` is about. */
typedef struct imgcore_state {
    uint32_t done;   /* all pieces of all files have been given */
    uint32_t hungry; /* few files are left: push more, or finish */
    uint32_t error;
    int32_t system_error;
    uint64_t job;
} imgcore_state;

/* Nanoseconds that the threads have spent, summed up over all of them, and the most bytes that were in flight. */
typedef struct imgcore_times {
    uint64_t read_ns;
    uint64_t hash_ns;
    uint64_t verify_ns;
    uint64_t compress_ns;
    uint64_t peak_bytes;
} imgcore_times;

typedef struct imgcore_run imgcore_run;

/* Start a run; NULL when memory or threads are lacking, or when `memory` is below (2 * jobs + 4) * block_size. */
imgcore_run *imgcore_open(const imgcore_spec *spec);

/* Append `count` files; returns 0, or -1 when memory is lacking. `paths` has `paths_size` bytes. */
int imgcore_push(imgcore_run *run, const imgcore_file *files, size_t count, const char *paths, size_t paths_size);

/*
 * Files of a scanned directory (scan.h), whose columns go by row. `names` are NUL-terminated, one behind the other,
 * `name_ats` (one more than there are rows) says where each begins, `parents` in which row each is; row 0 is `top` itself,
 * a path without a slash at its end.
 */
typedef struct imgcore_host_tree {
    const char *top;
    const char *names;
    const uint64_t *name_ats;
    const uint32_t *parents;
    const uint64_t *devs;
    const uint64_t *inos;
    const uint64_t *sizes;
    const int64_t *mtimes;
    const int64_t *ctimes;
    const int64_t *blocks;
} imgcore_host_tree;

enum imgcore_push_error { IMGCORE_PUSH_MEMORY = -1, IMGCORE_PUSH_LONG = -2 };

/*
 * As imgcore_push, for `rows` of a tree, without flags. IMGCORE_PUSH_LONG when a path has more than `longest` bytes:
 * then none of them was appended.
 */
int imgcore_push_rows(imgcore_run *run, const imgcore_host_tree *tree, const uint32_t *rows, size_t count, size_t longest);

/* Say that no more files will come. */
void imgcore_finish(imgcore_run *run);

/*
 * Work for up to 100 ms and return how many of the next pieces were stored in `pieces`, at most `max`. Returns early
 * with what there is, or when `state` is hungry. After an error no more pieces come.
 */
size_t imgcore_pull(imgcore_run *run, imgcore_piece *pieces, size_t max, imgcore_state *state);

/* Read the clocks; also while the run works. In the child of a fork they stand at 0. */
void imgcore_measure(imgcore_run *run, imgcore_times *times);

/* End all threads, at the latest after the block that each works on, and free everything; NULL is fine. */
void imgcore_close(imgcore_run *run);

/* Store XXH3-128 (seed 0) of the data as two numbers, low half first; for tests. */
void imgcore_xxh3(const uint8_t *data, size_t size, uint64_t out[2]);

/* Whether this processor has instructions for SHA-256; without them imgcore_sha256_blocks must not be called. */
int imgcore_sha256_ready(void);
/*
 * Put the SHA-256 of each of `count` blocks of `block` bytes, with the salt before it or, with `salt_last`, behind it, at
 * every `slot` bytes of `out`; what is between them stays. Returns -1 without memory. Any number of threads may call it.
 */
int imgcore_sha256_blocks(const uint8_t *data, size_t count, size_t block, const uint8_t *salt, size_t salt_size, int salt_last,
                          size_t slot, uint8_t *out);

#endif
