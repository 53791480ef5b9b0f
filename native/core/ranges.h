/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Do the native half and the server agree on the ranges of I/O ports, as HELLO and WELCOME name them? Pure. */
#ifndef OOB_RANGES_H
#define OOB_RANGES_H

#include "bus.h"

/* Fills in the ranges of HELLO. */
void oob_ranges_say(const struct oob_bus *bus, struct oob_hello *hello);

/* Returns the first range of WELCOME that we do not have with the same length and interrupt lines, or NULL when we
 * have all of them. The reverse is no error: if the server does not serve a range of ours, it has no such device. */
const struct oob_port_range *oob_ranges_missing(const struct oob_bus *bus, const struct oob_welcome *welcome);

/* Which widths may an access to our range have, when the server serves it so? The bits are those of
 * oob_port_range.widths. */
uint8_t oob_ranges_widths(const struct oob_bus *bus, const struct oob_range *range,
                          const struct oob_port_range *served);

#endif
