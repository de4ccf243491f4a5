/* test_bytes.c: zero test and hash; all lengths of the hash are tested against xxHash itself in tests/unit/engine. */
#include "bytes.h"
#include "check.h"

#include <stdlib.h>
#include <string.h>

static void zeros_of_all_lengths_and_positions(void)
{
    enum { MOST = 700 };

    for (size_t size = 0; size <= MOST; size++) {
        uint8_t *data = calloc(size + 1, 1);

        CHECK(data);
        data[size] = 1; /* must not be looked at */
        CHECK(bytes_are_zero(data, size));
        for (size_t at = 0; at < size; at += 1 + at / 20) {
            data[at] = 0x80;
            CHECK(!bytes_are_zero(data, size));
            data[at] = 0;
        }
        free(data);
    }
}

static void hash_of_nothing(void)
{
    hash128 hash = bytes_hash((const uint8_t *)"", 0);

    CHECK(hash.high == UINT64_C(0x99aa06d3014798d8) && hash.low == UINT64_C(0x6001c324468d497f));
}

static void hash_does_not_read_beyond(void)
{
    /* Exact allocations: the sanitizer sees a byte too many. */
    for (size_t size = 1; size <= 2100; size++) {
        uint8_t *data = malloc(size);
        hash128 one, two;

        CHECK(data);
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)(i * 7);
        one = bytes_hash(data, size);
        data[size - 1] ^= 1;
        two = bytes_hash(data, size);
        CHECK(one.low != two.low && one.high != two.high);
        free(data);
    }
}

int main(void)
{
    void (*tests[])(void) = {zeros_of_all_lengths_and_positions, hash_of_nothing, hash_does_not_read_beyond};

    RUN(tests);
    return 0;
}
