/*
 * sha256.c: SHA-256 of many blocks of one size, for dm-verity, by the instructions that x86-64 processors have for it.
 *
 * Two blocks are hashed at a time: one chain of these instructions waits for itself most of the time, and a second one fits
 * into its gaps. Where the processor has no such instructions, imgcore_sha256_ready says so, and Python's hashlib does the
 * work. Steps and constants are those of FIPS 180-4, 6.2.
 *
 * Salt and block are put one behind the other into one buffer, with the padding of FIPS 180-4, 5.1.1 behind them.
 */
#include "imgcore.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>

#define WITH_SHA __attribute__((target("sha,sse4.1,ssse3")))

enum { PIECE = 64, DIGEST = 32, GROUPS = 16 };

static const uint32_t constants[4 * GROUPS] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* The eight words of a state, as the instructions want them: from the highest lane down. */
typedef struct {
    __m128i abef, cdgh;
} state;

int imgcore_sha256_ready(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

static inline WITH_SHA state initial(void)
{
    return (state){_mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c),
                   _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
}

/* Four rounds. `w` are the last sixteen words of the message schedule, four to a lane; group `g` begins at word 4 * g. */
static inline WITH_SHA __attribute__((always_inline)) void four(state *s, __m128i w[4], const uint8_t *piece, int g)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i *now = &w[g & 3];
    if (g < 4) {
        *now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)piece + g), swap);
    } else {
        __m128i last = w[(g + 3) & 3], before = w[(g + 2) & 3];
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*now, w[(g + 1) & 3]), _mm_alignr_epi8(last, before, 4));
        *now = _mm_sha256msg2_epu32(sum, last);
    }
    __m128i added = _mm_add_epi32(*now, _mm_load_si128((const __m128i *)constants + g));
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, added);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(added, 0x0e));
}

/* Take `count` pieces of both messages into their states. */
static WITH_SHA void take(state *one, state *two, const uint8_t *first, const uint8_t *second, size_t count)
{
    state a = *one, b = *two;
    for (; count; count--, first += PIECE, second += PIECE) {
        state old_a = a, old_b = b;
        __m128i w[4], v[4];
#pragma GCC unroll 16
        for (int g = 0; g < GROUPS; g++) {
            four(&a, w, first, g);
            four(&b, v, second, g);
        }
        a.abef = _mm_add_epi32(a.abef, old_a.abef);
        a.cdgh = _mm_add_epi32(a.cdgh, old_a.cdgh);
        b.abef = _mm_add_epi32(b.abef, old_b.abef);
        b.cdgh = _mm_add_epi32(b.cdgh, old_b.cdgh);
    }
    *one = a, *two = b;
}

static WITH_SHA void put(const state *s, uint8_t *out)
{
    uint32_t x[4], y[4]; /* f e b a, h g d c */
    _mm_storeu_si128((__m128i *)x, s->abef);
    _mm_storeu_si128((__m128i *)y, s->cdgh);
    const uint32_t words[8] = {x[3], x[2], y[3], y[2], x[1], x[0], y[1], y[0]};
    for (int i = 0; i < 8; i++)
        for (int byte = 0; byte < 4; byte++)
            out[4 * i + byte] = (uint8_t)(words[i] >> (24 - 8 * byte));
}

int imgcore_sha256_blocks(const uint8_t *data, size_t count, size_t block, const uint8_t *salt, size_t salt_size, int salt_last,
                          size_t slot, uint8_t *out)
{
    size_t length = salt_size + block, padded = (length + 1 + 8 + PIECE - 1) / PIECE * PIECE;
    size_t at = salt_last ? 0 : salt_size;
    uint8_t *message = calloc(2, padded);
    if (!message)
        return -1;
    for (int lane = 0; lane < 2; lane++) {
        uint8_t *own = message + (size_t)lane * padded;
        if (salt_size)
            memcpy(own + (salt_last ? block : 0), salt, salt_size);
        own[length] = 0x80;
        for (int byte = 0; byte < 8; byte++)
            own[padded - 1 - (size_t)byte] = (uint8_t)((uint64_t)length * 8 >> (8 * byte));
    }
    for (size_t i = 0; i < count; i += 2) {
        int both = i + 1 < count;
        memcpy(message + at, data + i * block, block);
        if (both)
            memcpy(message + padded + at, data + (i + 1) * block, block);
        state one = initial(), two = one;
        take(&one, &two, message, message + padded, padded / PIECE);
        put(&one, out + i * slot);
        if (both)
            put(&two, out + (i + 1) * slot);
    }
    free(message);
    return 0;
}
#else
int imgcore_sha256_ready(void)
{
    return 0;
}

int imgcore_sha256_blocks(const uint8_t *data, size_t count, size_t block, const uint8_t *salt, size_t salt_size, int salt_last,
                          size_t slot, uint8_t *out)
{
    (void)data, (void)count, (void)block, (void)salt, (void)salt_size, (void)salt_last, (void)slot, (void)out;
    return -1;
}
#endif
