/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which I/O ports are ours. Pure. */
#ifndef OOB_BUS_H
#define OOB_BUS_H

#include "types.h"

#include "oob_wire.h"

struct oob_range {
    uint16_t first, last; /* I/O ports, both included */
    uint8_t line;         /* ISA interrupt */
};

struct oob_bus {
    struct oob_range range[OOB_RANGES_MAX];
    unsigned ranges;
};

/* Which range a port belongs to, or -1. */
int oob_bus_range(const struct oob_bus *bus, uint32_t port);
/* Does an access of `size` bytes at `port` touch any range? */
bool oob_bus_touched(const struct oob_bus *bus, uint32_t port, unsigned size);

#endif
