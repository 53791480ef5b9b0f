/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port accesses of an L2, served: by the server, from its publications, or as an idle UART while it is away.
 * Call with oob_lock held. */
#ifndef OOB_SERVE_H
#define OOB_SERVE_H

#include <stdint.h>

#include "context.h"

/* An access of `size` (1, 2, 4) bytes of which at least one belongs to us, by vCPU `index` of the context. The
 * others are an absent device's: they read as all ones, and what is written there goes nowhere. */
uint32_t oob_serve_read(struct oob_context *context, unsigned index, uint16_t port, unsigned size);
void oob_serve_write(struct oob_context *context, unsigned index, uint16_t port, unsigned size, uint32_t value);

#endif
