/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "inject.h"

#include "cpu.h"
#include "halt.h"
#include "host.h"
#include "lines.h"
#include "guard.h"
#include "vcpu.h"
#include "vmcb.h"

/* L2's task priority, or -1 when no interrupt has to wait for it. L1 keeps the priority in V_TPR if V_INTR_MASKING is
 * set. Otherwise L2 uses the task priority of L1's own vCPU. */
static int priority_of(const struct oob_l2_vcpu *l2) {
    uint32_t int_ctl = oob_phys_read_u32(&oob_l1, l2->block + VMCB_INT_CTL);

    return int_ctl & VMCB_V_INTR_MASKING ? (int)(int_ctl & VMCB_V_TPR) : -1;
}

/* The line whose interrupt is due on this vCPU, or -1. */
static int due(const struct oob_l2_vcpu *l2, struct oob_route *route) {
    return oob_lines_high(l2->context) ? oob_lines_due(l2, priority_of(l2), route) : -1;
}

bool oob_inject_wanted(const struct oob_l2_vcpu *l2) {
    return !l2->armed && oob_lines_high(l2->context) && oob_lines_urgent(l2, priority_of(l2));
}

uint64_t oob_inject_at_halt(struct oob_l2_vcpu *l2, uint64_t code) {
    struct oob_route route;

    if (code != VMEXIT_HLT || due(l2, &route) < 0 || !oob_halt_end(l2))
        return code;
    return VMEXIT_INTR;
}

static void set_virq(struct oob_l2_vcpu *l2, uint32_t int_ctl, unsigned vector) {
    oob_tcg(l2)->own_int_ctl = int_ctl;
    oob_tcg(l2)->own_vector = oob_phys_read_u32(&oob_l1, l2->block + VMCB_INT_VECTOR);
    oob_phys_write_u32(&oob_l1, l2->block + VMCB_INT_VECTOR, vector);
    oob_phys_write_u32(&oob_l1, l2->block + VMCB_INT_CTL, int_ctl | VMCB_V_INTR_BITS);
}

static unsigned privilege(const struct oob_l2_vcpu *l2) {
    uint8_t cpl;

    oob_phys_read(&oob_l1, l2->block + VMCB_CPL, &cpl, sizeof cpl);
    return cpl;
}

/* A physical interrupt that is pending already comes before a V_IRQ, so the V_IRQ may come back undelivered. When
 * KVM has more interrupts to inject, it sends itself a physical one before each VMRUN; then the V_IRQ would never be
 * delivered. So an interrupt that has come back so often is injected as L1 wanted it, by EVENTINJ, and has its exit
 * at once. */
enum { RETURNS_MAX = 3 };

static bool relay_as_virq(struct oob_l2_vcpu *l2, uint64_t event, uint32_t int_ctl) {
    struct oob_relay *relay = &oob_tcg(l2)->relay;

    if (relay->returned >= RETURNS_MAX || !oob_takes_interrupts(l2))
        return false;
    relay->intercepts = oob_phys_read_u32(&oob_l1, l2->block + VMCB_INTERCEPTS_3);
    /* L1 may have asked to be told when L2 takes interrupts. It has something for L2 that comes behind this
     * interrupt, so that waits until the next VMRUN. */
    oob_phys_write_u32(&oob_l1, l2->block + VMCB_INTERCEPTS_3, relay->intercepts & ~VMCB_INTERCEPT_VINTR);
    oob_phys_write_u64(&oob_l1, l2->block + VMCB_EVENTINJ, 0);
    set_virq(l2, int_ctl, event & VMCB_EVENTINJ_VECTOR);
    return true;
}

/* Why is an interrupt that L1 injects by EVENTINJ put into the VMCB in another form? After an EVENTINJ of type 0 QEMU
 * has an exception left over (helper_vmrun, SVM_EVTINJ_TYPE_INTR). QEMU delivers the interrupt once more, whatever IF
 * says, if another thread makes the vCPU leave its loop before the next #VMEXIT. An L2 that prints without exits
 * leaves much time for that. So at CPL 0 the interrupt takes the form of an INT n, which does the same there. At
 * other levels it becomes a V_IRQ. Returns true when the VMCB's V_IRQ is used for that. */
static bool relay(struct oob_l2_vcpu *l2, uint32_t int_ctl) {
    uint64_t event = oob_phys_read_u64(&oob_l1, l2->block + VMCB_EVENTINJ);
    bool wanted = (event & VMCB_EVENTINJ_VALID) && !(event & VMCB_EVENTINJ_TYPE), virq = false;

    oob_tcg(l2)->relay.soft = wanted && privilege(l2) == 0;
    if (oob_tcg(l2)->relay.soft)
        oob_phys_write_u64(&oob_l1, l2->block + VMCB_EVENTINJ, event | VMCB_EVENTINJ_SOFT);
    else if (wanted)
        virq = relay_as_virq(l2, event, int_ctl);
    if (!virq)
        oob_tcg(l2)->relay.returned = 0;
    oob_tcg(l2)->relay.event = oob_tcg(l2)->relay.soft || virq ? event : 0;
    return virq;
}

/* At #VMEXIT: if the delivery of the interrupt was interrupted, L1 must find it in EXITINTINFO with its own type. */
static void soft_at_exit(const struct oob_l2_vcpu *l2) {
    uint64_t event = oob_phys_read_u64(&oob_l1, l2->block + VMCB_EXITINTINFO);

    if (((event ^ oob_tcg(l2)->relay.event) & (VMCB_EVENTINJ_TYPE | VMCB_EVENTINJ_VECTOR)) == VMCB_EVENTINJ_SOFT)
        oob_phys_write_u64(&oob_l1, l2->block + VMCB_EXITINTINFO, event & ~VMCB_EVENTINJ_TYPE);
}

/* At #VMEXIT: either the V_IRQ was delivered, or L1 must inject the interrupt again. */
static void virq_at_exit(struct oob_l2_vcpu *l2, uint32_t int_ctl) {
    if (!(int_ctl & VMCB_V_IRQ)) {
        oob_tcg(l2)->relay.returned = 0;
        return;
    }
    oob_tcg(l2)->relay.returned++;
    oob_phys_write_u64(&oob_l1, l2->block + VMCB_EXITINTINFO, oob_tcg(l2)->relay.event);
}

/* Puts an interrupt of ours into the VMCB, if one is due. If L1 has a V_IRQ of its own there, or waits until L2 takes
 * interrupts, L1 comes first: its exit comes soon, and ours goes in at the next VMRUN. */
static void arm(struct oob_l2_vcpu *l2, uint32_t int_ctl) {
    struct oob_route route;
    int line;

    if ((int_ctl & VMCB_V_IRQ) || (oob_phys_read_u32(&oob_l1, l2->block + VMCB_INTERCEPTS_3) & VMCB_INTERCEPT_VINTR))
        return;
    line = due(l2, &route);
    if (line < 0)
        return;
    set_virq(l2, int_ctl, route.vector);
    oob_lines_arm(l2, (unsigned)line);
}

void oob_inject_at_vmrun(struct oob_l2_vcpu *l2) {
    bool holds = oob_guard_holds(l2);
    uint32_t int_ctl = oob_phys_read_u32(&oob_l1, l2->block + VMCB_INT_CTL);

    if (l2->armed) /* still so if L1's vCPU was reset while L2 ran, without a #VMEXIT */
        oob_lines_disarm(l2);
    if (!relay(l2, int_ctl) && !holds)
        arm(l2, int_ctl);
    oob_guard_at_vmrun(l2);
}

/* At #VMEXIT: was our interrupt delivered? If it was not, it is due again. */
static void armed_at_exit(struct oob_l2_vcpu *l2, uint32_t int_ctl) {
    uint64_t event = oob_phys_read_u64(&oob_l1, l2->block + VMCB_EXITINTINFO);

    if (!(int_ctl & VMCB_V_IRQ)) {
        oob_lines_delivered(l2);
        return;
    }
    oob_lines_disarm(l2);
    if ((event & VMCB_EXITINTINFO_VALID) &&
        (event & 0xff) == oob_phys_read_u32(&oob_l1, l2->block + VMCB_INT_VECTOR)) {
        /* The exit came while our interrupt was being delivered: it is ours to deliver again. */
        oob_phys_write_u64(&oob_l1, l2->block + VMCB_EXITINTINFO, event & ~VMCB_EXITINTINFO_VALID);
    }
}

/* Gives L1 its fields of the VMCB back as it left them. */
static void take_back(const struct oob_l2_vcpu *l2, uint32_t int_ctl, bool relayed) {
    uint32_t own = oob_tcg(l2)->own_int_ctl & VMCB_V_INTR_BITS;

    oob_phys_write_u32(&oob_l1, l2->block + VMCB_INT_CTL, (int_ctl & ~VMCB_V_INTR_BITS) | own);
    oob_phys_write_u32(&oob_l1, l2->block + VMCB_INT_VECTOR, oob_tcg(l2)->own_vector);
    if (relayed)
        oob_phys_write_u32(&oob_l1, l2->block + VMCB_INTERCEPTS_3, oob_tcg(l2)->relay.intercepts);
}

uint64_t oob_inject_at_exit(struct oob_l2_vcpu *l2, uint64_t code) {
    bool relayed = oob_tcg(l2)->relay.event && !oob_tcg(l2)->relay.soft;

    if (oob_tcg(l2)->relay.event && oob_tcg(l2)->relay.soft)
        soft_at_exit(l2);
    if (relayed || l2->armed) { /* one V_IRQ at a time */
        uint32_t int_ctl = oob_phys_read_u32(&oob_l1, l2->block + VMCB_INT_CTL);

        if (relayed)
            virq_at_exit(l2, int_ctl);
        else
            armed_at_exit(l2, int_ctl);
        take_back(l2, int_ctl, relayed);
    }
    oob_tcg(l2)->relay.event = 0;
    return oob_guard_at_exit(l2, code);
}
