/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "context.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "cpu.h"
#include "link.h"
#include "vmcb.h"

#define RESET_RIP 0xfff0u
#define RESET_CS_BASE 0xffff0000u

pthread_mutex_t oob_lock = PTHREAD_MUTEX_INITIALIZER;
struct oob_options oob_options;
uint64_t oob_stat[OOB_STATS_MAX];

static struct oob_context contexts[OOB_CONTEXTS_MAX];
static struct oob_l2_vcpu l2_vcpus[OOB_L2_VCPUS_MAX];
static uint32_t last_number;

uint64_t oob_now_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct oob_context *oob_context_find(uint32_t number) {
    for (size_t i = 0; number && i < OOB_CONTEXTS_MAX; i++)
        if (contexts[i].number == number)
            return &contexts[i];
    return NULL;
}

void oob_context_each(void (*visit)(struct oob_context *context)) {
    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (contexts[i].number)
            visit(&contexts[i]);
}

static void forget(struct oob_context *context, enum oob_gone_reason reason) {
    if (context->touched)
        oob_link_gone(context, reason);
    for (size_t i = 0; i < OOB_L2_VCPUS_MAX; i++)
        if (l2_vcpus[i].context == context)
            l2_vcpus[i] = (struct oob_l2_vcpu){0};
    for (size_t i = 0; i < OOB_RANGES_MAX; i++)
        oob_uart_reset(&context->uart[i]);
    context->number = 0;
}

/* A free slot, or that of the context that has not run for longest: one that L1 destroyed looks the same. */
static struct oob_context *take_slot(void) {
    struct oob_context *oldest = &contexts[0];

    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++) {
        if (!contexts[i].number)
            return &contexts[i];
        if (contexts[i].last_run_ns < oldest->last_run_ns)
            oldest = &contexts[i];
    }
    forget(oldest, OOB_GONE_EVICTED);
    return oldest;
}

static struct oob_context *context_new(uint64_t vmcb, uint64_t ncr3) {
    struct oob_context *context = take_slot();

    *context = (struct oob_context){.number = ++last_number, .ncr3 = ncr3, .first_vmcb = vmcb};
    for (size_t i = 0; i < OOB_RANGES_MAX; i++)
        oob_uart_reset(&context->uart[i]);
    oob_irqchip_reset(&context->chip);
    return context;
}

static bool at_reset_vector(uint64_t vmcb) {
    return oob_phys_read_u64(vmcb + VMCB_RIP) == RESET_RIP && oob_phys_read_u64(vmcb + VMCB_CS_BASE) == RESET_CS_BASE;
}

static struct oob_context *context_of_ncr3(uint64_t ncr3) {
    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (contexts[i].number && contexts[i].ncr3 == ncr3)
            return &contexts[i];
    return NULL;
}

static struct oob_l2_vcpu *known_vcpu(uint64_t vmcb) {
    for (size_t i = 0; i < OOB_L2_VCPUS_MAX; i++)
        if (l2_vcpus[i].vmcb == vmcb)
            return &l2_vcpus[i];
    return NULL;
}

static struct oob_l2_vcpu *vcpu_new(uint64_t vmcb, uint64_t ncr3) {
    struct oob_l2_vcpu *vcpu = known_vcpu(0);
    struct oob_context *context;

    if (!vcpu)
        return NULL;
    /* A VM's first vCPU starts at the reset vector, its others where the first sends them. */
    context = at_reset_vector(vmcb) ? NULL : context_of_ncr3(ncr3);
    if (!context)
        context = context_new(vmcb, ncr3);
    *vcpu = (struct oob_l2_vcpu){.vmcb = vmcb, .context = context, .index = context->vcpus++};
    if (getrandom(&vcpu->tag, sizeof vcpu->tag, GRND_NONBLOCK) != sizeof vcpu->tag)
        vcpu->tag = oob_now_ns();
    oob_phys_write_u64(vmcb + VMCB_SOFTWARE, vcpu->tag);
    return vcpu;
}

struct oob_l2_vcpu *oob_context_enter(uint64_t vmcb) {
    uint64_t ncr3 = oob_phys_read_u64(vmcb + VMCB_N_CR3);
    struct oob_l2_vcpu *vcpu = known_vcpu(vmcb);

    /* KVM clears a VMCB when it makes one, not when its guest reboots: a tag that is gone means that
     * the page now belongs to another VM. */
    if (vcpu && oob_phys_read_u64(vmcb + VMCB_SOFTWARE) != vcpu->tag) {
        struct oob_context *former = vcpu->context;

        *vcpu = (struct oob_l2_vcpu){0};
        if (--former->vcpus == 0)
            forget(former, OOB_GONE_REPLACED);
        vcpu = NULL;
    }
    if (!vcpu)
        vcpu = vcpu_new(vmcb, ncr3);
    if (vcpu) {
        vcpu->context->ncr3 = ncr3;
        vcpu->context->last_run_ns = oob_now_ns();
    }
    return vcpu;
}
