/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU 11.1 aborts when a guest writes CR8 while a V_IRQ is pending: helper_write_crN() in its
 * target/i386/tcg/system/misc_helper.c calls cpu_interrupt() without the lock that this asserts. So for as long as a
 * V_IRQ stands in the VMCB, ours or L1's own, L2's writes to CR8 are intercepted. L1 did not ask for that exit, and
 * may not be up to it: KVM emulates the instruction, but not its encoding as LOCK MOV CR0. So L1 is told of a
 * physical interrupt instead, and resumes L2 at the same instruction, which is then executed with no V_IRQ in the
 * VMCB.
 *
 * Call with oob_lock() held.
 */
#ifndef OOB_GUARD_H
#define OOB_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "context.h"

/* At VMRUN: does L2 take an interrupt before its next instruction? */
bool oob_takes_interrupts(const struct oob_l2_vcpu *l2);
/* At VMRUN, first: is L2 to write to CR8 next, so that no V_IRQ may be put into the VMCB? Takes L1's own away. */
bool oob_guard_holds(struct oob_l2_vcpu *l2);
/* At VMRUN, when the VMCB has its V_IRQ, or none. */
void oob_guard_at_vmrun(struct oob_l2_vcpu *l2);
/* At #VMEXIT: L1 finds its fields as it left them. Returns the exit code that L1 sees. */
uint64_t oob_guard_at_exit(struct oob_l2_vcpu *l2, uint64_t code);

#endif
