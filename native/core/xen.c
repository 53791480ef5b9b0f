/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xen.h"

#include "machine.h"
#include "paging.h"
#include "timer.h"

/* Xen's public headers: xen.h and vcpu.h. */
enum { HYPERCALL_VCPU_OP = 24 };
enum { SET_SINGLESHOT_TIMER = 8, REGISTER_VCPU_INFO = 10 };

/* struct vcpu_register_vcpu_info */
struct registration {
    uint64_t frame; /* of L2's physical memory */
    uint32_t offset, reserved;
};

/* struct vcpu_time_info, which lies at this offset of struct vcpu_info. A time stamp of so many ticks since `tsc` is
 * (ticks << shift) * multiplier / 2^32 ns later than `system_ns`. */
enum { TIME_IN_VCPU_INFO = 32, VCPU_INFO_BYTES = 64, PAGE_BYTES = 0x1000 };
struct time_info {
    uint32_t version; /* odd while Xen writes */
    uint32_t reserved;
    uint64_t tsc, system_ns;
    uint32_t multiplier;
    int8_t shift;
    uint8_t flags, padding[2];
};

/* Xen keeps the same clock for all vCPUs of a guest, so the first one's page is enough. */
static void learn_page(struct oob_l2_vcpu *l2, const struct oob_paging *paging, const struct oob_xen_call *call) {
    struct registration info;

    if (call->vcpu || !oob_paging_read(paging, call->argument, &info, sizeof info) ||
        info.offset > PAGE_BYTES - VCPU_INFO_BYTES)
        return;
    l2->context->xen_time = info.frame * PAGE_BYTES + info.offset + TIME_IN_VCPU_INFO;
}

static bool read_time(const struct oob_l2_vcpu *l2, struct oob_paging paging, struct time_info *time) {
    paging.cr0 = 0; /* without paging: the address is L2's physical one */
    return l2->context->xen_time && oob_paging_read(&paging, l2->context->xen_time, time, sizeof *time) &&
           !(time->version & 1) && time->multiplier && time->shift > -32 && time->shift < 32;
}

static uint64_t scaled(const struct time_info *time, uint64_t ticks) {
    uint64_t shifted = time->shift < 0 ? ticks >> -time->shift : ticks << time->shift;

    return (shifted >> 32) * time->multiplier + ((shifted & 0xffffffff) * time->multiplier >> 32);
}

/* How long may the vCPU sleep, in ns? One that is awake need not be woken. A timer that fires costs Xen and the guest
 * about a millisecond. If the next one fired sooner than that each time, the guest would get no further, and Xen
 * would always have an interrupt of its timer for the guest before ours. */
static uint64_t patience(const struct oob_l2_vcpu *l2) {
    uint64_t sleep_ns = oob_timer_patience(l2->context);

    return sleep_ns && l2->xen_timer.awake ? OOB_IDLE_MAX_NS : sleep_ns;
}

/* What stands at `at` is L2's deadline. Is there a sooner one that it is to have? */
static bool bound(struct oob_l2_vcpu *l2, const struct time_info *time, uint64_t *deadline) {
    uint64_t sleep_ns = patience(l2), tsc, limit;

    if (!sleep_ns || !oob_timer_tsc_now(l2, &tsc))
        return false;
    /* Xen may have written its page after the time stamp that ours is computed from. */
    limit = time->system_ns + (tsc > time->tsc ? scaled(time, tsc - time->tsc) : 0) + sleep_ns;
    if (*deadline <= limit)
        return false;
    *deadline = limit;
    return true;
}

static void bring_forward(struct oob_l2_vcpu *l2, const struct oob_paging *paging, uint64_t linear) {
    struct oob_machine *machine = l2->context->machine;
    struct time_info time;
    uint64_t own, deadline;

    if (linear % sizeof own || !read_time(l2, *paging, &time) ||
        !oob_paging_writable(paging, linear, &l2->xen_timer.at))
        return;
    own = deadline = oob_phys_read_u64(machine, l2->xen_timer.at);
    if (!bound(l2, &time, &deadline))
        return;
    oob_phys_write_u64(machine, l2->xen_timer.at, deadline);
    l2->xen_timer.changed = l2->xen_timer.awake = true;
    l2->xen_timer.own = own;
    l2->xen_timer.ours = deadline;
    machine->stat[OOB_STAT_CLAMPED]++;
}

void oob_xen_on_call(struct oob_l2_vcpu *l2, const struct oob_xen_call *call) {
    struct oob_paging paging;

    if (call->number != HYPERCALL_VCPU_OP)
        return;
    paging = oob_paging_saved(l2->context, l2->block);
    if (call->command == REGISTER_VCPU_INFO)
        learn_page(l2, &paging, call);
    else if (call->command == SET_SINGLESHOT_TIMER)
        bring_forward(l2, &paging, call->argument);
}

void oob_xen_on_halt(struct oob_l2_vcpu *l2) {
    l2->xen_timer.awake = false;
}

void oob_xen_put_back(struct oob_l2_vcpu *l2) {
    struct oob_machine *machine = l2->context->machine;

    if (l2->xen_timer.changed && oob_phys_read_u64(machine, l2->xen_timer.at) == l2->xen_timer.ours)
        oob_phys_write_u64(machine, l2->xen_timer.at, l2->xen_timer.own);
    l2->xen_timer.changed = false;
}
