/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps an idle L2 of Xen's responsive, as timer.h does for guests that use the TSC deadline. Linux as a guest of
 * Xen asks Xen for its timer by a hypercall instead: VCPUOP_set_singleshot_timer, whose argument is a time of Xen's
 * own clock. While somebody is attached, that time is brought forward in L2's memory before Xen reads it there, and
 * L2's own value is put back before L2 goes on.
 *
 * What time is it on Xen's clock? Xen writes that into a page that the guest names by VCPUOP_register_vcpu_info: a
 * time stamp, Xen's time at it, and the rate of both (Xen's public headers: vcpu.h, xen.h, struct
 * vcpu_time_info). Guests compute their deadlines by the same values.
 */
#ifndef OOB_XEN_H
#define OOB_XEN_H

#include "context.h"

/* A hypercall of 64-bit code in L2's kernel: RAX and the first three arguments. */
struct oob_xen_call {
    uint64_t number;   /* RAX */
    uint64_t command;  /* RDI */
    uint64_t vcpu;     /* RSI */
    uint64_t argument; /* RDX: a linear address */
};

/* After the exit for a hypercall, before L1 sees it. Calls that do not matter here, and those of guests of another
 * L1 than Xen, change nothing. */
void oob_xen_on_call(struct oob_l2_vcpu *l2, const struct oob_xen_call *call);
/* After the exit for HLT: the vCPU sleeps now. */
void oob_xen_on_halt(struct oob_l2_vcpu *l2);
/* Before L1 enters L2 again: puts back what oob_xen_on_call() has changed. */
void oob_xen_put_back(struct oob_l2_vcpu *l2);

#endif
