/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "segment.h"

#include "cpu.h"
#include "vmcb.h"
#include "walk.h"

#define CR0_PE 1u
#define EFLAGS_VM (1u << 17)
#define EFER_LMA (1u << 10)
#define DESCRIPTOR_L (1ull << 53)
#define DESCRIPTOR_D (1ull << 54)
#define SELECTOR_LDT 4u

/* Real mode and virtual-8086 mode: a selector is an address. */
static bool is_8086(unsigned vcpu) {
    return !(oob_reg_read(vcpu, OOB_REG_CR0) & CR0_PE) || (oob_reg_read(vcpu, OOB_REG_EFLAGS) & EFLAGS_VM);
}

/* QEMU shows no descriptor cache, but the table that filled it; GDTR and LDTR as of the last #VMEXIT. */
static bool code_descriptor(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, uint64_t *value) {
    struct oob_paging paging = oob_paging_live(vcpu, ncr3);
    uint64_t selector = oob_reg_read(vcpu, OOB_REG_CS) & 0xffff;
    uint64_t table = oob_phys_read_u64(vmcb + (selector & SELECTOR_LDT ? VMCB_LDTR_BASE : VMCB_GDTR_BASE));

    return selector >= 4 && oob_l2_read(&paging, table + (selector & ~7ull), value, sizeof *value);
}

enum oob_mode oob_l2_mode(unsigned vcpu, uint64_t vmcb, uint64_t ncr3) {
    uint64_t cs;

    if (is_8086(vcpu))
        return OOB_MODE_16;
    if (!code_descriptor(vcpu, vmcb, ncr3, &cs))
        return OOB_MODE_32;
    if ((cs & DESCRIPTOR_L) && (oob_reg_read(vcpu, OOB_REG_EFER) & EFER_LMA))
        return OOB_MODE_64;
    return cs & DESCRIPTOR_D ? OOB_MODE_32 : OOB_MODE_16;
}

/* The linear address of a port's bits in the TSS, and of one byte more that the CPU looks at. */
static bool tss_bits(uint64_t vmcb, const struct oob_paging *paging, uint16_t port, uint64_t *at) {
    enum { IOPB_OFFSET = 0x66, TSS_MIN_LIMIT = 103 };
    uint64_t base = oob_phys_read_u64(vmcb + VMCB_TR_BASE);
    uint32_t limit = oob_phys_read_u32(vmcb + VMCB_TR_LIMIT);
    uint16_t offset;

    if (limit < TSS_MIN_LIMIT || !oob_l2_read(paging, base + IOPB_OFFSET, &offset, sizeof offset))
        return false;
    offset += port >> 3;
    *at = base + offset;
    return offset + 1u <= limit;
}

static bool tss_allows(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, uint16_t port, unsigned size) {
    struct oob_paging paging = oob_paging_live(vcpu, ncr3);
    uint64_t at;
    uint16_t bits;

    if (!tss_bits(vmcb, &paging, port, &at) || !oob_l2_read(&paging, at, &bits, sizeof bits))
        return false;
    return !((bits >> (port & 7)) & ((1u << size) - 1));
}

bool oob_l2_tss_byte(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, uint16_t port, uint64_t *at) {
    struct oob_paging paging = oob_paging_live(vcpu, ncr3);
    uint64_t linear;

    return tss_bits(vmcb, &paging, port, &linear) && oob_l2_writable(&paging, linear, at);
}

bool oob_l2_asks_tss(unsigned vcpu) {
    uint64_t flags = oob_reg_read(vcpu, OOB_REG_EFLAGS);

    if (!(oob_reg_read(vcpu, OOB_REG_CR0) & CR0_PE))
        return false;
    return (flags & EFLAGS_VM) || (oob_reg_read(vcpu, OOB_REG_CS) & 3) > (flags >> 12 & 3);
}

bool oob_l2_io_allowed(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, uint16_t port, unsigned size) {
    return !oob_l2_asks_tss(vcpu) || tss_allows(vcpu, vmcb, ncr3, port, size);
}
