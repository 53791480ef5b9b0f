/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames for the server. What is not told otherwise is false when there is no room for the frame, after
 * oob_link_flush() has tried to make some, or no connection. Call with oob_lock held. */
#ifndef OOB_SEND_H
#define OOB_SEND_H

#include "context.h"

/* An access is counted, and so is all that the context has printed: it is on its way. */
bool oob_send_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size, bool write,
                     uint32_t seq, uint32_t value);
bool oob_send_posted(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value);
bool oob_send_thre_served(struct oob_context *context, uint16_t port);
bool oob_send_taken(struct oob_context *context, unsigned range);

/* Several bytes to one port; only the accesses are counted. */
bool oob_send_block(struct oob_context *context, uint16_t port, const uint8_t *data, size_t len);
bool oob_send_gap(const struct oob_context *context, uint16_t port, uint64_t lost);
bool oob_send_appeared(struct oob_context *context);
bool oob_send_gone(struct oob_context *context, enum oob_gone_reason reason);
bool oob_send_announced(void);
/* Unless they are what was sent last. */
void oob_send_stats(void);

/* A posted byte joins those before it as long as nothing else was sent; this ends that. */
void oob_send_forget_block(void);

#endif
