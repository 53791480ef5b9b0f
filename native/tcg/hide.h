/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hides L2's registers from L1 at exits. Why? While the console is in use, L2's registers hold the bytes that pass
 * through it. At most exits L1 needs only a few registers, so it sees zeros in the others. L2 gets its own values
 * back when it goes on at the same place. Call with oob_lock() held.
 */
#ifndef OOB_HIDE_H
#define OOB_HIDE_H

#include "context.h"
#include "virt.h"

/* How long after its last access a console counts as in use, in ns. */
#define OOB_IN_USE_NS 1000000000ull

/* At #VMEXIT: hides the registers that L1 does not need for this exit. At VMRUN: gives L2 its registers back. */
void oob_hide_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, const struct oob_exit *exit);
void oob_hide_restore(unsigned vcpu, struct oob_l2_vcpu *l2);

#endif
