/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection to the server, as two buffers: bytes that wait to be sent, and bytes that have arrived. No function
 * here waits. */
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
    uint64_t passed; /* how many bytes of this connection the host has taken */
    size_t block_at; /* where in `tx` the last POSTED frame begins, if it may still grow (send.c); SIZE_MAX: none */
    size_t read_at;  /* where in `tx` the last READ_SERVED frame begins, if it may still change; SIZE_MAX: none */
    uint8_t rx[OOB_RX_MAX];
    size_t rx_at, rx_len; /* where in `rx` the frames begin that nobody has looked at, and where the bytes end */
};

/* Begins with a new connection, or with OOB_CHANNEL_NONE. The bytes of the connection before are forgotten. */
void oob_stream_open(struct oob_machine *machine, int channel);
/* Shuts the connection down. */
void oob_stream_shut(struct oob_machine *machine);
/* Is there a connection? */
bool oob_stream_is_open(const struct oob_machine *machine);

/* Adds `len` bytes to those that wait to be sent, for the caller to fill in. Returns NULL when there is no room, or
 * no connection. */
uint8_t *oob_stream_reserve(struct oob_machine *machine, size_t len);
/* The bytes that wait to be sent, and their number. The last of them may still be changed. */
uint8_t *oob_stream_unsent(struct oob_machine *machine, size_t *len);
/* How many bytes of this connection the host has taken so far. The unsent bytes come after these. */
uint64_t oob_stream_passed(const struct oob_machine *machine);
/* Sends what can be sent now. Returns false, with the reason, when the connection is broken. */
bool oob_stream_send(struct oob_machine *machine, const char **why);

/* Receives what has arrived. Returns the number of bytes, or OOB_STREAM_BROKEN; `*why` is then the reason, or NULL
 * when the server has closed the connection. */
int oob_stream_receive(struct oob_machine *machine, const char **why);
/* Takes the next frame that has arrived completely. Returns its length, 0 when there is none, or OOB_STREAM_BROKEN
 * with the reason. */
int oob_stream_next(struct oob_machine *machine, union oob_frame *frame, const char **why);

#endif
