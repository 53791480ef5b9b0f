/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "context.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "cpu.h"
#include "decode.h"
#include "link.h"
#include "resync.h"
#include "vmcb.h"

#define RESET_RIP 0xfff0u
#define RESET_CS_BASE 0xffff0000u

enum {
    REMEMBERED_MAX = 8,    /* guests that are gone */
    TICK_NS = 200000000,   /* how often we look for the dead */
    SILENT_NS = 500000000, /* who has run since is alive */
    KERNEL_ENTRIES = 64,   /* VMRUNs between two looks at where a guest's kernel lies */
    NESTED_ROOT_BYTES = 4096,
};

/* ... but a guest that waits for L1 may wait longer: an overloaded L1 needs seconds for a change of memory slots. */
#define LATE_L1_NS 10000000000ull

/* SLP_EN of the PM1 control register (ACPI 6.5, section 4.8.3.2.1), which lies where the firmware says. */
#define ACPI_SLEEP_ENABLE (1u << 13)
#define PCI_CONFIG_PORTS 0xcf8u /* to 0xcff: what is written there has any bits */

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

/* Guests that are gone, as they were: one that L1 restores from a snapshot has its devices already programmed. */
static struct remembered {
    uint64_t kernel;
    struct oob_hidden stash[OOB_STASH_MAX];
    struct oob_irqchip chip;
    struct oob_uart uart[OOB_RANGES_MAX]; /* their registers alone */
} remembered[REMEMBERED_MAX];

static void remember(const struct oob_context *context) {
    static unsigned next;
    struct remembered *slot = &remembered[next];

    if (!context->touched || !context->kernel)
        return;
    next = (next + 1) % REMEMBERED_MAX;
    slot->kernel = context->kernel;
    slot->chip = context->chip;
    memcpy(slot->stash, context->stash, sizeof slot->stash);
    for (size_t i = 0; i < OOB_RANGES_MAX; i++)
        slot->uart[i] = oob_uart_registers(&context->uart[i]);
}

static void recall(struct oob_context *context, uint64_t kernel) {
    for (size_t i = 0; i < REMEMBERED_MAX; i++) {
        if (!kernel || remembered[i].kernel != kernel)
            continue;
        remembered[i].kernel = 0;
        context->chip = remembered[i].chip;
        memcpy(context->stash, remembered[i].stash, sizeof context->stash);
        memcpy(context->uart, remembered[i].uart, sizeof context->uart);
        oob_resync_replay(context);
        return;
    }
}

static void drop_vcpus(struct oob_context *context) {
    for (size_t i = 0; i < OOB_L2_VCPUS_MAX; i++) {
        if (l2_vcpus[i].context != context)
            continue;
        if (l2_vcpus[i].index < OOB_STASH_MAX)
            context->stash[l2_vcpus[i].index] = l2_vcpus[i].hidden;
        l2_vcpus[i] = (struct oob_l2_vcpu){0};
    }
    context->vcpus = 0;
}

/* The registers of a vCPU that goes on elsewhere than it was stopped: it is known by where it was. */
static struct oob_hidden take_from_stash(struct oob_context *context, uint64_t rip) {
    struct oob_hidden found = {0};

    for (size_t i = 0; i < OOB_STASH_MAX && !found.which; i++) {
        if (!context->stash[i].which || rip - context->stash[i].rip > OOB_INSN_MAX)
            continue;
        found = context->stash[i];
        context->stash[i].which = 0;
    }
    return found;
}

static void forget(struct oob_context *context, enum oob_gone_reason reason) {
    drop_vcpus(context);
    remember(context);
    if (!oob_link_gone(context, reason))
        oob_context_end(context);
}

void oob_context_end(struct oob_context *context) {
    for (size_t i = 0; i < OOB_RANGES_MAX; i++)
        oob_uart_reset(&context->uart[i]);
    context->number = 0;
}

static bool lives(const struct oob_context *context) {
    return context->number && !context->departed;
}

static struct oob_context *free_slot(void) {
    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (!contexts[i].number)
            return &contexts[i];
    return NULL;
}

/* Gives up the context that has not run for longest: one that L1 destroyed looks the same. */
static void evict(void) {
    struct oob_context *oldest = NULL;

    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (lives(&contexts[i]) && (!oldest || contexts[i].last_run_ns < oldest->last_run_ns))
            oldest = &contexts[i];
    if (oldest)
        forget(oldest, OOB_GONE_EVICTED);
}

/* Those that have departed go first, the oldest of them before the others. */
static void make_room(void) {
    struct oob_context *departed = oob_resync_departed(true);

    if (!departed) {
        evict();
        return;
    }
    oob_link_give_up(departed);
    oob_context_end(departed);
}

static struct oob_context *context_new(uint64_t vmcb, uint64_t ncr3) {
    struct oob_context *context;

    while (!(context = free_slot()))
        make_room();
    *context =
        (struct oob_context){.number = ++last_number, .ncr3 = ncr3, .first_vmcb = vmcb, .last_run_ns = oob_now_ns()};
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
        if (lives(&contexts[i]) && contexts[i].ncr3 == ncr3)
            return &contexts[i];
    return NULL;
}

/* The guest that L1 has stopped here and goes on with there: from a snapshot, or by a migration to itself. */
static struct oob_context *stopped_with_kernel(uint64_t kernel) {
    uint64_t now = oob_now_ns();

    for (size_t i = 0; kernel && i < OOB_CONTEXTS_MAX; i++)
        if (lives(&contexts[i]) && contexts[i].kernel == kernel && now - contexts[i].last_run_ns > SILENT_NS)
            return &contexts[i];
    return NULL;
}

static struct oob_context *context_for(uint64_t vmcb, uint64_t ncr3) {
    uint64_t kernel = oob_phys_read_u64(vmcb + VMCB_LSTAR);
    struct oob_context *context;

    /* A VM's first vCPU starts at the reset vector, its others where the first sends them. */
    if (at_reset_vector(vmcb))
        return context_new(vmcb, ncr3);
    context = context_of_ncr3(ncr3);
    if (context)
        return context;
    context = stopped_with_kernel(kernel);
    if (context) {
        drop_vcpus(context);
        return context;
    }
    context = context_new(vmcb, ncr3);
    recall(context, kernel);
    return context;
}

static struct oob_l2_vcpu *known_vcpu(uint64_t vmcb) {
    for (size_t i = 0; i < OOB_L2_VCPUS_MAX; i++)
        if (l2_vcpus[i].vmcb == vmcb)
            return &l2_vcpus[i];
    return NULL;
}

static struct oob_l2_vcpu *vcpu_new(uint64_t vmcb, uint64_t ncr3) {
    struct oob_context *context = context_for(vmcb, ncr3);
    struct oob_l2_vcpu *vcpu;

    while (!(vcpu = known_vcpu(0))) {
        evict();
        if (!lives(context))
            context = context_new(vmcb, ncr3);
    }
    *vcpu = (struct oob_l2_vcpu){.vmcb = vmcb, .context = context, .index = context->vcpus++};
    vcpu->apic_id = vcpu->index;
    vcpu->hidden = take_from_stash(context, oob_phys_read_u64(vmcb + VMCB_RIP));
    if (getrandom(&vcpu->tag, sizeof vcpu->tag, GRND_NONBLOCK) != sizeof vcpu->tag)
        vcpu->tag = oob_now_ns();
    oob_phys_write_u64(vmcb + VMCB_SOFTWARE, vcpu->tag);
    return vcpu;
}

static bool has_tag(const struct oob_l2_vcpu *vcpu) {
    return oob_phys_read_u64(vcpu->vmcb + VMCB_SOFTWARE) == vcpu->tag;
}

/* The guest was reset, and its devices with it; what it has printed stays. */
static void restart(struct oob_context *context) {
    for (size_t i = 0; i < OOB_RANGES_MAX; i++)
        oob_uart_restart(&context->uart[i]);
    oob_irqchip_reset(&context->chip);
    if (context->touched)
        oob_resync_replay(context);
}

static void look_at_guest(struct oob_l2_vcpu *vcpu) {
    struct oob_context *context = vcpu->context;

    if (vcpu->index == 0) {
        bool at_reset = at_reset_vector(vcpu->vmcb);

        if (at_reset && vcpu->entries && !context->at_reset)
            restart(context);
        context->at_reset = at_reset;
    }
    if (vcpu->entries++ % KERNEL_ENTRIES == 0)
        context->kernel = oob_phys_read_u64(vcpu->vmcb + VMCB_LSTAR);
}

struct oob_l2_vcpu *oob_context_enter(uint64_t vmcb) {
    uint64_t ncr3 = oob_phys_read_u64(vmcb + VMCB_N_CR3);
    struct oob_l2_vcpu *vcpu = known_vcpu(vmcb);

    /* KVM clears a VMCB when it makes one, not when its guest reboots: a tag that is gone means that
     * the page now belongs to another VM. */
    if (vcpu && !has_tag(vcpu)) {
        struct oob_context *former = vcpu->context;

        *vcpu = (struct oob_l2_vcpu){0};
        if (--former->vcpus == 0)
            forget(former, OOB_GONE_REPLACED);
        vcpu = NULL;
    }
    if (!vcpu)
        vcpu = vcpu_new(vmcb, ncr3);
    vcpu->context->ncr3 = ncr3;
    vcpu->context->last_run_ns = oob_now_ns();
    look_at_guest(vcpu);
    return vcpu;
}

/* Has the guest switched itself off, by an OUT of 16 bits? An emulator that ends then destroys the VM. */
static bool powered_off(uint64_t vmcb) {
    uint64_t info = oob_phys_read_u64(vmcb + VMCB_EXITINFO1);

    return (info & IOIO_KIND) == IOIO_16_BITS && (info >> IOIO_PORT_SHIFT & 0xfff8) != PCI_CONFIG_PORTS &&
           (oob_phys_read_u64(vmcb + VMCB_RAX) & ACPI_SLEEP_ENABLE);
}

/* Did the vCPU ask L1's emulator for something that may change memory slots, was it reset and has not run since, or
 * is it just about to run? */
static bool awaits_l1(uint64_t vmcb) {
    uint64_t code = oob_phys_read_u64(vmcb + VMCB_EXITCODE);

    switch (code) {
    case VMEXIT_SHUTDOWN:
    case VMEXIT_NPF: return true;
    case VMEXIT_IOIO: return !powered_off(vmcb);
    default: return code >= VMEXIT_END || at_reset_vector(vmcb); /* `oob_on_vmrun` writes a number of its own there */
    }
}

static bool root_maps(uint64_t ncr3) {
    uint64_t root[NESTED_ROOT_BYTES / sizeof(uint64_t)];
    bool mapped = false;

    oob_phys_read(ncr3 & ~0xfffull, root, sizeof root);
    for (size_t i = 0; i < sizeof root / sizeof *root; i++)
        mapped |= root[i] & 1;
    return mapped;
}

/* KVM empties a VM's nested page table when it destroys it, and whoever gets the pages next clears them. It empties
 * the table, too, when memory slots change (a reset, a firmware that shadows its ROM, a PCI device that is mapped),
 * and makes another one when the guest runs again. */
static bool is_destroyed(const struct oob_context *context, uint64_t silent_ns) {
    bool tagged = false, waits = false;

    for (size_t i = 0; i < OOB_L2_VCPUS_MAX; i++) {
        if (l2_vcpus[i].context != context || !has_tag(&l2_vcpus[i]))
            continue;
        tagged = true;
        waits |= awaits_l1(l2_vcpus[i].vmcb);
    }
    if (tagged && root_maps(context->ncr3))
        return false;
    return !tagged || !waits || silent_ns > LATE_L1_NS;
}

void oob_context_tick(void) {
    static uint64_t last;
    uint64_t now = oob_now_ns();

    if (now - last < TICK_NS)
        return;
    last = now;
    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++) {
        uint64_t silent_ns = now - contexts[i].last_run_ns;

        if (lives(&contexts[i]) && silent_ns > SILENT_NS && is_destroyed(&contexts[i], silent_ns))
            forget(&contexts[i], OOB_GONE_DESTROYED);
    }
}

void oob_context_reset_all(void) {
    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (lives(&contexts[i]))
            forget(&contexts[i], OOB_GONE_RESET);
    memset(remembered, 0, sizeof remembered);
}
