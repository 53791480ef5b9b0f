/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One access of a guest's, at the server: told to it, or asked of it. While the server is late it counts as away.
 * Call with the machine's lock held. */
#ifndef OOB_EXCHANGE_H
#define OOB_EXCHANGE_H

#include "context.h"

/* A write of one byte that needs no answer. False when the server is away. */
bool oob_exchange_post(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value);
/* The guest has read `value` from a device's register, and reading has an effect that the server is to apply. False
 * when the server is away. */
bool oob_exchange_read_served(struct oob_context *context, unsigned device, unsigned reg, uint8_t value);
/* What the server is still to be told of a device, it is told now. */
void oob_exchange_settle(struct oob_context *context, unsigned device);
/* ... of all devices of all guests. */
void oob_exchange_settle_all(struct oob_machine *machine);
/* The guest has done with a device, for the time being: what waits for company is sent. */
void oob_exchange_done(struct oob_context *context, unsigned device);
/* An access that waits for its answer. False when the server is away, or went away meanwhile. */
bool oob_exchange_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size, bool write,
                         uint32_t *value);
/* Counts an answer that came after `ns`. */
void oob_exchange_count(uint64_t stat[OOB_STATS_MAX], uint64_t ns);

#endif
