/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bus.h"

int oob_bus_add(struct oob_bus *bus, const struct oob_device_ops *ops) {
    if (bus->devices == OOB_DEVICES_MAX)
        return -1;
    bus->device[bus->devices] = (struct oob_device){.ops = ops};
    return (int)bus->devices++;
}

bool oob_bus_touched(const struct oob_bus *bus, uint32_t port, unsigned size) {
    for (unsigned i = 0; i < bus->ranges; i++)
        if (port <= bus->range[i].last && bus->range[i].first < port + size)
            return true;
    return false;
}

bool oob_bus_add_ports(struct oob_bus *bus, uint16_t first, uint16_t last) {
    struct oob_device *device = &bus->device[bus->devices - 1];
    unsigned count = last - first + 1u;

    if (bus->ranges == OOB_RANGES_MAX || last < first || count > OOB_RANGE_PORTS_MAX ||
        oob_bus_touched(bus, first, count))
        return false;
    bus->range[bus->ranges++] = (struct oob_range){
        .first = first, .last = last, .device = (uint8_t)(bus->devices - 1), .base = device->registers};
    device->registers = (uint8_t)(device->registers + count);
    return true;
}

bool oob_bus_add_line(struct oob_bus *bus, unsigned number, unsigned line) {
    struct oob_device *device = &bus->device[number];

    if (device->lines == OOB_DEVICE_LINES_MAX || line >= OOB_ISA_LINES)
        return false;
    device->line[device->lines++] = (uint8_t)line;
    bus->lines |= (uint16_t)(1u << line);
    return true;
}

struct oob_target oob_bus_target(const struct oob_bus *bus, uint32_t port) {
    for (unsigned i = 0; i < bus->ranges; i++) {
        const struct oob_range *range = &bus->range[i];

        if (port >= range->first && port <= range->last)
            return (struct oob_target){
                .range = (int)i, .device = range->device, .reg = range->base + port - range->first};
    }
    return (struct oob_target){.range = -1};
}

uint16_t oob_bus_port(const struct oob_bus *bus, unsigned device, unsigned reg) {
    const struct oob_range *range = bus->range;

    while (range->device != device || reg < range->base || reg - range->base > (unsigned)(range->last - range->first))
        range++;
    return (uint16_t)(range->first + reg - range->base);
}
