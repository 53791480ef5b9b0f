/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Port I/O instructions of an L2 that was served are executed by the CPU after all, at a port that means nothing and
 * with nothing in RAX for L1 to see; L2's registers are put back before its next instruction. So RIP, flags, traps
 * and interrupt shadows are the CPU's business: to step over an instruction in the middle of a block would leave
 * EFLAGS as they were before the block, because QEMU writes them only where it needs them.
 *
 * Call with oob_lock() held.
 */
#ifndef OOB_DETOUR_H
#define OOB_DETOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "context.h"
#include "site.h"

/* Where L2 goes on after the instruction that is about to be executed. */
uint64_t oob_next_rip(unsigned vcpu, union oob_io_site site);

/* After an access was served, or before string I/O is: L2 goes on behind it, and L1 is not told. False when L2's TSS
 * keeps it from the port that this takes, and L1 L2 from writing to its TSS. */
bool oob_detour_take(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site);
/* After an access was served: makes it an exit when an interrupt is due that only a VMRUN can deliver. L1 is told of
 * an `out` to port 0x80; where L1 lets L2 use that port, of a physical interrupt that is gone when it looks. */
bool oob_detour_exit(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site);
/* After an access was served whose instruction names the port itself, so that it cannot be executed at another one:
 * the CPU exits at it, and L1 is told of a physical interrupt that is gone when it looks, with L2 behind the
 * instruction. False when L1 does not intercept both, so that it must be stepped over. */
bool oob_detour_exit_unseen(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port);
/* Instead of an access that the CPU must refuse by its TSS; if L1 has seen to it that it does not, L1 gets nothing.
 */
void oob_detour_deny(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site);

/* L2 is about to execute another instruction, or has faulted: its registers, in the CPU. */
void oob_detour_end(unsigned vcpu, struct oob_l2_vcpu *l2);
/* Between #VMEXIT and VMRUN: L2's registers where L1 needs them, or where L2 is elsewhere by now. Returns the exit
 * code that L1 sees. */
uint64_t oob_detour_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, uint64_t exit_code);
/* L2's registers, in the VMCB, if L1 lets it go on where it was. */
void oob_detour_at_vmrun(unsigned vcpu, struct oob_l2_vcpu *l2);
/* The permission maps, as they were. */
void oob_detour_close_maps(unsigned vcpu);

#endif
