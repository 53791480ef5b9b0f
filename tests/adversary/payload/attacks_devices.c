/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L2's permission map lies where L1 has a device: each look at it may take QEMU's own lock. And another L2
 * takes an exception at each of its accesses, which QEMU delivers with that lock held. */
#include "svm.h"

enum { HPET = 0xfed00000, DB = 1, TRAP_FLAG = 0x100, DR7_IO_0 = 0x20001, NOTHING_PORT = 0xec };

static struct l2 *other;
static volatile uint64_t rounds;

/* Prints again and again, with the map in the device. */
static void run_other(void) {
    for (second_running = true; !second_stop; rounds++) {
        other->vmcb->rip = L2_CODE;
        other->regs.r[RAX] = 'B';
        other->regs.r[RCX] = 1;
        while (l2_run(other) == EXIT_INTR)
            take_interrupts();
        if (other->vmcb->exit_code != EXIT_VMMCALL)
            print("\nother_exit=%x\n", other->vmcb->exit_code);
    }
    second_running = false;
    for (;;)
        __asm__ volatile("hlt");
}

static void set_handler(struct l2 *l2) {
    enum { CODE_64 = 0x08, INTERRUPT_GATE = 0x8e00 };
    uint32_t *gate = (uint32_t *)l2->memory + DB * 4, handler = L2_CODE + (uint32_t)(l2_trapped_handler - l2_trapped);

    gate[0] = CODE_64 << 16 | (handler & 0xffff);
    gate[1] = (handler & 0xffff0000) | INTERRUPT_GATE;
    gate[2] = gate[3] = 0;
    l2->vmcb->idtr.limit = 0xfff;
}

/* Has an exception at each access: a single step behind it, or an I/O breakpoint at the port where it is executed. */
static void set_exceptions(struct l2 *l2) {
    set_handler(l2);
    l2->vmcb->intercept_exceptions = 0;
    if (option("step", 1))
        l2->vmcb->rflags |= TRAP_FLAG;
    else
        l2->vmcb->dr7 = DR7_IO_0;
    __asm__ volatile("mov %0, %%dr0" : : "r"((uint64_t)NOTHING_PORT));
}

ATTACK(map_in_a_device) {
    struct l2 *l2 = l2_new();
    uint64_t code;

    L2_LOAD(l2, l2_trapped);
    set_exceptions(l2);
    l2->regs.r[RAX] = 'A';
    l2->regs.r[RCX] = option("times", 1000);
    other = l2_new();
    L2_LOAD(other, l2_trapped);
    l2_say(l2, "<");
    l2_say(other, "<");
    other->vmcb->iopm = option("device", HPET);
    second_start_and_wait(run_other);
    while ((code = l2_run(l2)) == EXIT_INTR)
        take_interrupts();
    second_stop = true;
    while (second_running)
        ;
    print("exit=%x\ntraps=%u\nrounds=%u\nrax=%x\nrdx=%x\n", code, l2->regs.r[RBX], rounds, l2->regs.r[RAX],
          l2->regs.r[RDX]);
}
