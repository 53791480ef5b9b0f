/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "timer.h"

#include "machine.h"

/* Two time stamps that are nearer to each other than so many ns do not give the rate of a TSC exactly enough. */
#define RATE_MIN_NS 20000000ull

void oob_timer_saw_tsc(struct oob_l2_vcpu *l2, uint64_t tsc) {
    uint64_t now = oob_now_ns();

    if (!l2->base_tsc || tsc < l2->tsc) { /* it is the first one, or the guest's TSC was set back */
        l2->base_tsc = tsc;
        l2->base_tsc_ns = now;
    }
    l2->tsc = tsc;
    l2->tsc_ns = now;
}

uint64_t oob_timer_patience(const struct oob_context *context) {
    uint64_t now = oob_now_ns();

    if (context->attended && now - context->last_input_ns < OOB_ACTIVE_NS)
        return OOB_BUSY_MAX_NS;
    /* The vCPU that prints may raise an interrupt that only another vCPU takes. That one must not sleep for long,
     * even if nobody is attached. */
    if (context->vcpus > 1 && now - context->last_access_ns < OOB_ACTIVE_NS)
        return OOB_BUSY_MAX_NS;
    return context->attended ? OOB_IDLE_MAX_NS : 0;
}

/* Returns by how much the guest's TSC grows in `ns`. Two of its time stamps give the rate. Why whole numbers? A
 * kernel module has no floating point. The rate is exact to 23 bits, which is 1 ns in 8 ms. */
static uint64_t tsc_in(const struct oob_l2_vcpu *l2, uint64_t ns) {
    enum { RATE_BITS = 24 };
    const uint64_t ns_max = 1ull << 36; /* about a minute: at up to 8 GHz the product below has room in 64 bits */
    uint64_t elapsed = l2->tsc_ns - l2->base_tsc_ns, ticks = l2->tsc - l2->base_tsc;

    while (elapsed >> RATE_BITS) {
        elapsed >>= 1;
        ticks >>= 1;
    }
    return ticks * (ns < ns_max ? ns : ns_max) / elapsed;
}

static bool knows_rate(const struct oob_l2_vcpu *l2) {
    return l2->tsc_ns - l2->base_tsc_ns >= RATE_MIN_NS;
}

bool oob_timer_tsc_now(const struct oob_l2_vcpu *l2, uint64_t *tsc) {
    if (!knows_rate(l2))
        return false;
    *tsc = l2->tsc + tsc_in(l2, oob_now_ns() - l2->tsc_ns);
    return true;
}

bool oob_timer_clamp(struct oob_l2_vcpu *l2, uint64_t *deadline) {
    uint64_t sleep_ns = oob_timer_patience(l2->context), limit;

    if (!sleep_ns || !*deadline || !knows_rate(l2))
        return false;
    limit = l2->tsc + tsc_in(l2, oob_now_ns() - l2->tsc_ns + sleep_ns);
    if (*deadline <= limit)
        return false;
    *deadline = limit;
    l2->context->machine->stat[OOB_STAT_CLAMPED]++;
    return true;
}
