/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps an idle L2 responsive. Why is that necessary? A tickless guest halts until its own timer fires. L1 runs
 * meanwhile, and L0 cannot wake the guest. So while somebody is attached, the guest's timer is brought forward.
 */
#ifndef OOB_TIMER_H
#define OOB_TIMER_H

#include "types.h"

#include "context.h"

#define OOB_MSR_TSC_DEADLINE 0x6e0u

/* The longest that an attended guest sleeps: when nothing is typed, and while something is, or one of its other
 * vCPUs prints. */
#define OOB_IDLE_MAX_NS 5000000ull
#define OOB_BUSY_MAX_NS 500000ull
#define OOB_ACTIVE_NS 200000000ull

void oob_timer_saw_tsc(struct oob_l2_vcpu *l2, uint64_t tsc);
/* How long may a vCPU of this guest sleep, in ns? 0: as long as it likes. */
uint64_t oob_timer_patience(const struct oob_context *context);
/* What the guest would read from its TSC now. Returns false while the rate of its TSC is not known. */
bool oob_timer_tsc_now(const struct oob_l2_vcpu *l2, uint64_t *tsc);
/* Brings a deadline, in units of the guest's TSC, forward. Returns false when it may stay as it is. */
bool oob_timer_clamp(struct oob_l2_vcpu *l2, uint64_t *deadline);

#endif
