/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "context.h"

#include "decode.h"
#include "machine.h"
#include "platform.h"
#include "unit.h"
#include "virt.h"

#define RESET_RIP 0xfff0u
#define RESET_CS_BASE 0xffff0000u

enum {
    TICK_NS = 200000000,   /* how often we look for guests that L1 has destroyed */
    SILENT_NS = 500000000, /* a guest that has run within this time is alive */
    KERNEL_ENTRIES = 64,   /* entries between two looks at the address of a guest's kernel */
    NESTED_ROOT_BYTES = 4096,
};

/* A guest that waits for L1 may be silent for longer than SILENT_NS, because an overloaded L1 needs seconds for a
 * change of memory slots. */
#define LATE_L1_NS 10000000000ull

/* The bit SLP_EN of the PM1 control register (ACPI 6.5, section 4.8.3.2.1). The firmware decides which port that
 * register has, so a write to any port counts, except to those at which the bit may stand by chance. */
#define ACPI_SLEEP_ENABLE (1u << 13)
#define PCI_CONFIG_PORTS 0xcf8u /* to 0xcff: data of any kind is written there */

struct oob_context *oob_context_find(struct oob_machine *machine, uint32_t number) {
    struct oob_context *all = machine->contexts.context;

    for (size_t i = 0; number && i < OOB_CONTEXTS_MAX; i++)
        if (all[i].number == number)
            return &all[i];
    return NULL;
}

void oob_context_each(struct oob_machine *machine, void (*visit)(struct oob_context *context)) {
    struct oob_context *all = machine->contexts.context;

    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (all[i].number)
            visit(&all[i]);
}

static void remember(const struct oob_context *context) {
    struct oob_contexts *all = &context->machine->contexts;
    struct oob_remembered *slot = &all->remembered[all->next_remembered];

    if (!context->touched || !context->kernel)
        return;
    all->next_remembered = (all->next_remembered + 1) % OOB_REMEMBERED_MAX;
    slot->kernel = context->kernel;
    slot->chip = context->chip;
    memcpy(slot->stash, context->stash, sizeof slot->stash);
    for (size_t i = 0; i < OOB_DEVICES_MAX; i++)
        memcpy(slot->shadow[i], context->unit[i].shadow, sizeof slot->shadow[i]);
}

static void recall(struct oob_context *context, uint64_t kernel) {
    struct oob_contexts *all = &context->machine->contexts;

    for (size_t i = 0; i < OOB_REMEMBERED_MAX; i++) {
        struct oob_remembered *slot = &all->remembered[i];

        if (!kernel || slot->kernel != kernel)
            continue;
        slot->kernel = 0;
        context->chip = slot->chip;
        memcpy(context->stash, slot->stash, sizeof context->stash);
        for (unsigned device = 0; device < context->machine->bus.devices; device++)
            oob_unit_recall(context, device, slot->shadow[device]);
        all->events->replay(context);
        return;
    }
}

static void drop_vcpus(struct oob_context *context) {
    struct oob_l2_vcpu *vcpu = context->machine->contexts.vcpu;

    for (size_t i = 0; i < OOB_L2_VCPUS_MAX; i++) {
        if (vcpu[i].context != context)
            continue;
        if (vcpu[i].index < OOB_STASH_MAX)
            context->stash[vcpu[i].index] = vcpu[i].hidden;
        vcpu[i] = (struct oob_l2_vcpu){0};
    }
    context->vcpus = 0;
}

/* L1 may go on with a vCPU in another block than the one in which it stopped the vCPU. Returns the hidden registers
 * of the stopped vCPU, which is recognised by its RIP. */
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

void oob_context_forget(struct oob_context *context, enum oob_gone_reason reason) {
    const struct oob_context_events *events = context->machine->contexts.events;

    events->ended(context);
    drop_vcpus(context);
    remember(context);
    if (!events->gone(context, reason))
        oob_context_end(context);
}

void oob_context_end(struct oob_context *context) {
    for (unsigned device = 0; device < OOB_DEVICES_MAX; device++)
        oob_unit_free(context, device);
    context->number = 0;
}

static bool lives(const struct oob_context *context) {
    return context->number && !context->departed;
}

static struct oob_context *free_slot(struct oob_contexts *all) {
    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (!all->context[i].number)
            return &all->context[i];
    return NULL;
}

/* Gives up the context that has not run for the longest time. It is the most likely one to have been destroyed by L1
 * without our notice. */
static void evict(struct oob_contexts *all) {
    struct oob_context *oldest = NULL;

    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (lives(&all->context[i]) && (!oldest || all->context[i].last_run_ns < oldest->last_run_ns))
            oldest = &all->context[i];
    if (oldest)
        oob_context_forget(oldest, OOB_GONE_EVICTED);
}

struct oob_context *oob_context_new(struct oob_machine *machine, uint64_t block, uint64_t root) {
    struct oob_contexts *all = &machine->contexts;
    struct oob_context *context;

    while (!(context = free_slot(all)))
        if (!all->events->make_room(machine)) /* contexts that have departed are ended before those that live */
            evict(all);
    memset(context, 0, sizeof *context);
    context->machine = machine;
    context->number = ++all->last_number;
    context->root = root;
    context->nested.levels = OOB_LONG_LEVELS;
    context->first_block = block;
    context->last_run_ns = oob_now_ns();
    for (unsigned device = 0; device < machine->bus.devices; device++)
        oob_unit_init(context, device);
    oob_irqchip_reset(&context->chip);
    return context;
}

static uint64_t state_of(struct oob_machine *machine, uint64_t block, enum oob_state which) {
    return machine->virt->read(machine, block, which);
}

static bool at_reset_vector(struct oob_machine *machine, uint64_t block) {
    return state_of(machine, block, OOB_STATE_RIP) == RESET_RIP &&
           state_of(machine, block, OOB_STATE_CS_BASE) == RESET_CS_BASE;
}

static struct oob_context *context_of_root(struct oob_contexts *all, uint64_t root) {
    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (lives(&all->context[i]) && all->context[i].root == root)
            return &all->context[i];
    return NULL;
}

/* The guest that L1 has stopped, and now runs in another block: it restored a snapshot, or migrated the guest to
 * itself. NULL when there is none. */
static struct oob_context *stopped_with_kernel(struct oob_contexts *all, uint64_t kernel) {
    uint64_t now = oob_now_ns();

    for (size_t i = 0; kernel && i < OOB_CONTEXTS_MAX; i++) {
        struct oob_context *context = &all->context[i];

        if (lives(context) && context->kernel == kernel && now - context->last_run_ns > SILENT_NS)
            return context;
    }
    return NULL;
}

static struct oob_context *context_for(struct oob_machine *machine, uint64_t block, uint64_t root) {
    uint64_t kernel = state_of(machine, block, OOB_STATE_LSTAR);
    struct oob_context *context;

    /* A VM's first vCPU starts at the reset vector. Its other vCPUs start where the first one sends them. */
    if (at_reset_vector(machine, block))
        return oob_context_new(machine, block, root);
    context = context_of_root(&machine->contexts, root);
    if (context)
        return context;
    context = stopped_with_kernel(&machine->contexts, kernel);
    if (context) {
        drop_vcpus(context);
        return context;
    }
    context = oob_context_new(machine, block, root);
    recall(context, kernel);
    return context;
}

static struct oob_l2_vcpu *known_vcpu(struct oob_contexts *all, uint64_t block) {
    for (size_t i = 0; i < OOB_L2_VCPUS_MAX; i++)
        if (all->vcpu[i].block == block)
            return &all->vcpu[i];
    return NULL;
}

static struct oob_l2_vcpu *vcpu_new(struct oob_machine *machine, uint64_t block, uint64_t root) {
    struct oob_context *context = context_for(machine, block, root);
    struct oob_l2_vcpu *vcpu;

    while (!(vcpu = known_vcpu(&machine->contexts, 0))) {
        evict(&machine->contexts);
        if (!lives(context))
            context = oob_context_new(machine, block, root);
    }
    *vcpu = (struct oob_l2_vcpu){.block = block, .context = context, .index = context->vcpus++};
    vcpu->apic_id = vcpu->index;
    vcpu->hidden = take_from_stash(context, state_of(machine, block, OOB_STATE_RIP));
    vcpu->tag = oob_random();
    machine->virt->tag(machine, block, vcpu->tag);
    return vcpu;
}

static bool has_tag(const struct oob_l2_vcpu *vcpu) {
    struct oob_machine *machine = vcpu->context->machine;

    return machine->virt->has_tag(machine, vcpu->block, vcpu->tag);
}

void oob_context_restart(struct oob_context *context) {
    const struct oob_context_events *events = context->machine->contexts.events;

    events->ended(context);
    for (unsigned device = 0; device < context->machine->bus.devices; device++)
        oob_unit_restart(context, device);
    oob_irqchip_reset(&context->chip);
    if (context->touched)
        events->replay(context);
}

static void look_at_guest(struct oob_l2_vcpu *vcpu) {
    struct oob_context *context = vcpu->context;

    if (vcpu->index == 0) {
        bool at_reset = at_reset_vector(context->machine, vcpu->block);

        if (at_reset && vcpu->entries && !context->at_reset)
            oob_context_restart(context);
        context->at_reset = at_reset;
    }
    if (vcpu->entries++ % KERNEL_ENTRIES == 0)
        context->kernel = state_of(context->machine, vcpu->block, OOB_STATE_LSTAR);
}

struct oob_l2_vcpu *oob_context_enter(struct oob_machine *machine, uint64_t block) {
    uint64_t root = state_of(machine, block, OOB_STATE_NESTED_ROOT);
    struct oob_l2_vcpu *vcpu = known_vcpu(&machine->contexts, block);

    /* KVM clears a block when it makes one, but not when its guest reboots. So a missing tag means that the page now
     * belongs to another VM. */
    if (vcpu && !has_tag(vcpu)) {
        struct oob_context *former = vcpu->context;

        *vcpu = (struct oob_l2_vcpu){0};
        if (--former->vcpus == 0)
            oob_context_forget(former, OOB_GONE_REPLACED);
        vcpu = NULL;
    }
    if (!vcpu)
        vcpu = vcpu_new(machine, block, root);
    vcpu->context->root = root;
    vcpu->context->last_run_ns = oob_now_ns();
    look_at_guest(vcpu);
    return vcpu;
}

/* Was the guest's last exit an OUT of 16 bits that switches it off? An emulator usually ends then, and the VM is
 * destroyed. */
static bool powered_off(struct oob_machine *machine, uint64_t block, const struct oob_exit *io) {
    bool plain_out = !io->in && !io->string && !io->rep;

    return plain_out && io->size == 2 && (io->port & 0xfff8) != PCI_CONFIG_PORTS &&
           (state_of(machine, block, OOB_STATE_RAX) & ACPI_SLEEP_ENABLE);
}

/* May the vCPU's guest be silent because L1 is busy with it? It may if the vCPU asked L1's emulator for something
 * that may change memory slots, if it was reset and has not run since, or if it is just about to run. */
static bool awaits_l1(struct oob_machine *machine, uint64_t block) {
    struct oob_exit exit = machine->virt->exit(machine, block);

    switch (exit.kind) {
    case OOB_EXIT_NONE:
    case OOB_EXIT_TRIPLE_FAULT:
    case OOB_EXIT_NESTED_FAULT: return true;
    case OOB_EXIT_IO: return !powered_off(machine, block, &exit);
    default: return at_reset_vector(machine, block);
    }
}

static bool root_maps(struct oob_machine *machine, uint64_t root) {
    uint64_t entry[64];
    bool mapped = false;

    for (size_t at = 0; !mapped && at < NESTED_ROOT_BYTES; at += sizeof entry) {
        oob_phys_read(machine, (root & ~0xfffull) + at, entry, sizeof entry);
        for (size_t i = 0; i < sizeof entry / sizeof *entry; i++)
            mapped |= (entry[i] & machine->virt->nested_present) != 0;
    }
    return mapped;
}

/* How does a destroyed VM look? KVM empties the VM's nested page table, and whoever gets the pages next clears them.
 * But KVM also empties the table when memory slots change (a reset, a firmware that shadows its ROM, a PCI device
 * that is mapped), and makes another table when the guest runs again. So an empty table alone is no proof. */
static bool is_destroyed(const struct oob_context *context, uint64_t silent_ns) {
    struct oob_machine *machine = context->machine;
    const struct oob_l2_vcpu *vcpu = machine->contexts.vcpu;
    bool tagged = false, waits = false;

    for (size_t i = 0; i < OOB_L2_VCPUS_MAX; i++) {
        if (vcpu[i].context != context || !has_tag(&vcpu[i]))
            continue;
        tagged = true;
        waits |= awaits_l1(machine, vcpu[i].block);
    }
    if (tagged && root_maps(machine, context->root))
        return false;
    return !tagged || !waits || silent_ns > LATE_L1_NS;
}

void oob_context_tick(struct oob_machine *machine) {
    struct oob_contexts *all = &machine->contexts;
    uint64_t now = oob_now_ns();

    if (now - all->last_tick_ns < TICK_NS)
        return;
    all->last_tick_ns = now;
    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++) {
        uint64_t silent_ns = now - all->context[i].last_run_ns;

        if (lives(&all->context[i]) && silent_ns > SILENT_NS && is_destroyed(&all->context[i], silent_ns))
            oob_context_forget(&all->context[i], OOB_GONE_DESTROYED);
    }
}

void oob_context_reset_all(struct oob_machine *machine) {
    struct oob_contexts *all = &machine->contexts;

    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (lives(&all->context[i]))
            oob_context_forget(&all->context[i], OOB_GONE_RESET);
    memset(all->remembered, 0, sizeof all->remembered);
}
