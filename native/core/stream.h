/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection to the server as two buffers of bytes, and what waits in them. Nothing here waits. */
#ifndef OOB_STREAM_H
#define OOB_STREAM_H

#include "frame.h"
#include "types.h"

enum { OOB_STREAM_BROKEN = -1 };
enum { OOB_TX_MAX = 4 * OOB_FRAME_MAX, OOB_RX_MAX = 4 * OOB_FRAME_MAX };

struct oob_machine;

struct oob_stream {
    int channel; /* the connection (platform.h) */
    uint8_t tx[OOB_TX_MAX];
    size_t tx_len;
    uint64_t passed;
    size_t
        block_at;   /* of the POSTED frame at the end of `tx` that may still grow (send.c); SIZE_MAX: there is none */
    size_t read_at; /* of the READ_SERVED frame there that may still change; SIZE_MAX: there is none */
    uint8_t rx[OOB_RX_MAX];
    size_t rx_at, rx_len; /* what has not been looked at, and where all of it ends */
};

/* From now on, a welcomed connection, or OOB_CHANNEL_NONE; what waited for the one before is forgotten. */
void oob_stream_open(struct oob_machine *machine, int channel);
/* The connection is of no use any more. */
void oob_stream_shut(struct oob_machine *machine);
/* Is there a connection? */
bool oob_stream_is_open(const struct oob_machine *machine);

/* Room for `len` bytes behind what waits to be sent; NULL when there is none, or no connection. */
uint8_t *oob_stream_reserve(struct oob_machine *machine, size_t len);
/* What waits to be sent, and how much of it there is: its last bytes may still be changed. */
uint8_t *oob_stream_unsent(struct oob_machine *machine, size_t *len);
/* How much of what was ever put in on this connection is with the host: what is unsent lies behind that. */
uint64_t oob_stream_passed(const struct oob_machine *machine);
/* Sends what can be sent now. False when the connection is broken, with the reason. */
bool oob_stream_send(struct oob_machine *machine, const char **why);

/* Takes in what has arrived: how much, or OOB_STREAM_BROKEN, with the reason or, where the server closed it, NULL. */
int oob_stream_receive(struct oob_machine *machine, const char **why);
/* The next frame that has arrived whole: its length, 0 for none, or OOB_STREAM_BROKEN, with the reason. */
int oob_stream_next(struct oob_machine *machine, union oob_frame *frame, const char **why);

#endif
