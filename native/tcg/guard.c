/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guard.h"

#include "cpu.h"
#include "host.h"
#include "vcpu.h"
#include "vmcb.h"

static void set_bits(uint64_t at, uint32_t bits) {
    oob_phys_write_u32(&oob_l1, at, oob_phys_read_u32(&oob_l1, at) | bits);
}

static void clear_bits(uint64_t at, uint32_t bits) {
    oob_phys_write_u32(&oob_l1, at, oob_phys_read_u32(&oob_l1, at) & ~bits);
}

bool oob_takes_interrupts(const struct oob_l2_vcpu *l2) {
    return (oob_phys_read_u64(&oob_l1, l2->block + VMCB_RFLAGS) & RFLAGS_IF) &&
           !(oob_phys_read_u32(&oob_l1, l2->block + VMCB_INT_STATE) & VMCB_INT_SHADOW);
}

static void give_back(struct oob_l2_vcpu *l2) {
    if (oob_tcg(l2)->guard.intercepts)
        clear_bits(l2->block + VMCB_INTERCEPTS_CR, VMCB_INTERCEPT_CR8_WRITE);
    if (oob_tcg(l2)->guard.took_virq)
        set_bits(l2->block + VMCB_INT_CTL, VMCB_V_IRQ);
    oob_tcg(l2)->guard.intercepts = oob_tcg(l2)->guard.took_virq = false;
}

bool oob_guard_holds(struct oob_l2_vcpu *l2) {
    give_back(l2); /* if L1's vCPU was reset while L2 ran, there was no #VMEXIT that did it */
    /* If L2 takes interrupts, it takes the V_IRQ before that instruction, so the V_IRQ does no harm. */
    oob_tcg(l2)->guard.holds = oob_tcg(l2)->guard.holds &&
                               oob_phys_read_u64(&oob_l1, l2->block + VMCB_RIP) == oob_tcg(l2)->guard.rip &&
                               !oob_takes_interrupts(l2);
    if (oob_tcg(l2)->guard.holds && (oob_phys_read_u32(&oob_l1, l2->block + VMCB_INT_CTL) & VMCB_V_IRQ)) {
        clear_bits(l2->block + VMCB_INT_CTL, VMCB_V_IRQ);
        oob_tcg(l2)->guard.took_virq = true;
    }
    return oob_tcg(l2)->guard.holds;
}

/* If L1 intercepts these writes itself, it gets the exit that it expects. Is the changed word seen? Yes: QEMU reads
 * it at every VMRUN, because it implements no VMCB clean bits (helper_vmrun). */
void oob_guard_at_vmrun(struct oob_l2_vcpu *l2) {
    if (!(oob_phys_read_u32(&oob_l1, l2->block + VMCB_INT_CTL) & VMCB_V_IRQ) ||
        (oob_phys_read_u32(&oob_l1, l2->block + VMCB_INTERCEPTS_CR) & VMCB_INTERCEPT_CR8_WRITE))
        return;
    set_bits(l2->block + VMCB_INTERCEPTS_CR, VMCB_INTERCEPT_CR8_WRITE);
    oob_tcg(l2)->guard.intercepts = true;
}

uint64_t oob_guard_at_exit(struct oob_l2_vcpu *l2, uint64_t code) {
    bool unasked = oob_tcg(l2)->guard.intercepts && code == VMEXIT_CR8_WRITE;

    give_back(l2);
    if (!unasked)
        return code;
    oob_tcg(l2)->guard.holds = true;
    oob_tcg(l2)->guard.rip = oob_phys_read_u64(&oob_l1, l2->block + VMCB_RIP);
    /* L1 finds no physical interrupt when it looks. Every L1 that intercepts physical interrupts must cope with
     * that. */
    if (!(oob_phys_read_u32(&oob_l1, l2->block + VMCB_INTERCEPTS_3) & VMCB_INTERCEPT_INTR))
        return code;
    oob_phys_write_u64(&oob_l1, l2->block + VMCB_EXITCODE, VMEXIT_INTR);
    return VMEXIT_INTR;
}
