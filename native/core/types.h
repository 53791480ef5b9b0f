/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The types and the four functions that a freestanding C11 program may use; in a Linux kernel, the kernel's own. */
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

/* Every compiler for a freestanding program expects these, whoever provides them. */
void *memcpy(void *restrict to, const void *restrict from, size_t len);
void *memmove(void *to, const void *from, size_t len);
void *memset(void *to, int value, size_t len);
int memcmp(const void *a, const void *b, size_t len);
#endif

#endif
