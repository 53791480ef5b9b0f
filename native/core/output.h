/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest has put on a line: how much of it the server has, and the last of it, for a server that has not. Bytes
 * are counted from the beginning of the guest: an offset is the number of bytes before a byte. Pure.
 */
#ifndef OOB_OUTPUT_H
#define OOB_OUTPUT_H

#include "spares.h"
#include "types.h"

enum { OOB_KEEP_MAX = OOB_SPARE_BYTES };

struct oob_output {
    uint8_t *kept;        /* the last OOB_KEEP_MAX bytes, by offset; taken from the spares when first needed */
    size_t kept_len;      /* how many of them there are */
    uint64_t printed;     /* bytes since the guest began: the offset of the next one */
    uint64_t sent;        /* up to this offset, they are on their way, or were told as lost, on this connection */
    uint64_t served;      /* up to this offset, a server has said that it has them, or they were told as lost */
    uint64_t server_base; /* the offset at which the present server's own count began */
    uint64_t received; /* that count, as it said when we connected, or as it will be when it has served all that was
                        * sent; OOB_UNKNOWN: it knows nothing of them */
};

#define OOB_UNKNOWN UINT64_MAX

/* Before anything was printed. */
void oob_output_init(struct oob_output *output);
/* The same, and what it has kept is given back. */
void oob_output_reset(struct oob_output *output, struct oob_spares *spares);

/* False when a byte that no server has was given up for this one. */
bool oob_output_print(struct oob_output *output, struct oob_spares *spares, uint8_t value);
/* The server has served all but the last `outstanding` bytes. */
void oob_output_acknowledge(struct oob_output *output, uint64_t outstanding);
/* The server is late: what was sent will arrive. */
void oob_output_hold(struct oob_output *output);
/* Where a server that has just connected, and has said what it `received`, is to go on; `lost`: how many bytes before
 * that are gone for good. */
uint64_t oob_output_resume(struct oob_output *output, uint64_t *lost);
/* Up to `max` bytes from `offset` on. */
size_t oob_output_read(const struct oob_output *output, uint64_t offset, uint8_t *data, size_t max);
/* How much is kept that no server has, as far as is known. */
uint64_t oob_output_unserved(const struct oob_output *output);

#endif
