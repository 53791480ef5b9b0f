/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ranges.h"

#include "device.h"

enum { BYTES_ALONE = 1u << 0, ALL_WIDTHS = 7 };

static uint16_t lines_of(const struct oob_device *device) {
    uint16_t lines = 0;

    for (unsigned n = 0; n < device->lines; n++)
        lines |= (uint16_t)(1u << device->line[n]);
    return lines;
}

/* A shadow knows bytes alone. What has no shadow is asked for at the server, in accesses of any width. */
static uint8_t widths_of(const struct oob_device *device) {
    return device->ops == &oob_no_shadow ? ALL_WIDTHS : BYTES_ALONE;
}

static struct oob_port_range said(const struct oob_bus *bus, const struct oob_range *range) {
    return (struct oob_port_range){
        .first = range->first,
        .length = (uint16_t)(range->last - range->first + 1),
        .lines = lines_of(&bus->device[range->device]),
        .widths = widths_of(&bus->device[range->device]),
    };
}

void oob_ranges_say(const struct oob_bus *bus, struct oob_hello *hello) {
    hello->ranges = (uint16_t)bus->ranges;
    for (unsigned i = 0; i < bus->ranges; i++)
        hello->range[i] = said(bus, &bus->range[i]);
}

static bool is_ours(const struct oob_bus *bus, const struct oob_port_range *range) {
    for (unsigned i = 0; i < bus->ranges; i++) {
        struct oob_port_range ours = said(bus, &bus->range[i]);

        if (ours.first == range->first)
            return ours.length == range->length && ours.lines == range->lines && (range->widths & BYTES_ALONE);
    }
    return false;
}

uint8_t oob_ranges_widths(const struct oob_bus *bus, const struct oob_range *range,
                          const struct oob_port_range *served) {
    return served->widths & widths_of(&bus->device[range->device]);
}

const struct oob_port_range *oob_ranges_missing(const struct oob_bus *bus, const struct oob_welcome *welcome) {
    for (unsigned i = 0; i < welcome->ranges; i++)
        if (!is_ours(bus, &welcome->range[i]))
            return &welcome->range[i];
    return NULL;
}
