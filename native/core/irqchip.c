/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "irqchip.h"

#define ICW1 0x10 /* this bit in a write to the even port begins the initialization */
#define ICW1_SINGLE 0x02
#define ICW1_NEEDS_ICW4 0x01

#define ENTRY_VECTOR 0xffu
#define ENTRY_DELIVERY (7u << 8)
#define ENTRY_DELIVERY_LOWEST (1u << 8)
#define ENTRY_LOGICAL (1u << 11)
#define ENTRY_MASKED (1u << 16)

void oob_irqchip_reset(struct oob_irqchip *chip) {
    *chip = (struct oob_irqchip){.pic = {{.imr = 0xff}, {.imr = 0xff}}};
}

bool oob_irqchip_is_pic_port(uint16_t port) {
    return (port & ~0x81) == 0x20; /* 0x20, 0x21, 0xa0, 0xa1 */
}

void oob_irqchip_out(struct oob_irqchip *chip, uint16_t port, uint8_t value) {
    struct oob_pic *pic = &chip->pic[port >> 7 & 1];

    if (!(port & 1)) {
        if (value & ICW1) {
            *pic = (struct oob_pic){.next_icw = 2, .needs_icw4 = value & ICW1_NEEDS_ICW4};
            if (value & ICW1_SINGLE)
                pic->next_icw |= 0x80;
        }
        return; /* OCW2 ends an interrupt, and OCW3 chooses what a read returns: neither changes a line's route */
    }
    switch (pic->next_icw & 0x7f) {
    case 2:
        pic->base = value & 0xf8;
        pic->next_icw = pic->next_icw & 0x80 ? (pic->needs_icw4 ? 4 : 0) : 3;
        break;
    case 3: pic->next_icw = pic->needs_icw4 ? 4 : 0; break;
    case 4: pic->next_icw = 0; break;
    default: pic->imr = value; return;
    }
    pic->ready = pic->next_icw == 0;
}

void oob_irqchip_mmio_write(struct oob_irqchip *chip, uint64_t gpa, uint32_t value) {
    unsigned entry;

    if (gpa == OOB_IOAPIC_BASE) {
        chip->ioregsel = value & 0xff;
        return;
    }
    if (gpa != OOB_IOAPIC_BASE + 0x10 || chip->ioregsel < 0x10)
        return;
    entry = (chip->ioregsel - 0x10) / 2;
    if (entry >= 24)
        return;
    if (chip->ioregsel & 1) {
        chip->redirection[entry] = (chip->redirection[entry] & 0xffffffffu) | (uint64_t)value << 32;
    } else {
        chip->redirection[entry] = (chip->redirection[entry] & ~0xffffffffull) | value;
        chip->redirection_known |= 1u << entry;
    }
}

static bool ioapic_route(const struct oob_irqchip *chip, unsigned line, struct oob_route *route) {
    uint64_t entry = chip->redirection[line];
    uint32_t delivery = entry & ENTRY_DELIVERY;

    if (!(chip->redirection_known & 1u << line) || (entry & ENTRY_MASKED) || (entry & ENTRY_VECTOR) < 16)
        return false;
    if (delivery && delivery != ENTRY_DELIVERY_LOWEST)
        return false;
    *route = (struct oob_route){.vector = entry & ENTRY_VECTOR,
                                .ioapic = true,
                                .destination = (uint8_t)(entry >> 56),
                                .logical = entry & ENTRY_LOGICAL};
    return true;
}

static bool pic_route(const struct oob_irqchip *chip, unsigned line, struct oob_route *route) {
    const struct oob_pic *pic = &chip->pic[line >> 3];

    if (!pic->ready || (pic->imr & 1u << (line & 7)))
        return false;
    if (line >= 8 && (!chip->pic[0].ready || (chip->pic[0].imr & 1u << 2)))
        return false; /* the second chip's interrupts come by line 2 of the first, which is masked */
    *route = (struct oob_route){.vector = pic->base + (line & 7)};
    return true;
}

bool oob_irqchip_route(const struct oob_irqchip *chip, unsigned line, struct oob_route *route) {
    if (line >= OOB_ISA_LINES)
        return false;
    /* A kernel has programmed both while it moves from the PIC to the IOAPIC. The IOAPIC counts then. */
    return ioapic_route(chip, line, route) || pic_route(chip, line, route);
}
