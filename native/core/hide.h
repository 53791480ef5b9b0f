/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hides L2's registers from L1 at exits. Why? While the console is in use, L2's registers hold the bytes that pass
 * through it. At most exits L1 needs only a few registers (learn.h), so L1 sees zeros in the others. L2 gets its own
 * values back when it goes on at the same place. Whether registers are hidden at all is the host's choice. Call with
 * the machine's lock held.
 */
#ifndef OOB_HIDE_H
#define OOB_HIDE_H

#include "context.h"
#include "virt.h"

/* How long after its last access a console counts as in use, in ns. */
#define OOB_IN_USE_NS 1000000000ull

/* At an exit of L2, which `vcpu` of L1 has run: hides the registers that L1 does not need for this exit. Does nothing
 * when the console is not in use. */
void oob_hide_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, const struct oob_exit *exit);

/* Before L1 lets L2 go on: gives L2 its registers back, if L2 goes on where it was, or behind that instruction. A
 * register that is not 0 any more keeps its value, because L1 itself has set it meanwhile. */
void oob_hide_restore(unsigned vcpu, struct oob_l2_vcpu *l2);

#endif
