/* test_sha256.c: known digests, odd numbers of blocks, gaps between digests; hashlib is compared in tests/unit/engine. */
#include "imgcore.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

static void one_block_of_abc(void)
{
    static const uint8_t want[32] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
        0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
    };
    uint8_t out[32];

    for (size_t salt = 0; salt <= 3; salt++) { /* however the three letters are cut */
        CHECK(imgcore_sha256_blocks((const uint8_t *)"abc" + salt, 1, 3 - salt, (const uint8_t *)"abc", salt, 0, 32, out) == 0);
        CHECK(!memcmp(out, want, 32));
        CHECK(imgcore_sha256_blocks((const uint8_t *)"abc", 1, 3 - salt, (const uint8_t *)"abc" + 3 - salt, salt, 1, 32, out) == 0);
        CHECK(!memcmp(out, want, 32));
    }
}

static void many_blocks_are_each_by_itself(void)
{
    enum { BLOCK = 512, MOST = 7, SLOT = 40 };
    uint8_t *data = malloc(BLOCK * MOST), out[MOST * SLOT], single[32];

    CHECK(data);
    for (size_t i = 0; i < BLOCK * MOST; i++)
        data[i] = (uint8_t)(i * 7 + i / 300);
    for (size_t count = 0; count <= MOST; count++) {
        memset(out, 0xee, sizeof out);
        CHECK(imgcore_sha256_blocks(data, count, BLOCK, data, 100, 0, SLOT, out) == 0);
        for (size_t i = 0; i < MOST; i++) {
            CHECK(imgcore_sha256_blocks(data + i * BLOCK, 1, BLOCK, data, 100, 0, 32, single) == 0);
            CHECK(!memcmp(out + i * SLOT, single, 32) == (i < count));
            CHECK(out[i * SLOT + 32] == 0xee);
        }
    }
    free(data);
}

int main(void)
{
    if (!imgcore_sha256_ready()) {
        puts("0 passed, 0 failed: no instructions for SHA-256 here");
        return 0;
    }
    void (*tests[])(void) = {one_block_of_abc, many_blocks_are_each_by_itself};

    RUN(tests);
    return 0;
}
