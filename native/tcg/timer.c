/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "timer.h"

/* Below this distance the rate of two time stamps is not exact enough. */
#define RATE_MIN_NS 20000000ull

void oob_timer_saw_tsc(struct oob_l2_vcpu *l2, uint64_t tsc) {
    uint64_t now = oob_now_ns();

    if (!l2->base_tsc || tsc < l2->tsc) { /* the first one, or the guest's TSC was set back */
        l2->base_tsc = tsc;
        l2->base_tsc_ns = now;
    }
    l2->tsc = tsc;
    l2->tsc_ns = now;
}

bool oob_timer_clamp(struct oob_l2_vcpu *l2, uint64_t *deadline) {
    uint64_t elapsed = l2->tsc_ns - l2->base_tsc_ns, limit;
    uint64_t now = oob_now_ns();
    bool silent = now - l2->context->last_access_ns > OOB_SILENT_NS;
    double rate; /* of the guest's TSC, per ns */

    /* Another vCPU of a guest that prints may raise what only this one is to take. */
    if (!(l2->context->attended || (l2->context->vcpus > 1 && !silent)) || !*deadline || elapsed < RATE_MIN_NS)
        return false;
    rate = (double)(l2->tsc - l2->base_tsc) / (double)elapsed;
    limit = l2->tsc + (uint64_t)(rate * (double)(now - l2->tsc_ns + (silent ? OOB_IDLE_MAX_NS : OOB_BUSY_MAX_NS)));
    if (*deadline <= limit)
        return false;
    *deadline = limit;
    oob_stat[OOB_STAT_CLAMPED]++;
    return true;
}
