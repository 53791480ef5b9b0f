/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why must L2 not write to CR8 while a V_IRQ is pending? Because QEMU 11.1 aborts then: helper_write_crN() in its
 * target/i386/tcg/system/misc_helper.c calls cpu_interrupt() without the lock whose possession that function
 * asserts. So as long as a V_IRQ is in the VMCB, be it ours or L1's own, L2's writes to CR8 are intercepted.
 *
 * What does L1 see of that exit? L1 has not asked for it, and may not be able to handle it: KVM emulates the
 * instruction, but not its encoding as LOCK MOV CR0. So L1 sees the exit code of a physical interrupt instead, and
 * resumes L2 at the same instruction. This time the CPU executes it with no V_IRQ in the VMCB.
 *
 * Call with oob_lock() held.
 */
#ifndef OOB_GUARD_H
#define OOB_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "context.h"

/* At VMRUN: would L2 take an interrupt before its next instruction? */
bool oob_takes_interrupts(const struct oob_l2_vcpu *l2);
/* At VMRUN, before anything else is put into the VMCB: is a write to CR8 L2's next instruction? If so, no V_IRQ may
 * be put into the VMCB, and this function takes L1's own V_IRQ out of it. */
bool oob_guard_holds(struct oob_l2_vcpu *l2);
/* At VMRUN, when it is decided whether the VMCB has a V_IRQ: intercepts writes to CR8 if it has. */
void oob_guard_at_vmrun(struct oob_l2_vcpu *l2);
/* At #VMEXIT: gives L1 its fields of the VMCB back as it left them. Returns the exit code that L1 sees. */
uint64_t oob_guard_at_exit(struct oob_l2_vcpu *l2, uint64_t code);

#endif
