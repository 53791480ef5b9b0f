/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "strio.h"

#include "cpu.h"
#include "segment.h"
#include "serve.h"
#include "vmcb.h"

/* A REP prefix may ask for billions of turns, and QEMU looks for interrupts where the low 16 bits of RCX become 0
 * (do_gen_rep): it is shown a count that lies so many turns above one. */
enum { TURNS_MAX = 64, INTERRUPTIBLE = 0x10000 };

void oob_string_begin(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port, unsigned size,
                      enum oob_mode mode) {
    unsigned address_size = oob_address_size(site.address, mode);
    uint64_t rcx = oob_reg_read(vcpu, OOB_REG_RCX), count = address_size == 8 ? rcx : (uint32_t)rcx;

    l2->string = (struct oob_string){.active = true, .out = site.out, .size = (uint8_t)size, .port = port};
    if (oob_l2_asks_tss(vcpu)) {
        l2->string.tss = oob_phys_read_u64(l2->vmcb + VMCB_TR_BASE);
        l2->string.tss_size = oob_phys_read_u32(l2->vmcb + VMCB_TR_LIMIT);
    }
    if (!site.rep || address_size == 2 || count <= TURNS_MAX) /* 16 bits have no room for such a count */
        return;
    l2->string.rcx = rcx;
    l2->string.count = count;
    l2->string.shown = INTERRUPTIBLE + TURNS_MAX;
    oob_reg_write(vcpu, OOB_REG_RCX, l2->string.shown);
}

unsigned oob_string_element(struct oob_l2_vcpu *l2, uint64_t linear, uint32_t *value) {
    const struct oob_string *s = &l2->string;

    if (!s->active || linear - s->tss < s->tss_size)
        return 0;
    if (s->out) {
        oob_serve_write(l2->context, l2->index, s->port, s->size, *value);
        return 0;
    }
    *value = oob_serve_read(l2->context, l2->index, s->port, s->size);
    return s->size;
}

void oob_string_end(unsigned vcpu, struct oob_l2_vcpu *l2) {
    struct oob_string *s = &l2->string;
    uint64_t turns = s->shown ? s->shown - oob_reg_read(vcpu, OOB_REG_RCX) : 0;

    if (s->shown) /* the first turn clears the upper half of what counts as 32 bits */
        oob_reg_write(vcpu, OOB_REG_RCX, turns ? s->count - turns : s->rcx);
    *s = (struct oob_string){.active = false};
}
