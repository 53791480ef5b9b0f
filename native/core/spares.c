/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "spares.h"

#include "platform.h"

uint8_t *oob_spares_take(struct oob_spares *spares) {
    return spares->count ? spares->piece[--spares->count] : NULL;
}

void oob_spares_give(struct oob_spares *spares, uint8_t *piece) {
    if (piece && spares->count < OOB_SPARES)
        spares->piece[spares->count++] = piece;
    else if (piece) {
        memcpy(piece, &spares->surplus, sizeof spares->surplus);
        spares->surplus = piece;
    }
}

bool oob_spares_low(const struct oob_spares *spares) {
    return spares->count < OOB_SPARES / 2;
}

static void free_surplus(struct oob_spares *spares) {
    while (spares->surplus) {
        void *piece = spares->surplus;

        memcpy(&spares->surplus, piece, sizeof spares->surplus);
        oob_free(piece);
    }
}

void oob_spares_fill(struct oob_spares *spares) {
    free_surplus(spares);
    while (spares->count < OOB_SPARES) {
        uint8_t *piece = oob_alloc(OOB_SPARE_BYTES);

        if (!piece)
            return;
        spares->piece[spares->count++] = piece;
    }
}

void oob_spares_empty(struct oob_spares *spares) {
    free_surplus(spares);
    while (spares->count)
        oob_free(oob_spares_take(spares));
}
