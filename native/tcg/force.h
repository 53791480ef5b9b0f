/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port I/O instructions of an L2 that the CPU executes after all, so that they lead to an exit or a fault: with a
 * port that means nothing, and nothing in RAX for L1 to see. Call with oob_lock held. */
#ifndef OOB_FORCE_H
#define OOB_FORCE_H

#include <stdbool.h>
#include <stdint.h>

#include "context.h"
#include "intercept.h"

/* At VMRUN: does it deliver an interrupt? */
void oob_force_at_vmrun(struct oob_l2_vcpu *l2);
/* After an access was served: makes it an exit when an interrupt is due, that only a VMRUN can deliver, or when the
 * instruction cannot be stepped over. */
bool oob_force_exit(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site);
/* Instead of an access that the CPU must refuse by its TSS; if L1 has seen to it that it does not, L1 gets nothing.
 */
void oob_force_denial(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site);
/* Instead of a string instruction whose memory the CPU cannot reach. */
void oob_force_fault(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site);

/* Gives L2 its registers back: in the VMCB, between #VMEXIT and VMRUN; or in the CPU, when it did fault in L2. */
void oob_force_restore(unsigned vcpu, struct oob_l2_vcpu *l2);
void oob_force_faulted(unsigned vcpu, struct oob_l2_vcpu *l2);
/* L1's permission map, as it was. */
void oob_force_restore_map(struct oob_l2_vcpu *l2);

#endif
