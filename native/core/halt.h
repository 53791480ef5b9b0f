/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An L2 that has halted while an interrupt of ours was due. L1 knows nothing of that interrupt, and would let L2
 * sleep until L2's own timer fires.
 */
#ifndef OOB_HALT_H
#define OOB_HALT_H

#include "context.h"

/* After a #VMEXIT for HLT, of an L2 for which an interrupt is due: makes the exit look as if a physical interrupt had
 * come right behind the HLT. L1 finds none when it looks, and runs L2 again, which takes the interrupt that is due.
 * L2 goes on behind its HLT: to halt once more after the interrupt's handler would lose what the handler has woken.
 *
 * False, and nothing is changed, where that cannot be: L2 takes no interrupts or is single-stepped, L1 does not
 * intercept physical interrupts, L1 has something of its own for L2, or the instruction is not a plain HLT. */
bool oob_halt_end(const struct oob_l2_vcpu *l2);

#endif
