/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hide.h"

#include "cpu.h"
#include "host.h"
#include "decode.h"
#include "learn.h"
#include "vmcb.h"

/* After #VMEXIT the CPU's RAX and RSP are L1's own, and those of L2 are in the VMCB. RSP is never hidden (learn.h).
 */
static uint64_t l2_reg(unsigned vcpu, const struct oob_l2_vcpu *l2, unsigned reg) {
    return reg == OOB_REG_RAX ? oob_phys_read_u64(&oob_l1, l2->block + VMCB_RAX) : oob_reg_read(&oob_l1, vcpu, reg);
}

static void set_l2_reg(unsigned vcpu, const struct oob_l2_vcpu *l2, unsigned reg, uint64_t value) {
    if (reg == OOB_REG_RAX)
        oob_phys_write_u64(&oob_l1, l2->block + VMCB_RAX, value);
    else
        oob_reg_write(&oob_l1, vcpu, reg, value);
}

void oob_hide_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, const struct oob_exit *exit) {
    if (oob_options.show_registers || oob_now_ns() - l2->context->last_access_ns > OOB_IN_USE_NS)
        return;
    l2->hidden.which = (uint16_t)~oob_needed_at_exit(exit);
    l2->hidden.rip = oob_phys_read_u64(&oob_l1, l2->block + VMCB_RIP);
    for (unsigned r = 0; r < OOB_GENERAL_REGS; r++) {
        if (!(l2->hidden.which >> r & 1))
            continue;
        l2->hidden.reg[r] = l2_reg(vcpu, l2, r);
        set_l2_reg(vcpu, l2, r, 0);
    }
}

/* Registers that L1 itself has set meanwhile, that is, that are not 0 any more, keep L1's value. */
void oob_hide_restore(unsigned vcpu, struct oob_l2_vcpu *l2) {
    bool where_it_was;

    if (!l2->hidden.which)
        return;
    where_it_was = oob_phys_read_u64(&oob_l1, l2->block + VMCB_RIP) - l2->hidden.rip <= OOB_INSN_MAX;
    for (unsigned r = 0; where_it_was && r < OOB_GENERAL_REGS; r++)
        if ((l2->hidden.which >> r & 1) && l2_reg(vcpu, l2, r) == 0)
            set_l2_reg(vcpu, l2, r, l2->hidden.reg[r]);
    l2->hidden.which = 0;
}
