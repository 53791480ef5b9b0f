/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection to the server (docs/wire-protocol.md). Call with oob_lock held. */
#ifndef OOB_LINK_H
#define OOB_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "context.h"

/* How long a vCPU waits for the server before it goes on without it, in ms. */
enum { OOB_PATIENCE_MS = 100 };

bool oob_link_up(void); /* it is there, and not late */

/* In what follows, the server counts as away while it is late. */

/* A write of one byte that needs no answer. False when the server is away. */
bool oob_link_post(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value);
/* The guest has read from a port's IIR, without us, that THR is empty. False when the server is away. */
bool oob_link_thre_served(struct oob_context *context, uint16_t port);
/* The guest has read from RBR what oob_uart_take() gave. */
void oob_link_taken(struct oob_context *context, unsigned range);
/* An access that waits for its answer. False when the server is away, or went away meanwhile. */
bool oob_link_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size, bool write,
                     uint32_t *value);
/* The guest is no more. True when that, or what it has printed, is still to be told: its context is to be kept as it
 * is until oob_context_end() is called for it. */
bool oob_link_gone(struct oob_context *context, enum oob_gone_reason reason);
/* There is no room for its last words any more, before a server has got them: that is counted, and said. */
void oob_link_give_up(struct oob_context *departed);
/* Sends what is buffered and takes in what has arrived; never waits for the server to answer. */
void oob_link_poll(void);
/* Has a server that was late come back? To be called before an access is noted, never between that and its sending:
 * what the guests did meanwhile is sent then, and what is noted already would be sent twice. */
void oob_link_look(void);
/* Sends what is buffered; waits for room. False when the server is away. */
bool oob_link_flush(void);
void oob_link_flush_soon(void);
uint64_t oob_link_polled_ns(void); /* when something was last taken in */

/* For the connecting thread (connector.c): a welcomed connection, what is due on it, and its end. */
void oob_link_adopt(int fd);
short oob_link_interest(int fd); /* what else than a hang-up is to be waited for (poll(2)) */
void oob_link_service(int fd);
void oob_link_hung_up(int fd);
/* QEMU ends: sends what waits, and the last statistics. */
void oob_link_end(void);
void oob_link_complain(const char *what, const char *detail);
#endif
