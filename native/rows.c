/* rows.c: see rows.h. Everything is written byte by byte, so that a machine's byte order does not matter. */
#include "rows.h"

#include <string.h>

enum {
    ENTRY = 8,
    HEADER = 12,
    MOST_ENTRIES = 256, /* behind one header */
    LISTING_EXTRA = 3,  /* what a directory's size counts for "." and ".." */
    EXTENDED = 7,
    NANOSECONDS = 1000000000
};

static uint8_t *put16(uint8_t *out, uint32_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
    return out + 2;
}

static uint8_t *put32(uint8_t *out, uint32_t value)
{
    return put16(put16(out, value), value >> 16);
}

static uint8_t *put64(uint8_t *out, uint64_t value)
{
    return put32(put32(out, (uint32_t)value), (uint32_t)(value >> 32));
}

static uint32_t place_of(const imgcore_rows *rows, uint32_t id)
{
    size_t low = 0, high = rows->owner_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;

        if (rows->owners[middle].id <= id)
            low = middle;
        else
            high = middle;
    }
    return rows->owners[low].place;
}

/* What all inodes begin with: 16 bytes. */
static uint8_t *put_base(const imgcore_rows *rows, uint32_t row, uint32_t type, uint8_t *out)
{
    out = put16(out, type);
    out = put16(out, rows->modes[row] & 07777);
    out = put16(out, place_of(rows, rows->uids[row]));
    out = put16(out, place_of(rows, rows->gids[row]));
    out = put32(out, (uint32_t)(rows->mtimes[row] / NANOSECONDS));
    return put32(out, rows->numbers[row]);
}

static uint32_t links_of(const imgcore_rows *rows, uint32_t row)
{
    return rows->nlinks ? rows->nlinks[row] : 1;
}

static uint32_t xattr_of(const imgcore_rows *rows, uint32_t row)
{
    return rows->xattrs ? rows->xattrs[row] : UINT32_MAX;
}

/* The inode of a file but for its words. */
static uint8_t *put_file(const imgcore_rows *rows, const imgcore_placed *placed, uint32_t row, uint64_t file, uint8_t *out)
{
    uint64_t start = placed->starts[file], size = rows->sizes[row];
    uint32_t links = links_of(rows, row), xattr = xattr_of(rows, row);

    if (placed->sparses[file] || start >> 32 || size >> 32 || links != 1 || xattr != UINT32_MAX) {
        out = put_base(rows, row, IMGCORE_ROW_FILE + EXTENDED, out);
        out = put64(put64(put64(out, start), size), placed->sparses[file]);
        out = put32(out, links);
        out = put32(put32(out, placed->fragments[file]), placed->offsets[file]);
        return put32(out, xattr);
    }
    out = put_base(rows, row, IMGCORE_ROW_FILE, out);
    out = put32(out, (uint32_t)start);
    out = put32(put32(out, placed->fragments[file]), placed->offsets[file]);
    return put32(out, (uint32_t)size);
}

int imgcore_name_ats(const char *names, size_t size, size_t count, uint64_t *out)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        const char *end = at < size ? memchr(names + at, 0, size - at) : NULL;

        if (!end)
            return -1;
        out[i] = at;
        at = (size_t)(end - names) + 1;
    }
    out[count] = at;
    return at == size ? 0 : -1;
}

size_t imgcore_file_inodes(const imgcore_rows *rows, const imgcore_placed *placed, const uint32_t *which, const uint32_t *files,
                           uint64_t first, size_t count, uint64_t at, uint8_t *out, size_t room, uint64_t *size)
{
    uint8_t *const begin = out;
    size_t done = 0;

    for (; done < count; done++) {
        uint32_t row = which[done];
        uint64_t file = files ? files[done] : first + done;

        if (rows->types[row] != IMGCORE_ROW_FILE || /* the others have no content: `file` is nobody's number */
            room - (size_t)(out - begin) < IMGCORE_INODE + (size_t)placed->counts[file] * 4)
            break;
        rows->positions[row] = (int64_t)(at + (uint64_t)(out - begin));
        out = put_file(rows, placed, row, file, out);
        if (placed->counts[file])
            for (uint64_t word = placed->word_ends[file]; word < placed->word_ends[file + 1]; word++)
                out = put32(out, placed->words[word]);
    }
    *size = (uint64_t)(out - begin);
    return done;
}

/* A listing while it is written; `header` is where the header of the current run will be put. */
typedef struct run {
    uint8_t *header;
    uint64_t start;
    uint32_t number;
    uint32_t count;
} run;

static void close_run(const run *run)
{
    if (run->count)
        put32(put32(put32(run->header, run->count - 1), (uint32_t)run->start), run->number);
}

static int fits(const run *run, uint64_t start, uint32_t number)
{
    int64_t delta = (int64_t)number - (int64_t)run->number;

    return run->count && run->count < MOST_ENTRIES && run->start == start && delta >= INT16_MIN && delta <= INT16_MAX;
}

int imgcore_listings(const imgcore_rows *rows, const uint32_t *dirs, size_t count, const uint32_t *starts,
                     const uint64_t *block_starts, size_t block_count, uint64_t begin, uint8_t *out, imgcore_listed *listed,
                     imgcore_indexed *indexed)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t block = begin / IMGCORE_METADATA;
        uint8_t *first = out;
        run run = {0};

        listed[i].indexed = 0;
        for (uint32_t row = starts[dirs[i]]; row < starts[dirs[i] + 1]; row++) {
            uint64_t position = (uint64_t)rows->positions[row];
            uint64_t now = (begin + (uint64_t)(out - first)) / IMGCORE_METADATA;
            size_t length = (size_t)(rows->name_ats[row + 1] - rows->name_ats[row] - 1);

            if (position / IMGCORE_METADATA >= block_count)
                return -1;
            if (now != block || !fits(&run, block_starts[position / IMGCORE_METADATA], rows->numbers[row])) {
                close_run(&run);
                if (now != block) { /* a header begins in each block, so that the index can name it */
                    indexed->at = (uint64_t)(out - first);
                    indexed->row = row;
                    indexed++;
                    listed[i].indexed++;
                    block = now;
                }
                run.header = out;
                run.start = block_starts[position / IMGCORE_METADATA];
                run.number = rows->numbers[row];
                run.count = 0;
                out += HEADER;
            }
            out = put16(out, (uint32_t)(position % IMGCORE_METADATA));
            out = put16(out, rows->numbers[row] - run.number);
            out = put16(out, rows->types[row]);
            out = put16(out, (uint32_t)length - 1);
            memcpy(out, rows->names + rows->name_ats[row], length);
            out += length;
            run.count++;
        }
        close_run(&run);
        listed[i].size = (uint64_t)(out - first);
        begin += listed[i].size;
    }
    return 0;
}

size_t imgcore_dir_inodes(const imgcore_rows *rows, const uint32_t *which, size_t count, const imgcore_listed *listed,
                          uint64_t begin, const uint64_t *block_starts, size_t block_count, const uint32_t *parents,
                          const uint32_t *subdirs, uint64_t root_parent, uint64_t at, uint8_t *out, uint64_t *size)
{
    uint8_t *const first = out;
    size_t done = 0;

    for (; done < count && !listed[done].indexed && begin / IMGCORE_METADATA < block_count; done++) {
        uint32_t row = which[done], offset = (uint32_t)(begin % IMGCORE_METADATA), xattr = xattr_of(rows, row);
        uint32_t block = (uint32_t)block_starts[begin / IMGCORE_METADATA];
        uint32_t bytes = (uint32_t)listed[done].size + LISTING_EXTRA; /* without an index it is a small number */
        uint32_t parent = row ? rows->numbers[parents[row]] : (uint32_t)root_parent;

        rows->positions[row] = (int64_t)(at + (uint64_t)(out - first));
        if (xattr != UINT32_MAX || bytes > UINT16_MAX) {
            out = put_base(rows, row, IMGCORE_ROW_DIR + EXTENDED, out);
            out = put32(put32(out, subdirs[done] + 2), bytes);
            out = put32(put32(out, block), parent);
            out = put32(put16(put16(out, 0), offset), xattr);
        } else {
            out = put_base(rows, row, IMGCORE_ROW_DIR, out);
            out = put32(put32(out, block), subdirs[done] + 2);
            out = put16(put16(out, bytes), offset);
            out = put32(out, parent);
        }
        begin += listed[done].size;
    }
    *size = (uint64_t)(out - first);
    return done;
}
