/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The integer types and the four memory functions that native/core uses. A freestanding C11 program may use no
 * others. In a Linux kernel these are the kernel's own. */
#ifndef OOB_TYPES_H
#define OOB_TYPES_H

#ifdef __KERNEL__
#include <linux/limits.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/types.h>
#ifndef UINT32_MAX
#define UINT32_MAX U32_MAX
#endif
#ifndef UINT64_MAX
#define UINT64_MAX U64_MAX
#endif
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A compiler may emit calls of these functions even in a freestanding program, so every host provides them. */
void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int value, size_t len);
int memcmp(const void *a, const void *b, size_t len);
#endif

#endif
