/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pieces of memory for guests' output, allocated ahead. A vCPU that needs one takes it from here, so that it never
 * waits for an allocation. */
#ifndef OOB_SPARES_H
#define OOB_SPARES_H

#include "types.h"

enum {
    OOB_SPARE_BYTES = 65536, /* the size of a piece */
    OOB_SPARES = 32,         /* how many pieces are kept ready: as many guests may begin to print at once */
};

struct oob_spares {
    uint8_t *piece[OOB_SPARES];
    unsigned count;
    void *surplus; /* a list of pieces to be freed; each piece begins with the address of the next */
};

/* Takes a piece. Returns NULL when none is left, which may last until oob_spares_fill() is called. */
uint8_t *oob_spares_take(struct oob_spares *spares);
/* Gives a piece back; NULL is allowed. */
void oob_spares_give(struct oob_spares *spares, uint8_t *piece);
/* Are fewer than half of OOB_SPARES left? */
bool oob_spares_low(const struct oob_spares *spares);
/* Allocates until OOB_SPARES are there, and frees the surplus. May wait for memory. */
void oob_spares_fill(struct oob_spares *spares);
/* Frees all pieces. */
void oob_spares_empty(struct oob_spares *spares);

#endif
