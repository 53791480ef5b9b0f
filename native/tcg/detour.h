/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A detour: after an access of L2 was served, the CPU executes the port I/O instruction all the same, but at a port
 * that means nothing, and with nothing in RAX that L1 could see. L2's registers are put back before its next
 * instruction.
 *
 * Why is the instruction not simply skipped? The CPU takes care of RIP, flags, traps and interrupt shadows. If an
 * instruction in the middle of a block were skipped, EFLAGS would be as they were before the block, because QEMU
 * writes them only where it needs them.
 *
 * Call with oob_lock() held.
 */
#ifndef OOB_DETOUR_H
#define OOB_DETOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "context.h"
#include "site.h"

/* The RIP at which L2 goes on after the instruction that is about to be executed. */
uint64_t oob_next_rip(unsigned vcpu, union oob_io_site site);

/* After an access was served, or before string I/O is served: L2 goes on behind the instruction, and L1 is not told.
 * Returns false when that is impossible: L2's TSS forbids the port that the detour uses, and L1 does not let L2
 * write to its TSS. */
bool oob_detour_take(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site);
/* After an access was served: turns the instruction into an exit, if an interrupt is due that only a VMRUN can
 * deliver. L1 sees an `out` to port 0x80. If L1 lets L2 use that port, L1 sees a physical interrupt instead, which
 * is gone when L1 looks. Returns whether the instruction will exit. */
bool oob_detour_exit(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site);
/* After an access was served whose instruction names the port itself, so that the CPU cannot execute it at another
 * port. The CPU exits at the instruction, but L1 sees L2 behind it, and the exit code of a physical interrupt, which
 * is gone when L1 looks. Returns false when L1 does not intercept both; then the instruction must be skipped. */
bool oob_detour_exit_unseen(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port);
/* Before an access that the CPU must refuse because of L2's TSS. If L1 makes the CPU not refuse it, L1 still sees
 * nothing of the access. */
void oob_detour_deny(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site);

/* L2 is about to execute another instruction, or has faulted: puts L2's registers back into the CPU. */
void oob_detour_end(unsigned vcpu, struct oob_l2_vcpu *l2);
/* At #VMEXIT: puts L2's registers back if L1 needs them, or if L2 is no longer at the instruction. Returns the exit
 * code that L1 sees. */
uint64_t oob_detour_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, uint64_t exit_code);
/* At VMRUN: puts L2's registers back into the VMCB if L1 lets L2 go on where it was. */
void oob_detour_at_vmrun(unsigned vcpu, struct oob_l2_vcpu *l2);
/* Restores the permission maps that were opened for the vCPU's detours. */
void oob_detour_close_maps(unsigned vcpu);

#endif
