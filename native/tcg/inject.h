/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Injects interrupts into L2, by the field V_IRQ of its VMCB (AMD APM vol. 2, 15.21.4). Call with oob_lock() held. */
#ifndef OOB_INJECT_H
#define OOB_INJECT_H

#include <stdbool.h>

#include "context.h"

/* At VMRUN: puts an interrupt that is due into the VMCB, and gives an interrupt of L1's another form where QEMU needs
 * that. */
void oob_inject_at_vmrun(struct oob_l2_vcpu *l2);
/* At #VMEXIT: gives L1 its fields of the VMCB back, and notes whether our interrupt was delivered. Returns the exit
 * code that L1 sees. It differs from `code` where our interrupt was the reason for the exit (guard.h). */
uint64_t oob_inject_at_exit(struct oob_l2_vcpu *l2, uint64_t code);
/* Is an interrupt due on this vCPU that only the next VMRUN can deliver, and that is worth an exit? */
bool oob_inject_wanted(const struct oob_l2_vcpu *l2);
/* L2 has halted, and will not run until it is interrupted. If an interrupt of ours is due, it ends the halt at once.
 * Returns the exit code that L1 sees. */
uint64_t oob_inject_at_halt(struct oob_l2_vcpu *l2, uint64_t code);

#endif
