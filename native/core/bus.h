/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which I/O ports belong to which of our devices. Pure. */
#ifndef OOB_BUS_H
#define OOB_BUS_H

#include "oob_wire.h"
#include "types.h"

enum {
    OOB_DEVICES_MAX = 15,                /* oob_line.drivers has a bit for each, and one for the server */
    OOB_DEVICE_LINES_MAX = 2,            /* an i8042 has two lines */
    OOB_RANGE_PORTS_MAX = OOB_REGISTERS, /* one image of a publication describes so many registers */
    OOB_ISA_LINES = 16,
};

struct oob_device_ops;

/* Adjacent ports of one device. The registers of a device are numbered through all its ranges: an i8042's port 0x60
 * is register 0, and its port 0x64, the first of another range, is register 1. */
struct oob_range {
    uint16_t first, last; /* I/O ports, both included */
    uint8_t device;
    uint8_t base; /* the number of the register at `first` */
};

/* A device that every guest of the machine has. */
struct oob_device {
    const struct oob_device_ops *ops; /* device.h */
    uint8_t lines;
    uint8_t line[OOB_DEVICE_LINES_MAX]; /* ISA interrupts, 0 to 15 */
    uint8_t registers;                  /* the number of its ports, in all its ranges together */
};

struct oob_bus {
    struct oob_range range[OOB_RANGES_MAX];
    unsigned ranges;
    struct oob_device device[OOB_DEVICES_MAX];
    unsigned devices;
    uint16_t lines; /* bit n: at least one device has ISA interrupt n */
};

/* The device and the register that an access of one byte reaches. */
struct oob_target {
    int range; /* index in oob_bus.range; -1: the port is not ours */
    unsigned device, reg;
};

/* Adds a device that has no ports yet. Returns its number, or -1 when there is no room. */
int oob_bus_add(struct oob_bus *bus, const struct oob_device_ops *ops);
/* Adds a range of ports to the device that was added last. Returns false when the range is too long, when there are
 * too many ranges, or when a device has one of these ports already. */
bool oob_bus_add_ports(struct oob_bus *bus, uint16_t first, uint16_t last);
/* Adds an ISA interrupt line (0 to 15) to a device. Returns false when there is no such line, or the device has too
 * many already. */
bool oob_bus_add_line(struct oob_bus *bus, unsigned device, unsigned line);

/* What an access of one byte at `port` reaches. */
struct oob_target oob_bus_target(const struct oob_bus *bus, uint32_t port);
/* The I/O port of a device's register. The device must have that register. */
uint16_t oob_bus_port(const struct oob_bus *bus, unsigned device, unsigned reg);
/* Does an access of `size` bytes at `port` touch a port of one of our devices? */
bool oob_bus_touched(const struct oob_bus *bus, uint32_t port, unsigned size);

#endif
