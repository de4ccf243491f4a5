/* test_dedup.c: the table finds what was added, also beside entries of the same hash, and while it grows. */
#include "check.h"
#include "dedup.h"

enum { MANY = 5000 };

static dedup_entry entry_of(uint64_t hash, uint64_t number, uint32_t size)
{
    return (dedup_entry){.hash = {hash, ~hash}, .number = number, .size = size};
}

static void an_empty_table_has_nothing(void)
{
    dedup table = {0};

    CHECK(dedup_find(&table, (hash128){1, 2}, 3, DEDUP_NONE) == DEDUP_NONE);
    dedup_free(&table);
}

static void finds_all_while_it_grows(void)
{
    dedup table = {0};

    for (uint32_t i = 0; i < MANY; i++)
        CHECK(dedup_add(&table, entry_of(i * UINT64_C(0x9E3779B97F4A7C15), i, i % 7 + 1)) == i);
    for (uint32_t i = 0; i < MANY; i++) {
        hash128 hash = entry_of(i * UINT64_C(0x9E3779B97F4A7C15), 0, 0).hash;
        uint32_t found = dedup_find(&table, hash, i % 7 + 1, DEDUP_NONE);

        CHECK(found == i && table.entries[found].number == i);
        CHECK(dedup_find(&table, hash, i % 7 + 2, DEDUP_NONE) == DEDUP_NONE);
        CHECK(dedup_find(&table, hash, i % 7 + 1, found) == DEDUP_NONE);
    }
    dedup_free(&table);
    CHECK(!table.entries && !table.heads);
}

static void finds_all_of_one_hash(void)
{
    dedup table = {0};
    uint32_t found = DEDUP_NONE, count = 0;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < MANY; i++)
        dedup_add(&table, entry_of(i % 2 ? 42 : i, i, 9));
    while ((found = dedup_find(&table, entry_of(42, 0, 0).hash, 9, found)) != DEDUP_NONE) {
        sum += table.entries[found].number;
        count++;
    }
    CHECK(count == MANY / 2 + 1); /* the odd ones, and 42 itself */
    CHECK(sum == (uint64_t)(MANY / 2) * (MANY / 2) + 42);
    dedup_free(&table);
}

int main(void)
{
    void (*tests[])(void) = {an_empty_table_has_nothing, finds_all_while_it_grows, finds_all_of_one_hash};

    RUN(tests);
    return 0;
}
