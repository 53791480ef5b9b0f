/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory for what guests print, asked for ahead: a vCPU that needs some takes it from here, and never waits for it.
 */
#ifndef OOB_SPARES_H
#define OOB_SPARES_H

#include "types.h"

enum {
    OOB_SPARE_BYTES = 65536, /* each */
    OOB_SPARES = 32,         /* so many are held in readiness: as many guests may begin to print at once */
};

struct oob_spares {
    uint8_t *piece[OOB_SPARES];
    unsigned count;
    void *surplus; /* what is to be freed: each begins with the address of the next */
};

/* NULL: there is none, until oob_spares_fill() is called. */
uint8_t *oob_spares_take(struct oob_spares *spares);
/* Takes back a piece, or NULL. */
void oob_spares_give(struct oob_spares *spares, uint8_t *piece);
/* Are there fewer than half of those wanted? */
bool oob_spares_low(const struct oob_spares *spares);
void oob_spares_fill(struct oob_spares *spares);
void oob_spares_empty(struct oob_spares *spares);

#endif
