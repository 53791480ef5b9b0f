/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "learn.h"

#include "decode.h"
#include "machine.h"
#include "paging.h"
#include "platform.h"

#define EFER_LMA (1u << 10)

enum { CPUID_FEATURES = 1, CPUID_TOPOLOGY = 0xb };
enum { RAX = 1 << OOB_REG_RAX, RCX = 1 << OOB_REG_RCX, RDX = 1 << OOB_REG_RDX, RSP = 1 << OOB_REG_RSP, ALL = 0xffff };

static uint64_t state_of(const struct oob_l2_vcpu *l2, enum oob_state which) {
    struct oob_machine *machine = l2->context->machine;

    return machine->virt->read(machine, l2->block, which);
}

/* Reads the instruction at which L2 stopped, or as much of it as is mapped: it may be the last one before an unmapped
 * page. Returns the number of bytes. */
static size_t read_code(const struct oob_l2_vcpu *l2, const struct oob_paging *paging, uint8_t bytes[OOB_INSN_MAX]) {
    uint64_t base = paging->efer & EFER_LMA ? 0 : state_of(l2, OOB_STATE_CS_BASE);
    uint64_t rip = state_of(l2, OOB_STATE_RIP);
    size_t len = OOB_INSN_MAX;

    while (len && !oob_paging_read(paging, base + rip, bytes, len))
        len--;
    return len;
}

/* Finds the value that L2 was about to store when the nested page fault stopped it. */
static bool stored_value(unsigned vcpu, const struct oob_l2_vcpu *l2, uint32_t *value) {
    struct oob_paging paging = oob_paging_saved(l2->context, l2->block);
    uint8_t bytes[OOB_INSN_MAX];
    size_t len = read_code(l2, &paging, bytes);
    struct oob_mov_insn mov;

    if (!oob_decode_mov(bytes, len, paging.efer & EFER_LMA ? OOB_MODE_64 : OOB_MODE_32, &mov) || !mov.store)
        return false;
    if (mov.immediate)
        *value = mov.value;
    else if (mov.reg == OOB_REG_RAX) /* after an exit the CPU's RAX may be L1's own already */
        *value = (uint32_t)state_of(l2, OOB_STATE_RAX);
    else
        *value = (uint32_t)oob_reg_read(l2->context->machine, vcpu, OOB_REG_RAX + mov.reg);
    return true;
}

static void learn_store(unsigned vcpu, struct oob_l2_vcpu *l2, uint64_t gpa) {
    uint32_t value;

    if (((gpa & ~0x1full) != OOB_IOAPIC_BASE && gpa != OOB_APIC_LDR) || !stored_value(vcpu, l2, &value))
        return;
    if (gpa == OOB_APIC_LDR)
        l2->logical_id = (uint8_t)(value >> 24);
    else
        oob_irqchip_mmio_write(&l2->context->chip, gpa, value);
}

void oob_learn_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, const struct oob_exit *exit) {
    if (exit->kind == OOB_EXIT_NESTED_FAULT)
        learn_store(vcpu, l2, exit->address);
    else if (exit->kind == OOB_EXIT_CPUID)
        l2->cpuid_leaf = (uint32_t)state_of(l2, OOB_STATE_RAX);
}

/* Leaves 1 and 0xb of CPUID hold the APIC ID (AMD APM vol. 3, E.3.2 and E.4.7). */
void oob_learn_at_entry(unsigned vcpu, struct oob_l2_vcpu *l2) {
    struct oob_machine *machine = l2->context->machine;

    if (l2->cpuid_leaf == CPUID_FEATURES)
        l2->apic_id = oob_reg_read(machine, vcpu, OOB_REG_RBX) >> 24 & 0xff;
    else if (l2->cpuid_leaf == CPUID_TOPOLOGY)
        l2->apic_id = (uint32_t)oob_reg_read(machine, vcpu, OOB_REG_RDX);
    l2->cpuid_leaf = 0;
}

/* At a write to the SMI command port L1 puts L2 into SMM. Then all of L2's registers go into the state save area, and
 * SeaBIOS passes arguments in them. For string I/O L1 needs the address and the count (AMD APM vol. 2, 15.10.2). */
static unsigned needed_for_io(const struct oob_exit *io) {
    enum { SMI_COMMAND_PORT = 0xb2 };
    bool smi = !io->in && io->port == SMI_COMMAND_PORT;

    return smi || io->string ? ALL : RAX | RSP;
}

/* RSP tells nothing about the console, so it is never hidden. */
unsigned oob_needed_at_exit(const struct oob_exit *exit) {
    switch (exit->kind) {
    case OOB_EXIT_INTERRUPT:
    case OOB_EXIT_HALT: return RSP;
    case OOB_EXIT_IO: return needed_for_io(exit);
    case OOB_EXIT_MSR: return RAX | RCX | RDX | RSP;
    default: return ALL;
    }
}
