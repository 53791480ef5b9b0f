/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps an idle L2 responsive. Why is that necessary? A tickless guest halts until its own timer fires. L1 runs
 * meanwhile, and L0 cannot wake the guest. So while somebody is attached, the guest's timer is brought forward.
 */
#ifndef OOB_TIMER_H
#define OOB_TIMER_H

#include "types.h"

#include "context.h"

/* A guest writes the deadline of its local APIC's timer to this MSR (Intel SDM vol. 3, "TSC-Deadline Mode"). */
#define OOB_MSR_TSC_DEADLINE 0x6e0u

/* How long may a vCPU sleep while somebody is attached to its guest, in ns? A guest is busy while something is typed,
 * or while one vCPU of several accesses the device. Else it is idle. */
#define OOB_IDLE_MAX_NS 5000000ull
#define OOB_BUSY_MAX_NS 500000ull
/* A guest counts as busy for so many ns after the last key, or after the last access. */
#define OOB_ACTIVE_NS 200000000ull

/* The guest has read this time stamp from its TSC just now. Two time stamps give the rate of its TSC. */
void oob_timer_saw_tsc(struct oob_l2_vcpu *l2, uint64_t tsc);

/* Returns for how many ns a vCPU of this guest may sleep. 0 means: for as long as it likes. */
uint64_t oob_timer_patience(const struct oob_context *context);

/* Stores in `*tsc` what the guest would read from its TSC now. Returns false, and stores nothing, while the rate of
 * the guest's TSC is not known. */
bool oob_timer_tsc_now(const struct oob_l2_vcpu *l2, uint64_t *tsc);

/* Brings a deadline of the guest's timer forward, if the vCPU would sleep for too long. `*deadline` is a value of the
 * guest's TSC; 0 means that the timer is off. Returns whether the deadline was changed. */
bool oob_timer_clamp(struct oob_l2_vcpu *l2, uint64_t *deadline);

#endif
