/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "svm.h"

#include "platform.h"
#include "vmcb.h"

static const struct {
    uint16_t offset;
    uint8_t bytes;
} fields[OOB_STATE_COUNT] = {
    [OOB_STATE_RAX] = {VMCB_RAX, 8},         [OOB_STATE_RIP] = {VMCB_RIP, 8},
    [OOB_STATE_RFLAGS] = {VMCB_RFLAGS, 8},   [OOB_STATE_CR0] = {VMCB_CR0, 8},
    [OOB_STATE_CR3] = {VMCB_CR3, 8},         [OOB_STATE_CR4] = {VMCB_CR4, 8},
    [OOB_STATE_EFER] = {VMCB_EFER, 8},       [OOB_STATE_CS_BASE] = {VMCB_CS_BASE, 8},
    [OOB_STATE_TR_BASE] = {VMCB_TR_BASE, 8}, [OOB_STATE_TR_LIMIT] = {VMCB_TR_LIMIT, 4},
    [OOB_STATE_LSTAR] = {VMCB_LSTAR, 8},     [OOB_STATE_NESTED_ROOT] = {VMCB_N_CR3, 8},
};

static uint64_t svm_read(struct oob_machine *machine, uint64_t vmcb, enum oob_state which) {
    uint64_t value = 0;

    oob_phys_read(machine, vmcb + fields[which].offset, &value, fields[which].bytes);
    return value;
}

static void svm_write(struct oob_machine *machine, uint64_t vmcb, enum oob_state which, uint64_t value) {
    oob_phys_write(machine, vmcb + fields[which].offset, &value, fields[which].bytes);
}

static enum oob_exit_kind kind_of(uint64_t code) {
    switch (code) {
    case VMEXIT_INTR:
    case VMEXIT_NMI:
    case VMEXIT_SMI:
    case VMEXIT_VINTR: return OOB_EXIT_INTERRUPT;
    case VMEXIT_HLT: return OOB_EXIT_HALT;
    case VMEXIT_IOIO: return OOB_EXIT_IO;
    case VMEXIT_MSR: return OOB_EXIT_MSR;
    case VMEXIT_CPUID: return OOB_EXIT_CPUID;
    case VMEXIT_NPF: return OOB_EXIT_NESTED_FAULT;
    case VMEXIT_SHUTDOWN: return OOB_EXIT_TRIPLE_FAULT;
    /* The host may have written a code of its own there, at VMRUN. -1: VMRUN has refused the VMCB. */
    default: return code >= VMEXIT_END ? OOB_EXIT_NONE : OOB_EXIT_OTHER;
    }
}

static struct oob_exit svm_exit(struct oob_machine *machine, uint64_t vmcb) {
    struct oob_exit exit = {.kind = kind_of(oob_phys_read_u64(machine, vmcb + VMCB_EXITCODE))};
    uint64_t info;

    if (exit.kind == OOB_EXIT_NESTED_FAULT)
        exit.address = oob_phys_read_u64(machine, vmcb + VMCB_EXITINFO2);
    if (exit.kind != OOB_EXIT_IO)
        return exit;
    info = oob_phys_read_u64(machine, vmcb + VMCB_EXITINFO1);
    exit.port = (uint16_t)(info >> IOIO_PORT_SHIFT);
    exit.in = info & IOIO_IN;
    exit.string = info & IOIO_STRING;
    exit.rep = info & IOIO_REP;
    exit.size = info >> IOIO_SIZE_SHIFT & 7; /* one bit for each of the sizes 1, 2 and 4 */
    return exit;
}

static void svm_tag(struct oob_machine *machine, uint64_t vmcb, uint64_t tag) {
    oob_phys_write_u64(machine, vmcb + VMCB_SOFTWARE, tag);
}

static bool svm_has_tag(struct oob_machine *machine, uint64_t vmcb, uint64_t tag) {
    return oob_phys_read_u64(machine, vmcb + VMCB_SOFTWARE) == tag;
}

/* L1 asks with a V_IRQ, or with the VINTR intercept, to be told when L2 takes interrupts. */
static bool svm_has_own_interrupt(struct oob_machine *machine, uint64_t vmcb) {
    return (oob_phys_read_u32(machine, vmcb + VMCB_INT_CTL) & VMCB_V_IRQ) ||
           (oob_phys_read_u32(machine, vmcb + VMCB_INTERCEPTS_3) & VMCB_INTERCEPT_VINTR);
}

static bool svm_exits_at_interrupts(struct oob_machine *machine, uint64_t vmcb) {
    return oob_phys_read_u32(machine, vmcb + VMCB_INTERCEPTS_3) & VMCB_INTERCEPT_INTR;
}

static void svm_show_interrupt(struct oob_machine *machine, uint64_t vmcb, uint64_t rip) {
    uint64_t flags = oob_phys_read_u64(machine, vmcb + VMCB_RFLAGS);
    uint64_t state = oob_phys_read_u64(machine, vmcb + VMCB_INT_STATE);

    oob_phys_write_u64(machine, vmcb + VMCB_RIP, rip);
    oob_phys_write_u64(machine, vmcb + VMCB_RFLAGS, flags & ~(uint64_t)RFLAGS_RF);
    oob_phys_write_u64(machine, vmcb + VMCB_INT_STATE, state & ~(uint64_t)VMCB_INT_SHADOW);
    oob_phys_write_u64(machine, vmcb + VMCB_EXITCODE, VMEXIT_INTR);
    oob_phys_write_u64(machine, vmcb + VMCB_EXITINFO1, 0);
    oob_phys_write_u64(machine, vmcb + VMCB_EXITINFO2, 0);
}

const struct oob_virt oob_svm = {
    .read = svm_read,
    .write = svm_write,
    .exit = svm_exit,
    .tag = svm_tag,
    .has_tag = svm_has_tag,
    .has_own_interrupt = svm_has_own_interrupt,
    .exits_at_interrupts = svm_exits_at_interrupts,
    .show_interrupt = svm_show_interrupt,
    .nested_present = 1,
};
