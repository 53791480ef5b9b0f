/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which I/O ports belong to which of our devices. Pure. */
#ifndef OOB_BUS_H
#define OOB_BUS_H

#include "oob_wire.h"
#include "types.h"

enum {
    OOB_DEVICES_MAX = 8,
    OOB_DEVICE_LINES_MAX = 2,            /* an i8042 has two */
    OOB_RANGE_PORTS_MAX = OOB_REGISTERS, /* what one image describes */
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
    uint8_t registers;                  /* so many ports it has */
};

struct oob_bus {
    struct oob_range range[OOB_RANGES_MAX];
    unsigned ranges;
    struct oob_device device[OOB_DEVICES_MAX];
    unsigned devices;
    uint16_t lines; /* bit n: some device has ISA interrupt n */
};

/* What an access of one byte reaches. */
struct oob_target {
    int range; /* -1: nothing of ours */
    unsigned device, reg;
};

/* Adds a device without ports. Gives its number, or -1: there is no room. */
int oob_bus_add(struct oob_bus *bus, const struct oob_device_ops *ops);
/* The device that was added last has these ports, too. False when there are too many, or they belong to a device. */
bool oob_bus_add_ports(struct oob_bus *bus, uint16_t first, uint16_t last);
/* ... and this interrupt line. */
bool oob_bus_add_line(struct oob_bus *bus, unsigned device, unsigned line);

struct oob_target oob_bus_target(const struct oob_bus *bus, uint32_t port);
/* The port of a device's register. */
uint16_t oob_bus_port(const struct oob_bus *bus, unsigned device, unsigned reg);
/* Does an access of `size` bytes at `port` touch any range? */
bool oob_bus_touched(const struct oob_bus *bus, uint32_t port, unsigned size);

#endif
