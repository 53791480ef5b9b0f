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
#define DESCRIPTOR_EXPAND_DOWN (1ull << 42) /* of data */
#define DESCRIPTOR_RW (1ull << 41)          /* data may be written, code may be read */
#define DESCRIPTOR_CODE (1ull << 43)
#define DESCRIPTOR_S (1ull << 44) /* no system descriptor */
#define DESCRIPTOR_PRESENT (1ull << 47)
#define DESCRIPTOR_G (1ull << 55)
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

unsigned oob_l2_cpl(unsigned vcpu) {
    if (!(oob_reg_read(vcpu, OOB_REG_CR0) & CR0_PE))
        return 0;
    return oob_reg_read(vcpu, OOB_REG_EFLAGS) & EFLAGS_VM ? 3 : (unsigned)selector_of(vcpu, SEGMENT_CS) & 3;
}

bool oob_l2_io_allowed(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, uint16_t port, unsigned size) {
    uint64_t flags = oob_reg_read(vcpu, OOB_REG_EFLAGS);
    unsigned iopl = flags >> 12 & 3;

    if (!(oob_reg_read(vcpu, OOB_REG_CR0) & CR0_PE) || (oob_l2_cpl(vcpu) <= iopl && !(flags & EFLAGS_VM)))
        return true;
    return tss_allows(vcpu, vmcb, ncr3, port, size);
}

/* A data or code descriptor of legacy mode (AMD APM vol. 2, 4.7). */
static bool use_descriptor(uint64_t value, bool write, struct oob_segment *found) {
    bool code = value & DESCRIPTOR_CODE, allowed = value & DESCRIPTOR_RW;

    if (!(value & DESCRIPTOR_PRESENT) || !(value & DESCRIPTOR_S))
        return false;
    if (code ? write || !allowed : write && !allowed)
        return false;
    if (!code && (value & DESCRIPTOR_EXPAND_DOWN))
        return false;
    found->base = (value >> 16 & 0xffffff) | (value >> 32 & 0xff000000);
    found->limit = (value & 0xffff) | (value >> 32 & 0xf0000);
    if (value & DESCRIPTOR_G)
        found->limit = found->limit << 12 | 0xfff;
    return true;
}

bool oob_l2_segment(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, unsigned segment, bool write,
                    struct oob_segment *found) {
    uint64_t value;

    if (is_8086(vcpu)) {
        *found = (struct oob_segment){.base = selector_of(vcpu, segment) << 4, .limit = 0xffff};
        return true;
    }
    if (oob_l2_mode(vcpu, vmcb, ncr3) == OOB_MODE_64) {
        *found = (struct oob_segment){.limit = UINT64_MAX};
        if (segment >= SEGMENT_FS)
            found->base = oob_reg_read(vcpu, OOB_REG_FS_BASE + (segment - SEGMENT_FS));
        return true;
    }
    return descriptor(vcpu, vmcb, ncr3, segment, &value) && use_descriptor(value, write, found);
}
