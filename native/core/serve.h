/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serves the port accesses of an L2. Who answers an access? The shadow, where it knows the answer, else the server.
 * While the server is late or away the shadow answers all of them. Call with the machine's lock held. */
#ifndef OOB_SERVE_H
#define OOB_SERVE_H

#include "types.h"

#include "context.h"
#include "frame.h"

/* Before the host looks up the context, it must call oob_link_turn(). Afterwards the context may have ended, because
 * the vCPU may have waited for the server while others had the lock (link.h): the host must look it up again.
 *
 * An access of `size` (1, 2, 4) bytes by vCPU `index` of the context. At least one of the bytes is at a port of
 * ours. At the other ports there is no device: they read as all ones, and writes to them do nothing. */
uint32_t oob_serve_read(struct oob_context *context, unsigned index, uint16_t port, unsigned size);
void oob_serve_write(struct oob_context *context, unsigned index, uint16_t port, unsigned size, uint32_t value);

/* Handlers of the link's events (link.h). oob_serve_frame() handles a frame that has arrived for a context. */
void oob_serve_frame(struct oob_context *context, const union oob_frame *frame);
/* The server is late: output that was sent counts as received, and the shadows drive the interrupt lines. */
void oob_serve_late(struct oob_context *context);

#endif
