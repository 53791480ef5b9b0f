/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Do the native half and the server mean the same ranges of I/O ports (HELLO, WELCOME)? Pure. */
#ifndef OOB_RANGES_H
#define OOB_RANGES_H

#include "bus.h"

/* Fills in what HELLO says of our ranges. */
void oob_ranges_say(const struct oob_bus *bus, struct oob_hello *hello);

/* The first range that the server serves and that is none of ours, with the same length and interrupt; NULL: there is
 * none. A range of ours that the server does not serve is an absent device's. */
const struct oob_port_range *oob_ranges_missing(const struct oob_bus *bus, const struct oob_welcome *welcome);

#endif
