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

enum { SEGMENT_CS = 1, SEGMENT_FS = 4 };

/* Real mode and virtual-8086 mode: a selector is an address. */
static bool is_8086(unsigned vcpu) {
    return !(oob_reg_read(vcpu, OOB_REG_CR0) & CR0_PE) || (oob_reg_read(vcpu, OOB_REG_EFLAGS) & EFLAGS_VM);
}

static uint64_t selector_of(unsigned vcpu, unsigned segment) {
    return oob_reg_read(vcpu, OOB_REG_ES + segment) & 0xffff;
}

/* QEMU shows no descriptor cache, but the table that filled it; GDTR and LDTR as of the last #VMEXIT. */
static bool descriptor(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, unsigned segment, uint64_t *value) {
    struct oob_paging paging = oob_paging_live(vcpu, ncr3);
    uint64_t selector = selector_of(vcpu, segment);
    uint64_t table = oob_phys_read_u64(vmcb + (selector & SELECTOR_LDT ? VMCB_LDTR_BASE : VMCB_GDTR_BASE));

    return selector >= 4 && oob_l2_read(&paging, table + (selector & ~7ull), value, sizeof *value);
}

enum oob_mode oob_l2_mode(unsigned vcpu, uint64_t vmcb, uint64_t ncr3) {
    uint64_t cs;

    if (is_8086(vcpu))
        return OOB_MODE_16;
    if (!descriptor(vcpu, vmcb, ncr3, SEGMENT_CS, &cs))
        return OOB_MODE_32;
    if ((cs & DESCRIPTOR_L) && (oob_reg_read(vcpu, OOB_REG_EFER) & EFER_LMA))
        return OOB_MODE_64;
    return cs & DESCRIPTOR_D ? OOB_MODE_32 : OOB_MODE_16;
}

static bool tss_allows(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, uint16_t port, unsigned size) {
    enum { IOPB_OFFSET = 0x66, TSS_MIN_LIMIT = 103 };
    struct oob_paging paging = oob_paging_live(vcpu, ncr3);
    uint64_t base = oob_phys_read_u64(vmcb + VMCB_TR_BASE);
    uint32_t limit = oob_phys_read_u32(vmcb + VMCB_TR_LIMIT);
    uint16_t offset, bits;

    if (limit < TSS_MIN_LIMIT || !oob_l2_read(&paging, base + IOPB_OFFSET, &offset, sizeof offset))
        return false;
    offset += port >> 3;
    if (offset + 1u > limit || !oob_l2_read(&paging, base + offset, &bits, sizeof bits))
        return false;
    return !((bits >> (port & 7)) & ((1u << size) - 1));
}

bool oob_l2_io_allowed(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, uint16_t port, unsigned size) {
    uint64_t flags = oob_reg_read(vcpu, OOB_REG_EFLAGS);
    unsigned iopl = flags >> 12 & 3, cpl;

    if (!(oob_reg_read(vcpu, OOB_REG_CR0) & CR0_PE))
        return true;
    cpl = flags & EFLAGS_VM ? 3 : (unsigned)selector_of(vcpu, SEGMENT_CS) & 3;
    if (cpl <= iopl && !(flags & EFLAGS_VM))
        return true;
    return tss_allows(vcpu, vmcb, ncr3, port, size);
}

bool oob_l2_segment_base(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, unsigned segment, uint64_t *base) {
    uint64_t value;

    *base = 0;
    if (is_8086(vcpu)) {
        *base = selector_of(vcpu, segment) << 4;
    } else if (oob_l2_mode(vcpu, vmcb, ncr3) == OOB_MODE_64) {
        if (segment >= SEGMENT_FS)
            *base = oob_reg_read(vcpu, OOB_REG_FS_BASE + (segment - SEGMENT_FS));
    } else {
        if (!descriptor(vcpu, vmcb, ncr3, segment, &value))
            return false;
        *base = (value >> 16 & 0xffffff) | (value >> 32 & 0xff000000);
    }
    return true;
}
