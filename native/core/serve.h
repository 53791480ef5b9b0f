/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port accesses of an L2, served: by the server, from what is known of its device, or by what stands in for the
 * device while the server is away.
 * Call with the machine's lock held. */
#ifndef OOB_SERVE_H
#define OOB_SERVE_H

#include "types.h"

#include "context.h"
#include "frame.h"

/* An access of `size` (1, 2, 4) bytes of which at least one belongs to us, by vCPU `index` of the context. The
 * others are an absent device's: they read as all ones, and what is written there goes nowhere. */
uint32_t oob_serve_read(struct oob_context *context, unsigned index, uint16_t port, unsigned size);
void oob_serve_write(struct oob_context *context, unsigned index, uint16_t port, unsigned size, uint32_t value);

/* What the link tells of itself, and what arrives for a context (link.h). */
void oob_serve_frame(struct oob_context *context, const union oob_frame *frame);
/* The server is late: what is on its way will arrive, and what stands in for the devices drives the lines. */
void oob_serve_late(struct oob_context *context);

#endif
