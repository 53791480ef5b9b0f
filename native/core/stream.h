/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The socket to the server, and what waits at both ends of it. Nothing here waits. Call with oob_lock held. */
#ifndef OOB_STREAM_H
#define OOB_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"

enum { OOB_STREAM_BROKEN = -1 };

/* From now on, a welcomed connection; what waited for the one before is forgotten. */
void oob_stream_open(int fd);
/* The connection is of no use any more. Whoever made it closes the descriptor. */
void oob_stream_shut(void);
int oob_stream_fd(void); /* -1: there is none */

/* Room for `len` bytes behind what waits to be sent; NULL when there is none, or no connection. */
uint8_t *oob_stream_reserve(size_t len);
/* What waits to be sent, and how much of it there is: its last bytes may still be changed. */
uint8_t *oob_stream_unsent(size_t *len);
/* How much of what was ever put in on this connection is with the socket: what is unsent lies behind that. */
uint64_t oob_stream_passed(void);
/* Sends what can be sent now. False when the connection is broken, with the reason. */
bool oob_stream_send(const char **why);

/* Takes in what has arrived: how much, or OOB_STREAM_BROKEN, with the reason or, where the server closed it, NULL. */
int oob_stream_receive(const char **why);
/* The next frame that has arrived whole: its length, 0 for none, or OOB_STREAM_BROKEN, with the reason. */
int oob_stream_next(union oob_frame *frame, const char **why);

#endif
