/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "halt.h"

#include "machine.h"
#include "paging.h"
#include "platform.h"

enum { HLT = 0xf4 };
#define EFER_LMA (1u << 10)
#define RFLAGS_TF (1u << 8)
#define RFLAGS_IF (1u << 9)

static uint64_t state_of(const struct oob_l2_vcpu *l2, enum oob_state which) {
    struct oob_machine *machine = l2->context->machine;

    return machine->virt->read(machine, l2->block, which);
}

/* A HLT with prefixes is not looked for: no compiler and no kernel makes one. */
static bool is_plain_hlt(const struct oob_l2_vcpu *l2, uint64_t rip) {
    struct oob_paging paging = oob_paging_saved(l2->context, l2->block);
    uint64_t base = paging.efer & EFER_LMA ? 0 : state_of(l2, OOB_STATE_CS_BASE);
    uint8_t opcode;

    return oob_paging_read(&paging, base + rip, &opcode, sizeof opcode) && opcode == HLT;
}

bool oob_halt_end(const struct oob_l2_vcpu *l2) {
    struct oob_machine *machine = l2->context->machine;
    const struct oob_virt *virt = machine->virt;
    uint64_t flags = state_of(l2, OOB_STATE_RFLAGS), rip = state_of(l2, OOB_STATE_RIP);

    /* L1 does not let L2 sleep if it has an interrupt of its own for L2. */
    if (!(flags & RFLAGS_IF) || (flags & RFLAGS_TF) || virt->has_own_interrupt(machine, l2->block) ||
        !virt->exits_at_interrupts(machine, l2->block) || !is_plain_hlt(l2, rip))
        return false;
    virt->show_interrupt(machine, l2->block, rip + 1);
    return true;
}
