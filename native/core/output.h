/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The output of one guest's device. How much of it does the server have? The last bytes are kept for a server that
 * does not have them yet. Bytes are counted from the beginning of the guest: the offset of a byte is the number of
 * bytes before it. Pure.
 */
#ifndef OOB_OUTPUT_H
#define OOB_OUTPUT_H

#include "spares.h"
#include "types.h"

enum { OOB_KEEP_MAX = OOB_SPARE_BYTES };

struct oob_output {
    uint8_t *kept;    /* the last OOB_KEEP_MAX bytes, a ring by offset; taken from the spares when first needed */
    size_t kept_len;  /* how many bytes of the ring are in use */
    uint64_t printed; /* bytes since the guest began, which is the offset of the next byte */
    uint64_t sent;    /* on this connection, bytes before this offset were sent, or reported as lost */
    uint64_t served;  /* for bytes before this offset, a server has said that it has them, or they were reported as
                         lost */
    uint64_t server_base; /* the offset at which the present server's own count of bytes began */
    uint64_t received;    /* that count, as the server said it when we connected, or as it will be when the server has
                             served all that was sent; OOB_UNKNOWN: the server knows nothing of this output */
};

#define OOB_UNKNOWN UINT64_MAX

/* Sets the output to its state before anything was printed. */
void oob_output_init(struct oob_output *output);
/* Does the same, and gives the memory of kept bytes back to the spares. */
void oob_output_reset(struct oob_output *output, struct oob_spares *spares);

/* Keeps a byte that the guest prints. Returns false when another byte, which no server has, had to go for this
 * one. */
bool oob_output_print(struct oob_output *output, struct oob_spares *spares, uint8_t value);
/* The server has served all bytes that were sent, except for the last `outstanding` ones. */
void oob_output_acknowledge(struct oob_output *output, uint64_t outstanding);
/* The server is late, but all that was sent will arrive: counts it as received. */
void oob_output_hold(struct oob_output *output);
/* At which offset must sending go on, now that a server has connected and said what it has `received`? `*lost` is
 * how many bytes directly before that offset the server lacks and nobody keeps any more. */
uint64_t oob_output_resume(struct oob_output *output, uint64_t *lost);
/* Copies up to `max` kept bytes from `offset` on. Returns how many. */
size_t oob_output_read(const struct oob_output *output, uint64_t offset, uint8_t *data, size_t max);
/* How many of the kept bytes no server has, as far as is known. */
uint64_t oob_output_unserved(const struct oob_output *output);

#endif
