/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every fuzz target has: libFuzzer's entry, a check that ends the run, and bytes that end where they end. */
#ifndef OOB_FUZZ_TARGET_H
#define OOB_FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* assert() may be compiled out, and does not say what the values were. */
#define REQUIRE(condition, ...)                                                           \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: " #condition " does not hold: ", __FILE__, __LINE__); \
            fprintf(stderr, __VA_ARGS__);                                                 \
            fputc('\n', stderr);                                                          \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

/* A block of its own: AddressSanitizer sees a read of the byte behind it. Free it. */
static inline uint8_t *exactly(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);

    REQUIRE(copy, "no memory for %zu bytes", size);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

#endif
