/* check.h: a test is a function without arguments; a CHECK that fails ends the program. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            printf("0 passed, 1 failed: %s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

/* Run all tests of an array. */
#define RUN(tests)                                                  \
    do {                                                            \
        size_t count = sizeof(tests) / sizeof *(tests);             \
        for (size_t i = 0; i < count; i++)                          \
            (tests)[i]();                                           \
        printf("%zu passed, 0 failed\n", count);                    \
    } while (0)

#endif
