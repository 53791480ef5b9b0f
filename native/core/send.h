/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames for the server. What is not told otherwise is false when there is no room for the frame, after
 * oob_link_flush() has tried to make some, or no connection. Call with the machine's lock held. */
#ifndef OOB_SEND_H
#define OOB_SEND_H

#include "context.h"

struct oob_sender {
    uint64_t reported[OOB_STATS_MAX]; /* the statistics, as they were sent last */
};

/* An access is counted, and so is all that the context has printed: it is on its way. */
bool oob_send_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size, bool write,
                     uint32_t seq, uint32_t value);
bool oob_send_posted(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value);
/* What the guest has read, where reading has an effect. Base registers that are read one after the other are one
 * frame, and one access, as long as nothing else was sent. */
bool oob_send_read_served(struct oob_context *context, unsigned device, unsigned reg, uint8_t value);

/* Several bytes to one port; only the accesses are counted. */
bool oob_send_block(struct oob_context *context, uint16_t port, const uint8_t *data, size_t len);
bool oob_send_gap(struct oob_context *context, uint16_t port, uint64_t lost);
bool oob_send_appeared(struct oob_context *context);
bool oob_send_gone(struct oob_context *context, enum oob_gone_reason reason);
bool oob_send_announced(struct oob_machine *machine);
/* Unless they are what was sent last. */
void oob_send_stats(struct oob_machine *machine);

#endif
