/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * L2's registers at exits at which L1 needs none of them: while the console is in use they hold what it carries. L1
 * sees zeros, and L2 gets them back when it goes on where it was. Call with oob_lock() held.
 */
#ifndef OOB_HIDE_H
#define OOB_HIDE_H

#include "context.h"

/* How long after its last access a console counts as in use, in ns. */
#define OOB_IN_USE_NS 1000000000ull

void oob_hide_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, uint64_t exit_code);
void oob_hide_restore(unsigned vcpu, struct oob_l2_vcpu *l2);

#endif
