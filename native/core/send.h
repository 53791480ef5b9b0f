/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts frames for the server behind the bytes that wait to be sent. A function returns false when there is no
 * connection, or no room for the frame even after oob_link_flush(). Call with the machine's lock held. */
#ifndef OOB_SEND_H
#define OOB_SEND_H

#include "context.h"

struct oob_sender {
    uint64_t reported[OOB_STATS_MAX]; /* the statistics that were sent last */
};

/* Accesses of the guest's own, asked or posted. Each is counted, and all that the context has printed counts as
 * sent. */
bool oob_send_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size, bool write,
                     uint32_t seq, uint32_t value);
bool oob_send_posted(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value);
/* Tells what the guest has read from a register that has an effect when it is read. Several reads of the same base
 * register in a row become one frame, and count as one access, as long as nothing else is put between them. */
bool oob_send_read_served(struct oob_context *context, unsigned device, unsigned reg, uint8_t value);

/* Several bytes to one port. They are counted as accesses, but do not change which output counts as sent. */
bool oob_send_block(struct oob_context *context, uint16_t port, const uint8_t *data, size_t len);
bool oob_send_gap(struct oob_context *context, uint16_t port, uint64_t lost);
bool oob_send_appeared(struct oob_context *context);
bool oob_send_gone(struct oob_context *context, enum oob_gone_reason reason);
bool oob_send_announced(struct oob_machine *machine);
/* Sends the statistics, unless they are the same as those that were sent last. */
void oob_send_stats(struct oob_machine *machine);

#endif
