/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "inject.h"

#include "cpu.h"
#include "vmcb.h"

/* An 8259's interrupts go to the first vCPU; an IOAPIC's by its entry (82093AA datasheet, 3.2.4; AMD APM vol. 2,
 * 16.6.1; the flat model, and what Linux writes into LDR for it while it is not known). */
static bool is_destination(const struct oob_l2_vcpu *l2, const struct oob_route *route) {
    enum { BROADCAST = 0xff };
    unsigned logical = l2->logical_id ? l2->logical_id : 1u << (l2->apic_id & 7);

    if (!route->ioapic)
        return l2->index == 0;
    if (route->logical)
        return route->destination & logical;
    return route->destination == BROADCAST || route->destination == l2->apic_id;
}

/* The range whose interrupt is due on this vCPU, or -1. */
static int due(const struct oob_l2_vcpu *l2, struct oob_route *route) {
    const struct oob_context *context = l2->context;

    for (unsigned i = 0; i < oob_options.ranges; i++) {
        const struct oob_line *line = &context->line[i];

        if (!line->level || line->armed || !oob_irqchip_route(&context->chip, oob_options.range[i].line, route))
            continue;
        if (line->in_service && oob_now_ns() - line->since_ns < OOB_REPEAT_NS)
            continue;
        if (is_destination(l2, route))
            return (int)i;
    }
    return -1;
}

bool oob_inject_wanted(const struct oob_l2_vcpu *l2) {
    struct oob_route route;

    return !l2->armed && due(l2, &route) >= 0;
}

static void set_virq(const struct oob_l2_vcpu *l2, uint32_t int_ctl, unsigned vector) {
    oob_phys_write_u32(l2->vmcb + VMCB_INT_VECTOR, vector);
    oob_phys_write_u32(l2->vmcb + VMCB_INT_CTL, int_ctl | VMCB_V_INTR_BITS);
}

/* An interrupt that L1 injects becomes a V_IRQ, which QEMU delivers as any other. After EVENTINJ's it has an
 * exception left over (helper_vmrun, SVM_EVTINJ_TYPE_INTR), and delivers the interrupt once more, whatever IF says,
 * as soon as another thread makes the vCPU leave its loop before the next #VMEXIT. An L2 that prints without exits
 * leaves much time for that.
 *
 * EVENTINJ's is delivered before any exit, and a V_IRQ behind one that is pending already. KVM that has more to
 * inject sends itself an interrupt before VMRUN, and would inject the same for ever: what came back once goes as L1
 * has it, and has its exit at once. */
static bool relay(struct oob_l2_vcpu *l2, uint32_t int_ctl) {
    uint64_t event = oob_phys_read_u64(l2->vmcb + VMCB_EVENTINJ);
    bool returned = l2->returned;

    l2->returned = false;
    if (returned || !(event & VMCB_EVENTINJ_VALID) || (event & VMCB_EVENTINJ_TYPE) ||
        !(oob_phys_read_u64(l2->vmcb + VMCB_RFLAGS) & RFLAGS_IF) ||
        (oob_phys_read_u32(l2->vmcb + VMCB_INT_STATE) & VMCB_INT_SHADOW))
        return false;
    l2->relayed = event;
    oob_phys_write_u64(l2->vmcb + VMCB_EVENTINJ, 0);
    set_virq(l2, int_ctl, event & 0xff);
    return true;
}

/* It was delivered, or else it is L1's to inject again. */
static void relay_at_exit(struct oob_l2_vcpu *l2, uint32_t int_ctl) {
    l2->returned = int_ctl & VMCB_V_IRQ;
    if (l2->returned)
        oob_phys_write_u64(l2->vmcb + VMCB_EXITINTINFO, l2->relayed);
    l2->relayed = 0;
}

void oob_inject_at_vmrun(struct oob_l2_vcpu *l2) {
    uint32_t int_ctl = oob_phys_read_u32(l2->vmcb + VMCB_INT_CTL);
    struct oob_route route;
    int range;

    if (l2->armed) /* its vCPU was reset in the middle, without a #VMEXIT */
        l2->armed = l2->context->line[l2->armed_line].armed = false;
    l2->relayed = 0;
    /* L1 opens an interrupt window with a V_IRQ of its own: it comes first, and soon. */
    if ((int_ctl & VMCB_V_IRQ) || (oob_phys_read_u32(l2->vmcb + VMCB_INTERCEPTS_3) & VMCB_INTERCEPT_VINTR))
        return;
    if (relay(l2, int_ctl))
        return;
    range = due(l2, &route);
    if (range < 0)
        return;
    set_virq(l2, int_ctl, route.vector);
    l2->context->line[range].looked = false;
    l2->context->line[range].armed = true;
    l2->armed = true;
    l2->armed_line = (uint8_t)range;
}

static void armed_at_exit(struct oob_l2_vcpu *l2, uint32_t int_ctl) {
    uint64_t event = oob_phys_read_u64(l2->vmcb + VMCB_EXITINTINFO);
    struct oob_line *line = &l2->context->line[l2->armed_line];

    l2->armed = line->armed = false;
    if (!(int_ctl & VMCB_V_IRQ)) {
        if (line->pulse)
            line->level = line->pulse = false;
        if (!line->looked) {
            line->in_service = true;
            line->since_ns = oob_now_ns();
        }
        oob_stat[OOB_STAT_INJECTED]++;
    } else if ((event & VMCB_EXITINTINFO_VALID) && (event & 0xff) == oob_phys_read_u32(l2->vmcb + VMCB_INT_VECTOR)) {
        /* The exit came while our interrupt was being delivered: it is ours to deliver again. */
        oob_phys_write_u64(l2->vmcb + VMCB_EXITINTINFO, event & ~VMCB_EXITINTINFO_VALID);
    }
}

void oob_inject_at_exit(struct oob_l2_vcpu *l2) {
    uint32_t int_ctl;

    if (!l2->armed && !l2->relayed)
        return;
    int_ctl = oob_phys_read_u32(l2->vmcb + VMCB_INT_CTL);
    if (l2->relayed)
        relay_at_exit(l2, int_ctl);
    else
        armed_at_exit(l2, int_ctl);
    oob_phys_write_u32(l2->vmcb + VMCB_INT_CTL, int_ctl & ~VMCB_V_INTR_BITS);
    oob_phys_write_u32(l2->vmcb + VMCB_INT_VECTOR, 0);
}
