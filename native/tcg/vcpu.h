/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the plugin keeps about an L2's vCPU. It lies in oob_l2_vcpu.host, the room that core gives to its host. */
#ifndef OOB_VCPU_H
#define OOB_VCPU_H

#include "context.h"

/* An interrupt that L1 injects. While L2 runs it stands in the VMCB in another form (inject.c). */
struct oob_relay {
    uint64_t event;      /* the value that L1 had in EVENTINJ; 0: none */
    bool soft;           /* it stands in EVENTINJ with another type; else it is a V_IRQ */
    unsigned returned;   /* how often the V_IRQ came back undelivered, and L1 injected the interrupt again */
    uint32_t intercepts; /* L1's own intercepts, while a V_IRQ takes the place of EVENTINJ */
};

/* What keeps L2 from writing to CR8 while a V_IRQ is pending (guard.h). */
struct oob_guard {
    bool intercepts; /* such a write is intercepted, although L1 has not asked for that */
    bool holds;      /* L2 was stopped before such a write, at `rip` */
    bool took_virq;  /* L1's own V_IRQ was taken out of the VMCB, and is put back at the next exit */
    uint64_t rip;
};

/* An access that the CPU executes at another port than the one that L2 named (detour.h). */
struct oob_detour {
    bool active;       /* the CPU's RAX and RDX are not L2's, and must be set to L2's afterwards */
    bool again;        /* the instruction may be executed once more */
    bool unseen;       /* L1 must not see the exit that the instruction causes */
    uint64_t at, next; /* the address of the instruction, and of the one behind it */
    uint64_t rax, rdx; /* L2's values */
};

/* An INS or OUTS that the CPU executes (string_io.c). */
struct oob_string {
    bool active, out;
    uint8_t size; /* of an element: 1, 2 or 4 bytes */
    uint16_t port;
    uint64_t tss;      /* the TSS's address: reads there are the CPU's check of permissions, and no elements */
    uint32_t tss_size; /* 0: the CPU does not read the TSS */
    uint64_t behind;   /* L2's RCX minus the CPU's RCX, modulo 2^64 */
};

struct oob_tcg_vcpu {
    struct oob_relay relay;
    struct oob_guard guard;
    uint32_t own_int_ctl, own_vector; /* L1's own values, while a V_IRQ of ours is in the VMCB */
    struct oob_detour detour;
    struct oob_string string;
};

_Static_assert(sizeof(struct oob_tcg_vcpu) <= sizeof((struct oob_l2_vcpu *)0)->host, "core has room for it");

static inline struct oob_tcg_vcpu *oob_tcg(const struct oob_l2_vcpu *l2) {
    return (struct oob_tcg_vcpu *)l2->host;
}

#endif
