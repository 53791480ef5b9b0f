/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hide.h"

#include "decode.h"
#include "learn.h"
#include "machine.h"
#include "platform.h"

/* Why is RAX read from the block, and no other register? After an exit the CPU's RAX and RSP may be L1's own already,
 * and those of L2 are in the block. RSP is never hidden (learn.c). */
static uint64_t l2_reg(unsigned vcpu, const struct oob_l2_vcpu *l2, unsigned reg) {
    struct oob_machine *machine = l2->context->machine;

    return reg == OOB_REG_RAX ? machine->virt->read(machine, l2->block, OOB_STATE_RAX)
                              : oob_reg_read(machine, vcpu, reg);
}

static void set_l2_reg(unsigned vcpu, const struct oob_l2_vcpu *l2, unsigned reg, uint64_t value) {
    struct oob_machine *machine = l2->context->machine;

    if (reg == OOB_REG_RAX)
        machine->virt->write(machine, l2->block, OOB_STATE_RAX, value);
    else
        oob_reg_write(machine, vcpu, reg, value);
}

static uint64_t rip_of(const struct oob_l2_vcpu *l2) {
    struct oob_machine *machine = l2->context->machine;

    return machine->virt->read(machine, l2->block, OOB_STATE_RIP);
}

static bool is_hidden(const struct oob_l2_vcpu *l2, unsigned reg) {
    return l2->hidden.which >> reg & 1;
}

void oob_hide_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, const struct oob_exit *exit) {
    if (oob_now_ns() - l2->context->last_access_ns > OOB_IN_USE_NS)
        return;
    l2->hidden.which = (uint16_t)~oob_needed_at_exit(exit);
    l2->hidden.rip = rip_of(l2);
    for (unsigned r = 0; r < OOB_GENERAL_REGS; r++) {
        if (!is_hidden(l2, r))
            continue;
        l2->hidden.reg[r] = l2_reg(vcpu, l2, r);
        set_l2_reg(vcpu, l2, r, 0);
    }
}

void oob_hide_restore(unsigned vcpu, struct oob_l2_vcpu *l2) {
    bool where_it_was;

    if (!l2->hidden.which)
        return;
    where_it_was = rip_of(l2) - l2->hidden.rip <= OOB_INSN_MAX;
    for (unsigned r = 0; where_it_was && r < OOB_GENERAL_REGS; r++)
        if (is_hidden(l2, r) && l2_reg(vcpu, l2, r) == 0)
            set_l2_reg(vcpu, l2, r, l2->hidden.reg[r]);
    l2->hidden.which = 0;
}
