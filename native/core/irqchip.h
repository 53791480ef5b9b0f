/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where does an ISA interrupt line of an L2 go? The L2 has programmed its interrupt controllers, and we have watched
 * it do so. Pure. Sources: Intel 8259A datasheet; Intel 82093AA (IOAPIC) datasheet.
 */
#ifndef OOB_IRQCHIP_H
#define OOB_IRQCHIP_H

#include "bus.h"
#include "types.h"

#define OOB_IOAPIC_BASE 0xfec00000ull
#define OOB_APIC_LDR 0xfee000d0ull /* logical destination, bits 31-24 (AMD APM vol. 2, 16.6.1) */

struct oob_pic {
    uint8_t base; /* ICW2: vector of the chip's line 0 */
    uint8_t imr;
    uint8_t next_icw; /* the number of the initialization word that comes next; 0: none. Bit 7: single mode */
    bool needs_icw4;
    bool ready;
};

struct oob_irqchip {
    struct oob_pic pic[2];
    uint32_t ioregsel;
    uint64_t redirection[24];
    uint32_t redirection_known; /* bit n: at least the low half of entry n was written */
};

struct oob_route {
    uint8_t vector;
    bool ioapic;
    uint8_t destination; /* an APIC ID or, with `logical`, a set of them; valid when `ioapic` */
    bool logical;
};

void oob_irqchip_reset(struct oob_irqchip *chip);
bool oob_irqchip_is_pic_port(uint16_t port);
void oob_irqchip_out(struct oob_irqchip *chip, uint16_t port, uint8_t value);
void oob_irqchip_mmio_write(struct oob_irqchip *chip, uint64_t gpa, uint32_t value);

/* Where does line `line` go now? Returns false when it is masked, or when the guest has programmed neither
 * controller. */
bool oob_irqchip_route(const struct oob_irqchip *chip, unsigned line, struct oob_route *route);

#endif
