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

/* Return whether bytes are flat of which `more` that would be 1 are 0, and the rest are all values in turn. */
static bool flat_with(size_t size, size_t more)
{
    uint8_t *data = malloc(size);
    bool flat;

    CHECK(data);
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)i;
        if (data[i] == 1 && more) {
            data[i] = 0;
            more--;
        }
    }
    CHECK(!more);
    flat = bytes_are_flat(data, size);
    free(data);
    return flat;
}

/* With n of each value the sum of squares is 256 * n * n; m moved from one to another add 2 * m * m, of which 8 * n * n fit. */
static void flat_up_to_the_limit(void)
{
    CHECK(bytes_are_flat((const uint8_t *)"", 0));
    CHECK(!bytes_are_flat((const uint8_t *)"a", 1));
    CHECK(flat_with(1 << 14, 0) && flat_with(1 << 14, 64));
    CHECK(flat_with((1 << 14) + 3, 5) && !flat_with(64, 1));
}

/* Four values take all of four others, exactly what fits; then one byte more. */
static void flat_at_the_limit(void)
{
    enum { SIZE = 1 << 20, EACH = SIZE / 256, PAIRS = 4 };
    uint8_t *data = malloc(SIZE);

    CHECK(data);
    for (size_t i = 0; i < SIZE; i++) {
        data[i] = (uint8_t)i;
        if (data[i] < 2 * PAIRS)
            data[i] &= 0xfe; /* 0 has those of 1, 2 those of 3, and so on: PAIRS * 2 * EACH * EACH more */
    }
    CHECK(bytes_are_flat(data, SIZE));
    CHECK(data[SIZE - 1] == 255 && data[SIZE - 2] == 254);
    data[SIZE - 1] = 254;
    CHECK(!bytes_are_flat(data, SIZE));
    free(data);
}

static void hash_of_nothing(void)
{
    hash128 hash = bytes_hash((const uint8_t *)"", 0);

    CHECK(hash.high == UINT64_C(0x99aa06d3014798d8) && hash.low == UINT64_C(0x6001c324468d497f));
}

/* One length for each way through the algorithm; the values are those of the xxHash library. */
static void hashes_of_a_sequence(void)
{
    static const struct {
        size_t size;
        uint64_t high, low;
    } known[] = {
        {1, UINT64_C(0xa6cd5e9392000f6a), UINT64_C(0xc44bdff4074eecdb)},
        {3, UINT64_C(0x656e81c56e41fe02), UINT64_C(0xc3489259e968ad9e)},
        {4, UINT64_C(0xab5c3e7474d809db), UINT64_C(0x81a65295de8e7dde)},
        {8, UINT64_C(0xe4b9dd0b66ff3c50), UINT64_C(0xebabbd0695002ff6)},
        {9, UINT64_C(0x82ddc95bc7600767), UINT64_C(0x1c69c3f04aaed08c)},
        {16, UINT64_C(0xddf6c1254d70f767), UINT64_C(0x94eaa17b20756f46)},
        {17, UINT64_C(0x263f67af63088041), UINT64_C(0x735fe434ded90c3c)},
        {32, UINT64_C(0xa86b514658f976a5), UINT64_C(0x407920045a9a834c)},
        {33, UINT64_C(0xa943d80ce26ed292), UINT64_C(0x8b59b4dfba3c9de4)},
        {64, UINT64_C(0xa7fa95f7f23b64a7), UINT64_C(0xedae5e0312655703)},
        {65, UINT64_C(0xc12aaf5f8a1782a4), UINT64_C(0x5c95500a9909a96f)},
        {96, UINT64_C(0xdbfa0cd6e568ef54), UINT64_C(0xacb9f0967e182865)},
        {97, UINT64_C(0xbc31691d04ea6efe), UINT64_C(0xfee64835dcb60271)},
        {128, UINT64_C(0xdd9e5aa9bd51cc9c), UINT64_C(0xc6bd21ecc865f29f)},
        {129, UINT64_C(0x00433635cf8d872e), UINT64_C(0x7f4accb76587485b)},
        {160, UINT64_C(0x2282232242346ee6), UINT64_C(0x08d4baacce68f2d0)},
        {240, UINT64_C(0x89e3a0a2ee355d25), UINT64_C(0xd10beb4e0599e4b3)},
        {241, UINT64_C(0x75f4da43f23cce5a), UINT64_C(0x541b19226f0052e8)},
        {1024, UINT64_C(0x8bbb9f7af37f2f52), UINT64_C(0xdc5acf0b043c445b)},
        {1025, UINT64_C(0x20609de0583fad86), UINT64_C(0xe1d9cd946277ae26)},
        {2048, UINT64_C(0xc476f3dcec088ea1), UINT64_C(0x848d24cc268f7498)},
        {2100, UINT64_C(0x33d0826de6e5fcc0), UINT64_C(0xb21bfac9b2686b00)},
    };
    uint8_t data[2100];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        hash128 hash = bytes_hash(data, known[i].size);

        CHECK(hash.high == known[i].high && hash.low == known[i].low);
    }
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
    void (*tests[])(void) = {
        zeros_of_all_lengths_and_positions, flat_up_to_the_limit, flat_at_the_limit,
        hash_of_nothing,                    hashes_of_a_sequence, hash_does_not_read_beyond,
    };

    RUN(tests);
    return 0;
}
