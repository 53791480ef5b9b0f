/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hide.h"

#include "cpu.h"
#include "host.h"
#include "decode.h"
#include "vmcb.h"

enum { RAX = 1 << OOB_REG_RAX, RCX = 1 << OOB_REG_RCX, RDX = 1 << OOB_REG_RDX, RSP = 1 << OOB_REG_RSP, ALL = 0xffff };

/* After #VMEXIT the CPU's RAX and RSP are L1's own, and those of L2 are in the VMCB. RSP is never hidden, because it
 * tells nothing about the console. */
static uint64_t l2_reg(unsigned vcpu, const struct oob_l2_vcpu *l2, unsigned reg) {
    return reg == OOB_REG_RAX ? oob_phys_read_u64(&oob_l1, l2->block + VMCB_RAX) : oob_reg_read(&oob_l1, vcpu, reg);
}

static void set_l2_reg(unsigned vcpu, const struct oob_l2_vcpu *l2, unsigned reg, uint64_t value) {
    if (reg == OOB_REG_RAX)
        oob_phys_write_u64(&oob_l1, l2->block + VMCB_RAX, value);
    else
        oob_reg_write(&oob_l1, vcpu, reg, value);
}

/* Which registers does L1 need to handle port I/O (AMD APM vol. 2, 15.10.2)? At a write to the SMI command port L1
 * puts L2 into SMM. Then all of L2's registers go into the state save area, and SeaBIOS passes arguments in them. */
static unsigned needed_for_io(uint64_t info) {
    enum { SMI_COMMAND_PORT = 0xb2 };
    bool smi = !(info & IOIO_IN) && (info >> IOIO_PORT_SHIFT & 0xffff) == SMI_COMMAND_PORT;

    return smi || (info & IOIO_STRING) ? ALL : RAX | RSP;
}

/* Which registers does L1 need to handle an exit (AMD APM vol. 2, appendix C)? */
static unsigned needed(const struct oob_l2_vcpu *l2, uint64_t exit_code) {
    switch (exit_code) {
    case VMEXIT_INTR:
    case VMEXIT_NMI:
    case VMEXIT_SMI:
    case VMEXIT_VINTR:
    case VMEXIT_HLT: return RSP;
    case VMEXIT_IOIO: return needed_for_io(oob_phys_read_u64(&oob_l1, l2->block + VMCB_EXITINFO1));
    case VMEXIT_MSR: return RAX | RCX | RDX | RSP;
    default: return ALL;
    }
}

void oob_hide_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, uint64_t exit_code) {
    if (oob_options.show_registers || oob_now_ns() - l2->context->last_access_ns > OOB_IN_USE_NS)
        return;
    l2->hidden.which = (uint16_t)(ALL & ~needed(l2, exit_code));
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
