/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the plugin keeps of an L2's vCPU, in the place that core has for its host. */
#ifndef OOB_VCPU_H
#define OOB_VCPU_H

#include "context.h"

/* An interrupt that L1 injects, as it stands in the VMCB while L2 runs (inject.c). */
struct oob_relay {
    uint64_t event;      /* as L1 had it in EVENTINJ; 0: none */
    bool soft;           /* as EVENTINJ of another type; else as a V_IRQ */
    unsigned returned;   /* how often it has come back as a V_IRQ, undelivered, and L1 injects it again */
    uint32_t intercepts; /* as L1 had them, where a V_IRQ stands in */
};

/* What keeps L2 from writing to CR8 while a V_IRQ is pending (guard.h). */
struct oob_guard {
    bool intercepts; /* such a write is intercepted, and L1 has not asked for that */
    bool holds;      /* L2 was stopped before such a write, at `rip` */
    bool took_virq;  /* L1's own V_IRQ waits for the next exit */
    uint64_t rip;
};

/* An access that the CPU executes at another port than L2 named (detour.h). */
struct oob_detour {
    bool active;       /* RAX and RDX hold what stands in for L2's, which are to be put back */
    bool again;        /* the instruction may be executed once more */
    bool unseen;       /* L1 is not to see the exit that it makes */
    uint64_t at, next; /* the address of the instruction, and of the one behind it */
    uint64_t rax, rdx; /* L2's */
};

/* INS or OUTS that the CPU executes (string_io.c). */
struct oob_string {
    bool active, out;
    uint8_t size; /* of an element: 1, 2 or 4 bytes */
    uint16_t port;
    uint64_t tss;      /* where the CPU reads, in the same instruction, whether it is allowed */
    uint32_t tss_size; /* ... if it does */
    uint64_t behind;   /* what the CPU's RCX is to be raised by to be L2's, modulo 2^64 */
};

struct oob_tcg_vcpu {
    struct oob_relay relay;
    struct oob_guard guard;
    uint32_t own_int_ctl, own_vector; /* L1's, where a V_IRQ of ours stands in the VMCB */
    struct oob_detour detour;
    struct oob_string string;
};

_Static_assert(sizeof(struct oob_tcg_vcpu) <= sizeof((struct oob_l2_vcpu *)0)->host, "core has room for it");

static inline struct oob_tcg_vcpu *oob_tcg(const struct oob_l2_vcpu *l2) {
    return (struct oob_tcg_vcpu *)l2->host;
}

#endif
