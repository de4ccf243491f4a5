/* test_rows.c: inodes and listings of a small tree, byte by byte, and where the encoders stop. */
#include "check.h"
#include "rows.h"

#include <stdint.h>
#include <string.h>

enum { ROWS = 4 }; /* the root, a (file), b (symbolic link), c (file) */

static const char names[] = "\0a\0b\0cc";
static const uint32_t modes[ROWS] = {040755, 0100644, 0120777, 0104755};
static const uint32_t uids[ROWS] = {0, 7, 0, 0}, gids[ROWS] = {0, 7, 0, 4000000000u};
static const int64_t mtimes[ROWS] = {1999999999, 5000000000, 0, 0};
static const uint32_t numbers[ROWS] = {1, 2, 3, 4};
static const uint8_t types[ROWS] = {1, 2, 3, 2};
static const uint32_t parents[ROWS] = {0, 0, 0, 0};
static const imgcore_owner owners[] = {{0, 1}, {7, 0}, {4000000000u, 2}};

static uint64_t name_ats[ROWS + 1];
static uint64_t sizes[ROWS] = {0, 0x01020304, 0, 5};
static uint64_t starts[2] = {96, 0}, sparses[2] = {0, 0};
static uint32_t fragments[2] = {UINT32_MAX, 3}, offsets[2] = {0, 77}, counts[2] = {2, 0};
static const uint64_t word_ends[3] = {0, 2, 2};
static const uint32_t words[2] = {0x01000010, 0x11};
static int64_t positions[ROWS];

static imgcore_rows tree(void)
{
    CHECK(imgcore_name_ats(names, sizeof names, ROWS, name_ats) == 0);
    return (imgcore_rows){
        .count = ROWS, .names = names, .name_ats = name_ats, .modes = modes, .uids = uids, .gids = gids, .mtimes = mtimes,
        .sizes = sizes, .numbers = numbers, .types = types, .positions = positions, .owners = owners, .owner_count = 3,
    };
}

static imgcore_placed contents(void)
{
    return (imgcore_placed){starts, fragments, offsets, sparses, counts, word_ends, words};
}

static void names_are_found(void)
{
    uint64_t ats[ROWS + 1];

    CHECK(imgcore_name_ats(names, sizeof names, ROWS, ats) == 0);
    CHECK(ats[0] == 0 && ats[1] == 1 && ats[3] == 5 && ats[4] == 8);
    CHECK(imgcore_name_ats(names, sizeof names, ROWS + 1, ats) == -1);
    CHECK(imgcore_name_ats(names, sizeof names, ROWS - 1, ats) == -1);
}

static void files_are_encoded_until_one_is_none(void)
{
    static const uint8_t expected[] = {
        2, 0, 0xa4, 1, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0,                     /* type, mode, ids, time, number */
        96, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 4, 3, 2, 1,               /* start, fragment, offset, size */
        0x10, 0, 0, 1, 0x11, 0, 0, 0,                                          /* words */
    };
    static const uint32_t which[] = {1, 2, 3};
    imgcore_rows rows = tree();
    imgcore_placed placed = contents();
    uint8_t out[128];
    uint64_t size;

    CHECK(imgcore_file_inodes(&rows, &placed, which, NULL, 0, 3, 1000, out, sizeof out, &size) == 1);
    CHECK(size == sizeof expected && memcmp(out, expected, size) == 0 && positions[1] == 1000);
    CHECK(imgcore_file_inodes(&rows, &placed, which, NULL, 0, 3, 0, out, 63, &size) == 0 && size == 0); /* no room */
    CHECK(imgcore_file_inodes(&rows, &placed, which + 2, NULL, 1, 1, 8, out, sizeof out, &size) == 1);
    CHECK(size == 32 && out[2] == 0xed && out[3] == 9 && out[4] == 1 && out[6] == 2 && out[20] == 3 && out[24] == 77);
}

static void what_the_basic_form_cannot_say_is_extended(void)
{
    static const uint32_t which[] = {3}, file[] = {1};
    static const uint32_t nlinks[ROWS] = {1, 1, 1, 2};
    static const uint32_t xattrs[ROWS] = {UINT32_MAX, UINT32_MAX, UINT32_MAX, 6};
    imgcore_rows rows = tree();
    imgcore_placed placed = contents();
    uint8_t out[128];
    uint64_t size;

    rows.nlinks = nlinks;
    CHECK(imgcore_file_inodes(&rows, &placed, which, file, 0, 1, 0, out, sizeof out, &size) == 1);
    CHECK(size == 56 && out[0] == 9 && out[40] == 2 && out[44] == 3 && out[52] == 255);
    rows.nlinks = NULL;
    rows.xattrs = xattrs;
    CHECK(imgcore_file_inodes(&rows, &placed, which, file, 0, 1, 0, out, sizeof out, &size) == 1);
    CHECK(size == 56 && out[0] == 9 && out[40] == 1 && out[52] == 6);
    rows.xattrs = NULL;
    sizes[3] = (uint64_t)1 << 33;
    CHECK(imgcore_file_inodes(&rows, &placed, which, file, 0, 1, 0, out, sizeof out, &size) == 1 && size == 56 && out[28] == 2);
    sizes[3] = 5;
    sparses[1] = 4096;
    CHECK(imgcore_file_inodes(&rows, &placed, which, file, 0, 1, 0, out, sizeof out, &size) == 1 && size == 56 && out[33] == 16);
    sparses[1] = 0;
}

static void a_listing_begins_a_header_where_it_must(void)
{
    static const uint32_t dirs[] = {0}, begins[] = {1, 4};
    static const uint64_t blocks[] = {0, 500};
    static const uint8_t expected[] = {
        1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0,               /* two entries, block 0, from number 2 */
        10, 0, 0, 0, 2, 0, 0, 0, 'a', 20, 0, 1, 0, 3, 0, 0, 0, 'b',
        0, 0, 0, 0, 0xf4, 1, 0, 0, 4, 0, 0, 0,            /* the third is in the next block of inodes */
        4, 0, 0, 0, 2, 0, 1, 0, 'c', 'c',
    };
    imgcore_rows rows = tree();
    imgcore_listed listed;
    imgcore_indexed indexed[2];
    uint8_t out[128];

    positions[1] = 10, positions[2] = 20, positions[3] = IMGCORE_METADATA + 4;
    CHECK(imgcore_listings(&rows, dirs, 1, begins, blocks, 2, 0, out, &listed, indexed) == 0);
    CHECK(listed.size == sizeof expected && !listed.indexed && memcmp(out, expected, sizeof expected) == 0);
    /* The first entry ends behind the metadata block: the next begins a header, which is to be indexed. */
    CHECK(imgcore_listings(&rows, dirs, 1, begins, blocks, 2, IMGCORE_METADATA - 20, out, &listed, indexed) == 0);
    CHECK(listed.indexed == 1 && indexed[0].at == 21 && indexed[0].row == 2 && listed.size == sizeof expected + 12);
    CHECK(imgcore_listings(&rows, dirs, 1, begins, blocks, 1, 0, out, &listed, indexed) == -1); /* no such block */
}

static void directories_are_encoded_until_one_has_an_index(void)
{
    static const uint32_t which[] = {0}, subdirs[] = {3};
    static const uint64_t blocks[] = {0x0a0b};
    static const uint8_t expected[] = {
        1, 0, 0xed, 1, 1, 0, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0x0b, 0x0a, 0, 0, 5, 0, 0, 0, 103, 0, 9, 0, 55, 0, 0, 0,
    };
    static const uint32_t xattrs[ROWS] = {2, UINT32_MAX, UINT32_MAX, UINT32_MAX};
    imgcore_rows rows = tree();
    imgcore_listed listed = {100, 0};
    uint8_t out[64];
    uint64_t size;

    CHECK(imgcore_dir_inodes(&rows, which, 1, &listed, 9, blocks, 1, parents, subdirs, 55, 4, out, &size) == 1);
    CHECK(size == sizeof expected && memcmp(out, expected, size) == 0 && positions[0] == 4);
    rows.xattrs = xattrs;
    CHECK(imgcore_dir_inodes(&rows, which, 1, &listed, 9, blocks, 1, parents, subdirs, 55, 4, out, &size) == 1);
    CHECK(size == 40 && out[0] == 8 && out[16] == 5 && out[20] == 103 && out[24] == 0x0b && out[34] == 9 && out[36] == 2);
    listed.indexed = 1;
    CHECK(imgcore_dir_inodes(&rows, which, 1, &listed, 9, blocks, 1, parents, subdirs, 55, 4, out, &size) == 0 && !size);
}

int main(void)
{
    static void (*const tests[])(void) = {
        names_are_found,
        files_are_encoded_until_one_is_none,
        what_the_basic_form_cannot_say_is_extended,
        a_listing_begins_a_header_where_it_must,
        directories_are_encoded_until_one_has_an_index,
    };

    RUN(tests);
    return 0;
}
