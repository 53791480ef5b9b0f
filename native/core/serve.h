/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port accesses of an L2, served: by the server, from its publications, or as an idle UART while it is away.
 * Call with oob_lock held. */
#ifndef OOB_SERVE_H
#define OOB_SERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "context.h"

/* An access of `size` (1, 2, 4) bytes of which at least one belongs to us, by vCPU `index` of the context. The
 * others are an absent device's: they read as all ones, and what is written there goes nowhere. */
uint32_t oob_serve_read(struct oob_context *context, unsigned index, uint16_t port, unsigned size);
void oob_serve_write(struct oob_context *context, unsigned index, uint16_t port, unsigned size, uint32_t value);

/* What arrives for a context. */
/* The answer to a read, too late for the guest to get it. */
void oob_serve_answered_late(struct oob_context *context, uint16_t port, uint32_t value);
void oob_serve_irq(struct oob_context *context, const struct oob_irq *irq);
void oob_serve_publish(struct oob_context *context, const struct oob_publish *publish);
/* The server went away, or is late: the idle UART drives the lines now. */
void oob_serve_orphan(struct oob_context *context);
/* The server, which was late or away, drives the lines again. */
void oob_serve_return(struct oob_context *context);

#endif
