/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An L2 that has halted while an interrupt of ours was due. L1 knows nothing of that interrupt, and would let L2
 * sleep until L2's own timer fires.
 */
#ifndef OOB_HALT_H
#define OOB_HALT_H

#include "context.h"

/* To be called after L2 has left for HLT, while an interrupt of ours is due for it. Makes the exit look as if a
 * physical interrupt had come right behind the HLT. L1 finds no interrupt when it looks, and runs L2 again. L2 then
 * takes the interrupt that is due, and goes on behind its HLT. Why behind? If L2 halted once more after the
 * interrupt's handler, it would sleep though the handler has woken one of its processes.
 *
 * Returns false, and changes nothing, in these cases: L2 takes no interrupts, or is single-stepped. L1 does not
 * intercept physical interrupts. L1 has an interrupt of its own for L2. The instruction is not a plain HLT. */
bool oob_halt_end(const struct oob_l2_vcpu *l2);

#endif
