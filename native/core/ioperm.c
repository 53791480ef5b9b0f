/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ioperm.h"

#include "machine.h"
#include "paging.h"
#include "platform.h"

#define CR0_PE 1u
#define EFLAGS_VM (1u << 17)

/* The linear address of the port's bits in the TSS. The CPU always reads two bytes there, so both must be within the
 * TSS's limit. */
static bool tss_bits(uint64_t block, const struct oob_paging *paging, uint16_t port, uint64_t *at) {
    enum { IOPB_OFFSET = 0x66, TSS_MIN_LIMIT = 103 };
    const struct oob_virt *virt = paging->machine->virt;
    uint64_t base = virt->read(paging->machine, block, OOB_STATE_TR_BASE);
    uint64_t limit = virt->read(paging->machine, block, OOB_STATE_TR_LIMIT);
    uint16_t offset;

    if (limit < TSS_MIN_LIMIT || !oob_paging_read(paging, base + IOPB_OFFSET, &offset, sizeof offset))
        return false;
    offset += port >> 3;
    *at = base + offset;
    return offset + 1u <= limit;
}

static struct oob_paging paging_of(unsigned vcpu, const struct oob_l2_vcpu *l2) {
    return oob_paging_live(l2->context, vcpu);
}

static bool tss_allows(unsigned vcpu, const struct oob_l2_vcpu *l2, uint16_t port, unsigned size) {
    struct oob_paging paging = paging_of(vcpu, l2);
    uint64_t at;
    uint16_t bits;

    if (!tss_bits(l2->block, &paging, port, &at) || !oob_paging_read(&paging, at, &bits, sizeof bits))
        return false;
    return !((bits >> (port & 7)) & ((1u << size) - 1));
}

bool oob_ioperm_tss_byte(unsigned vcpu, const struct oob_l2_vcpu *l2, uint16_t port, uint64_t *at) {
    struct oob_paging paging = paging_of(vcpu, l2);
    uint64_t linear;

    return tss_bits(l2->block, &paging, port, &linear) && oob_paging_writable(&paging, linear, at);
}

bool oob_ioperm_asks_tss(struct oob_machine *machine, unsigned vcpu) {
    uint64_t flags = oob_reg_read(machine, vcpu, OOB_REG_EFLAGS);

    if (!(oob_reg_read(machine, vcpu, OOB_REG_CR0) & CR0_PE))
        return false;
    return (flags & EFLAGS_VM) || (oob_reg_read(machine, vcpu, OOB_REG_CS) & 3) > (flags >> 12 & 3);
}

bool oob_ioperm_allows(unsigned vcpu, const struct oob_l2_vcpu *l2, uint16_t port, unsigned size) {
    return !oob_ioperm_asks_tss(l2->context->machine, vcpu) || tss_allows(vcpu, l2, port, size);
}
