/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bus.h"

int oob_bus_range(const struct oob_bus *bus, uint32_t port) {
    for (unsigned i = 0; i < bus->ranges; i++)
        if (port >= bus->range[i].first && port <= bus->range[i].last)
            return (int)i;
    return -1;
}

bool oob_bus_touched(const struct oob_bus *bus, uint32_t port, unsigned size) {
    for (unsigned i = 0; i < bus->ranges; i++)
        if (port <= bus->range[i].last && bus->range[i].first < port + size)
            return true;
    return false;
}
