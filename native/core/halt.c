/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "halt.h"

#include "machine.h"
#include "paging.h"
#include "platform.h"
#include "vmcb.h"

enum { HLT = 0xf4 };
#define EFER_LMA (1u << 10)

/* A HLT with prefixes is not looked for: no compiler and no kernel makes one. */
static bool is_plain_hlt(const struct oob_l2_vcpu *l2, uint64_t rip) {
    struct oob_paging paging = oob_paging_saved(l2->context, l2->vmcb);
    uint64_t base = paging.efer & EFER_LMA ? 0 : oob_phys_read_u64(l2->context->machine, l2->vmcb + VMCB_CS_BASE);
    uint8_t opcode;

    return oob_paging_read(&paging, base + rip, &opcode, sizeof opcode) && opcode == HLT;
}

/* L1 that has a V_IRQ of its own, or waits until L2 takes interrupts, lets L2 not sleep. */
static bool is_l1s_turn(struct oob_machine *machine, uint64_t vmcb) {
    return (oob_phys_read_u32(machine, vmcb + VMCB_INT_CTL) & VMCB_V_IRQ) ||
           (oob_phys_read_u32(machine, vmcb + VMCB_INTERCEPTS_3) & VMCB_INTERCEPT_VINTR);
}

bool oob_halt_end(const struct oob_l2_vcpu *l2) {
    struct oob_machine *machine = l2->context->machine;
    uint64_t vmcb = l2->vmcb, rip = oob_phys_read_u64(machine, vmcb + VMCB_RIP);
    uint64_t flags = oob_phys_read_u64(machine, vmcb + VMCB_RFLAGS);
    uint64_t state = oob_phys_read_u64(machine, vmcb + VMCB_INT_STATE);

    if (!(flags & RFLAGS_IF) || (flags & RFLAGS_TF) || is_l1s_turn(machine, vmcb) ||
        !(oob_phys_read_u32(machine, vmcb + VMCB_INTERCEPTS_3) & VMCB_INTERCEPT_INTR) || !is_plain_hlt(l2, rip))
        return false;
    oob_phys_write_u64(machine, vmcb + VMCB_RIP, rip + 1);
    oob_phys_write_u64(machine, vmcb + VMCB_RFLAGS, flags & ~(uint64_t)RFLAGS_RF);
    oob_phys_write_u64(machine, vmcb + VMCB_INT_STATE, state & ~(uint64_t)VMCB_INT_SHADOW);
    oob_phys_write_u64(machine, vmcb + VMCB_EXITCODE, VMEXIT_INTR);
    oob_phys_write_u64(machine, vmcb + VMCB_EXITINFO1, 0);
    oob_phys_write_u64(machine, vmcb + VMCB_EXITINFO2, 0);
    return true;
}
