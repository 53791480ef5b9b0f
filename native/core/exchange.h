/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One access of a guest's, at the server: told to it, or asked of it. While the server is late it counts as away.
 * Call with the machine's lock held. */
#ifndef OOB_EXCHANGE_H
#define OOB_EXCHANGE_H

#include "context.h"

/* A write of one byte that needs no answer. False when the server is away. */
bool oob_exchange_post(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value);
/* The guest has read from a port's IIR, without the server, that THR is empty. False when the server is away. */
bool oob_exchange_thre_served(struct oob_context *context, uint16_t port);
/* The guest has read from RBR what oob_uart_take() gave. */
void oob_exchange_taken(struct oob_context *context, unsigned range);
/* An access that waits for its answer. False when the server is away, or went away meanwhile. */
bool oob_exchange_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size, bool write,
                         uint32_t *value);
/* Counts an answer that came after `ns`. */
void oob_exchange_count(uint64_t stat[OOB_STATS_MAX], uint64_t ns);

#endif
