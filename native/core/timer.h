/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps an idle L2 within reach. A tickless guest halts in L1's hands until its own timer fires; L0
 * cannot wake it, so while somebody is attached that timer is brought forward.
 */
#ifndef OOB_TIMER_H
#define OOB_TIMER_H

#include "types.h"

#include "context.h"

#define OOB_MSR_TSC_DEADLINE 0x6e0u

/* The longest that an attended guest sleeps: when nothing is typed, and while something is, or one of its other vCPUs
 * prints. */
#define OOB_IDLE_MAX_NS 5000000ull
#define OOB_BUSY_MAX_NS 500000ull
#define OOB_ACTIVE_NS 200000000ull

void oob_timer_saw_tsc(struct oob_l2_vcpu *l2, uint64_t tsc);
/* Brings a deadline (guest TSC) forward. False when it may stay as it is. */
bool oob_timer_clamp(struct oob_l2_vcpu *l2, uint64_t *deadline);

#endif
