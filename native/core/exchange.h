/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells the server about one access of a guest, or asks the server to answer it. In this file a server that is late
 * counts as away. Call with the machine's lock held. */
#ifndef OOB_EXCHANGE_H
#define OOB_EXCHANGE_H

#include "context.h"
#include "link.h"

/* Sends a write of one byte that needs no answer. Returns false when the server is away. */
bool oob_exchange_post(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value);
/* Tells the server that the guest has read `value` from a device's register, so that the server applies the effect
 * of the read to its device. Returns false when the server is away. */
bool oob_exchange_read_served(struct oob_context *context, unsigned device, unsigned reg, uint8_t value);
/* Tells the server of a read that the device still owes it (oob_device_ops.owes). */
void oob_exchange_settle(struct oob_context *context, unsigned device);
/* The same for all devices of all guests. */
void oob_exchange_settle_all(struct oob_machine *machine);
/* The guest is done with a device for now. Sends the posted bytes that wait for others to share a frame with. */
void oob_exchange_done(struct oob_context *context, unsigned device);
/* Sends an access and waits for its answer. Whatever the outcome is, other vCPUs may have used core meanwhile. After
 * OOB_ENDED the context must not be used. */
enum oob_outcome oob_exchange_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size,
                                     bool write, uint32_t *value);
/* Counts an answer that came after `ns` nanoseconds. */
void oob_exchange_count(uint64_t stat[OOB_STATS_MAX], uint64_t ns);

#endif
