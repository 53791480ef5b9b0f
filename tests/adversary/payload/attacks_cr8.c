/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L2 writes to CR8, in every encoding, while an interrupt is pending in its VMCB: QEMU by itself aborts then. */
#include "svm.h"

enum { VECTOR = 0x24, VMMCALL_LENGTH = 3 };

/* What L1 saw until L2 said that it is done. */
struct seen {
    uint64_t intr, cr8_write, last;
};

/* Until L2 tells L1: physical interrupts are let through, `out`s that reach L1 and writes to CR8 are stepped over. */
static struct seen run(struct l2 *l2) {
    struct seen seen = {0};

    for (;;) {
        seen.last = l2_run(l2);
        if (seen.last == EXIT_INTR) {
            seen.intr++;
            take_interrupts();
        } else if (seen.last == EXIT_IOIO) {
            l2->vmcb->rip = l2->vmcb->exit_info_2;
        } else if (seen.last == EXIT_CR8_WRITE && !seen.cr8_write++) {
            print("cr8_write_at=%x\n", l2->vmcb->rip);
            l2->vmcb->intercept_cr &= ~INTERCEPT_CR8_WRITE;
            l2->vmcb->int_ctl &= ~V_IRQ;
        } else {
            return seen;
        }
    }
}

static void tell(const struct l2 *l2, struct seen seen) {
    print("exit=%x\nintr=%u\ncr8_writes=%u\n", seen.last, seen.intr, seen.cr8_write);
    print("cr8=%u\nv_tpr=%u\n", l2->regs.r[RBX], l2->vmcb->int_ctl & 15);
    print("intercept_cr=%x\nv_irq=%x\nint_vector=%x\n", l2->vmcb->intercept_cr, l2->vmcb->int_ctl & V_IRQ,
          l2->vmcb->int_vector);
}

/* In L1's VMCB: an interrupt window, or a wish to see the writes, or what few hypervisors do. */
static void prepare(struct l2 *l2) {
    l2->vmcb->int_vector = VECTOR + 1;
    if (option("window", 0)) {
        l2->vmcb->int_ctl |= V_IRQ;
        l2->vmcb->intercept_1 |= INTERCEPT_VINTR;
    }
    if (option("own", 0))
        l2->vmcb->intercept_cr |= INTERCEPT_CR8_WRITE;
    if (!option("intr", 1))
        l2->vmcb->intercept_1 &= ~INTERCEPT_INTR;
    if (!option("masking", 1))
        l2->vmcb->int_ctl &= ~V_INTR_MASKING;
}

ATTACK(cr8) {
    struct l2 *l2 = l2_new();

    L2_LOAD(l2, l2_cr8);
    l2->regs.r[RCX] = option("times", 1000);
    run(l2);
    l2->vmcb->rip += VMMCALL_LENGTH;
    if (option("real", 0)) {
        L2_LOAD(l2, l2_cr8_real);
        l2_set_mode(l2, MODE_REAL, 0, 0);
        l2->vmcb->rip = VMMCALL_LENGTH;
    }
    prepare(l2);
    tell(l2, run(l2));
}

/* L1 takes the CPU away 2000 times a second while L2 takes interrupts and writes to CR8 all the time. */
ATTACK(cr8_and_interrupts) {
    enum { TICK_2_KHZ = 597, CODE_64 = 0x08, INTERRUPT_GATE = 0x8e00 };
    struct l2 *l2 = l2_new();
    uint32_t *gate = (uint32_t *)l2->memory + VECTOR * 4,
             handler = L2_CODE + (uint32_t)(l2_cr8_handler - l2_cr8_and_interrupts);
    uint64_t code, said = 0, exits = 0;

    L2_LOAD(l2, l2_cr8_and_interrupts);
    gate[0] = CODE_64 << 16 | (handler & 0xffff);
    gate[1] = (handler & 0xffff0000) | INTERRUPT_GATE;
    gate[2] = gate[3] = 0;
    l2->vmcb->idtr.limit = 0xfff;
    timer_start(TICK_2_KHZ);
    do {
        code = l2_run(l2);
        if (code == EXIT_INTR)
            take_interrupts();
        else if (code == EXIT_IOIO)
            l2->vmcb->rip = l2->vmcb->exit_info_2;
        l2->regs.r[RBX] = ++exits >= option("exits", 4000);
        said |= l2->vmcb->intercept_cr;
    } while (code == EXIT_INTR || code == EXIT_IOIO);
    timer_stop();
    print("exit=%x\ninterrupts=%u\nintercept_cr=%x\n", code, l2->regs.r[RCX], said);
}
