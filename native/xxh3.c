/*
 * xxh3.c: XXH3-128 with seed 0 and the default secret, written from the public specification of xxHash.
 *
 * The hash only has to spread: a match is confirmed by comparing bytes, and it never reaches an image. It is XXH3 because
 * its inner loop (`accumulate`) is made of 64-bit lanes that a compiler vectorises from plain C, at memory speed. Names
 * of steps and constants are those of the specification.
 */
#include "bytes.h"

#include <string.h>

#define PRIME32_1 UINT64_C(0x9E3779B1)
#define PRIME32_2 UINT64_C(0x85EBCA77)
#define PRIME32_3 UINT64_C(0xC2B2AE3D)
#define PRIME64_1 UINT64_C(0x9E3779B185EBCA87)
#define PRIME64_2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME64_3 UINT64_C(0x165667B19E3779F9)
#define PRIME64_4 UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME64_5 UINT64_C(0x27D4EB2F165667C5)
#define PRIME_MX1 UINT64_C(0x165667919E3779F9)
#define PRIME_MX2 UINT64_C(0x9FB21C651E98DF25)

enum { LANES = 8, STRIPE = 64, SECRET_SIZE = 192, SECRET_STEP = 8, BLOCK_STRIPES = (SECRET_SIZE - STRIPE) / SECRET_STEP };

static const uint8_t secret[SECRET_SIZE] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

static inline uint32_t swap32(uint32_t x)
{
    return (x >> 24) | ((x >> 8) & 0xff00) | ((x & 0xff00) << 8) | (x << 24);
}

static inline uint64_t swap64(uint64_t x)
{
    return ((uint64_t)swap32((uint32_t)x) << 32) | swap32((uint32_t)(x >> 32));
}

/* memcpy and not shifts of bytes: compilers merge those only after they have vectorised. */
static inline uint32_t read32(const uint8_t *p)
{
    uint32_t x;

    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = swap32(x);
#endif
    return x;
}

static inline uint64_t read64(const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = swap64(x);
#endif
    return x;
}

static inline hash128 multiply(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    unsigned __int128 product = (unsigned __int128)a * b;

    return (hash128){(uint64_t)product, (uint64_t)(product >> 64)};
#else
    uint64_t low = (a & 0xffffffff) * (b & 0xffffffff), cross1 = (a >> 32) * (b & 0xffffffff);
    uint64_t cross2 = (a & 0xffffffff) * (b >> 32), high = (a >> 32) * (b >> 32);
    uint64_t middle = (low >> 32) + (cross1 & 0xffffffff) + cross2; /* at most 2^64 - 1 */

    return (hash128){(middle << 32) | (low & 0xffffffff), high + (cross1 >> 32) + (middle >> 32)};
#endif
}

static inline uint64_t multiply_fold(uint64_t a, uint64_t b)
{
    hash128 product = multiply(a, b);

    return product.low ^ product.high;
}

static inline uint64_t avalanche(uint64_t x)
{
    x ^= x >> 37;
    x *= PRIME_MX1;
    return x ^ (x >> 32);
}

static inline uint64_t avalanche_xxh64(uint64_t x)
{
    x ^= x >> 33;
    x *= PRIME64_2;
    x ^= x >> 29;
    x *= PRIME64_3;
    return x ^ (x >> 32);
}

static hash128 hash_empty(void)
{
    return (hash128){avalanche_xxh64(read64(secret + 64) ^ read64(secret + 72)),
                     avalanche_xxh64(read64(secret + 80) ^ read64(secret + 88))};
}

static hash128 hash_1_to_3(const uint8_t *data, size_t size)
{
    uint32_t low = ((uint32_t)data[0] << 16) | ((uint32_t)data[size >> 1] << 24) | data[size - 1] | ((uint32_t)size << 8);
    uint32_t high = swap32(low);

    high = (high << 13) | (high >> 19);
    return (hash128){avalanche_xxh64(low ^ (uint64_t)(read32(secret) ^ read32(secret + 4))),
                     avalanche_xxh64(high ^ (uint64_t)(read32(secret + 8) ^ read32(secret + 12)))};
}

static hash128 hash_4_to_8(const uint8_t *data, size_t size)
{
    uint64_t both = read32(data) + ((uint64_t)read32(data + size - 4) << 32);
    hash128 m = multiply(both ^ read64(secret + 16) ^ read64(secret + 24), PRIME64_1 + (size << 2));

    m.high += m.low << 1;
    m.low ^= m.high >> 3;
    m.low ^= m.low >> 35;
    m.low *= PRIME_MX2;
    m.low ^= m.low >> 28;
    m.high = avalanche(m.high);
    return m;
}

static hash128 hash_9_to_16(const uint8_t *data, size_t size)
{
    uint64_t low = read64(data), high = read64(data + size - 8);
    hash128 m = multiply(low ^ high ^ read64(secret + 32) ^ read64(secret + 40), PRIME64_1), h;

    m.low += (uint64_t)(size - 1) << 54;
    high ^= read64(secret + 48) ^ read64(secret + 56);
    m.high += high + (high & 0xffffffff) * (PRIME32_2 - 1);
    m.low ^= swap64(m.high);
    h = multiply(m.low, PRIME64_2);
    h.high += m.high * PRIME64_2;
    return (hash128){avalanche(h.low), avalanche(h.high)};
}

static inline uint64_t mix16(const uint8_t *data, const uint8_t *key)
{
    return multiply_fold(read64(data) ^ read64(key), read64(data + 8) ^ read64(key + 8));
}

static inline hash128 mix32(hash128 acc, const uint8_t *one, const uint8_t *two, const uint8_t *key)
{
    acc.low += mix16(one, key);
    acc.low ^= read64(two) + read64(two + 8);
    acc.high += mix16(two, key + 16);
    acc.high ^= read64(one) + read64(one + 8);
    return acc;
}

static hash128 finish_medium(hash128 acc, size_t size)
{
    uint64_t high = acc.low * PRIME64_1 + acc.high * PRIME64_4 + (uint64_t)size * PRIME64_2;

    return (hash128){avalanche(acc.low + acc.high), 0 - avalanche(high)};
}

static hash128 hash_17_to_128(const uint8_t *data, size_t size)
{
    hash128 acc = {size * PRIME64_1, 0};

    for (size_t i = (size - 1) / 32 + 1; i-- > 0;)
        acc = mix32(acc, data + 16 * i, data + size - 16 * (i + 1), secret + 32 * i);
    return finish_medium(acc, size);
}

static hash128 hash_129_to_240(const uint8_t *data, size_t size)
{
    hash128 acc = {size * PRIME64_1, 0};

    for (size_t at = 0; at < 128; at += 32)
        acc = mix32(acc, data + at, data + at + 16, secret + at);
    acc = (hash128){avalanche(acc.low), avalanche(acc.high)};
    for (size_t at = 128; at + 32 <= size; at += 32)
        acc = mix32(acc, data + at, data + at + 16, secret + 3 + at - 128);
    acc = mix32(acc, data + size - 16, data + size - 32, secret + 136 - 17 - 16);
    return finish_medium(acc, size);
}

static inline void accumulate(uint64_t acc[LANES], const uint8_t *data, const uint8_t *key)
{
    uint64_t value[LANES], keyed[LANES];

    for (size_t i = 0; i < LANES; i++) {
        value[i] = read64(data + 8 * i);
        keyed[i] = value[i] ^ read64(key + 8 * i);
    }
    for (size_t i = 0; i < LANES; i++)
        acc[i] += value[i ^ 1] + (keyed[i] & 0xffffffff) * (keyed[i] >> 32);
}

static inline void scramble(uint64_t acc[LANES])
{
    for (size_t i = 0; i < LANES; i++)
        acc[i] = (acc[i] ^ (acc[i] >> 47) ^ read64(secret + SECRET_SIZE - STRIPE + 8 * i)) * PRIME32_1;
}

static uint64_t merge(const uint64_t acc[LANES], const uint8_t *key, uint64_t start)
{
    for (size_t i = 0; i < LANES; i += 2)
        start += multiply_fold(acc[i] ^ read64(key + 8 * i), acc[i + 1] ^ read64(key + 8 * i + 8));
    return avalanche(start);
}

static hash128 hash_long(const uint8_t *data, size_t size)
{
    uint64_t acc[LANES] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3, PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
    size_t stripes = (size - 1) / STRIPE; /* the last, whole or not, is taken from the end instead */

    for (size_t i = 0; i < stripes; i++) {
        accumulate(acc, data + STRIPE * i, secret + SECRET_STEP * (i % BLOCK_STRIPES));
        if (i % BLOCK_STRIPES == BLOCK_STRIPES - 1)
            scramble(acc);
    }
    accumulate(acc, data + size - STRIPE, secret + SECRET_SIZE - STRIPE - 7);
    return (hash128){merge(acc, secret + 11, (uint64_t)size * PRIME64_1),
                     merge(acc, secret + SECRET_SIZE - STRIPE - 11, ~((uint64_t)size * PRIME64_2))};
}

hash128 bytes_hash(const uint8_t *data, size_t size)
{
    if (size > 240)
        return hash_long(data, size);
    if (size > 128)
        return hash_129_to_240(data, size);
    if (size > 16)
        return hash_17_to_128(data, size);
    if (size > 8)
        return hash_9_to_16(data, size);
    if (size >= 4)
        return hash_4_to_8(data, size);
    return size ? hash_1_to_3(data, size) : hash_empty();
}
