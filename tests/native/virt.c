/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A kind of virtualization that does not exist. Its block is a row of u64: first the state, in the order of enum
 * oob_state, then the number of the last exit's kind, what that exit is about, the tag, and what L1 wants. core.py
 * shows with it that native/core knows no kind of its own. */
#include "machine.h"
#include "platform.h"
#include "svm.h"

enum { KIND = OOB_STATE_COUNT, ADDRESS, PORT_AND_SIZE, TAG, OWN_INTERRUPT, TELLS };

static uint64_t row(struct oob_machine *machine, uint64_t block, unsigned number) {
    return oob_phys_read_u64(machine, block + 8 * number);
}

static uint64_t row_read(struct oob_machine *machine, uint64_t block, enum oob_state which) {
    return row(machine, block, which);
}

static void row_write(struct oob_machine *machine, uint64_t block, enum oob_state which, uint64_t value) {
    oob_phys_write_u64(machine, block + 8 * which, value);
}

static struct oob_exit row_exit(struct oob_machine *machine, uint64_t block) {
    uint64_t io = row(machine, block, PORT_AND_SIZE);

    return (struct oob_exit){.kind = (enum oob_exit_kind)row(machine, block, KIND),
                             .address = row(machine, block, ADDRESS),
                             .port = (uint16_t)io,
                             .size = (uint8_t)(io >> 16)};
}

static void row_tag(struct oob_machine *machine, uint64_t block, uint64_t tag) {
    oob_phys_write_u64(machine, block + 8 * TAG, tag);
}

static bool row_has_tag(struct oob_machine *machine, uint64_t block, uint64_t tag) {
    return row(machine, block, TAG) == tag;
}

static bool row_has_own_interrupt(struct oob_machine *machine, uint64_t block) {
    return row(machine, block, OWN_INTERRUPT);
}

static bool row_exits_at_interrupts(struct oob_machine *machine, uint64_t block) {
    return row(machine, block, TELLS);
}

static void row_show_interrupt(struct oob_machine *machine, uint64_t block, uint64_t rip) {
    row_write(machine, block, OOB_STATE_RIP, rip);
    oob_phys_write_u64(machine, block + 8 * KIND, OOB_EXIT_INTERRUPT);
}

static const struct oob_virt rows = {
    .read = row_read,
    .write = row_write,
    .exit = row_exit,
    .tag = row_tag,
    .has_tag = row_has_tag,
    .has_own_interrupt = row_has_own_interrupt,
    .exits_at_interrupts = row_exits_at_interrupts,
    .show_interrupt = row_show_interrupt,
    .nested_present = 7, /* as Intel's extended page tables: an entry may be readable, writable or executable */
};

void virt_use_rows(struct oob_machine *machine) {
    machine->virt = &rows;
}

/* Asks AMD's kind about a VMCB. */
uint64_t virt_read(struct oob_machine *machine, uint64_t vmcb, enum oob_state which) {
    return oob_svm.read(machine, vmcb, which);
}

void virt_write(struct oob_machine *machine, uint64_t vmcb, enum oob_state which, uint64_t value) {
    oob_svm.write(machine, vmcb, which, value);
}

void virt_exit(struct oob_machine *machine, uint64_t vmcb, struct oob_exit *exit) {
    *exit = oob_svm.exit(machine, vmcb);
}
