/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a server is told that was late, or away, or is another one: so that nothing is lost, and nothing is there
 * twice. Call with oob_lock held. */
#ifndef OOB_RESYNC_H
#define OOB_RESYNC_H

#include "context.h"

/* Announces a context that the server does not know yet. False when that cannot be. */
bool oob_resync_introduce(struct oob_context *context);
/* It is late: what is on its way will arrive. */
void oob_resync_hold(struct oob_context *context);
/* A new connection: what the server on it has, it will say. */
void oob_resync_announce(struct oob_context *context);
/* It is there again: it learns what the guest did meanwhile. When it is late again, this is to be called once more.
 */
void oob_resync(struct oob_context *context);
/* The guest is no more: what the server does not have of its output, then that. False when it is late again, or away:
 * this is to be called once more. */
bool oob_resync_depart(struct oob_context *departed);
/* The first of the guests that have departed, `said` to the server or not yet; NULL: there is none. */
struct oob_context *oob_resync_departed(bool said);
/* How much of a guest's output is kept that no server has, as far as is known. */
uint64_t oob_resync_unserved(const struct oob_context *context);
/* Brings the server's UARTs of a context to the registers that we know, after a restart of the guest, say. */
void oob_resync_replay(struct oob_context *context);

#endif
