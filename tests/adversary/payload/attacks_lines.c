/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L2 prints short lines by interrupts, and halts between them. L1 counts what that costs. */
#include "svm.h"

static void set_handler(struct l2 *l2) {
    enum { VECTOR = 0x24, CODE_64 = 0x08, INTERRUPT_GATE = 0x8e00 };
    uint32_t *gate = (uint32_t *)l2->memory + VECTOR * 4,
             handler = L2_CODE + (uint32_t)(l2_short_lines_handler - l2_short_lines);

    gate[0] = CODE_64 << 16 | (handler & 0xffff);
    gate[1] = (handler & 0xffff0000) | INTERRUPT_GATE;
    gate[2] = gate[3] = 0;
    l2->vmcb->idtr.limit = 0xfff;
}

/* With `intr=0` L1 does not intercept physical interrupts, so that it is told of each HLT. */
ATTACK(short_lines) {
    enum { HLT_LENGTH = 1 };
    struct l2 *l2 = l2_new();
    uint64_t code, intr = 0, halts = 0, ioio = 0;

    L2_LOAD(l2, l2_short_lines);
    set_handler(l2);
    if (!option("intr", 1))
        l2->vmcb->intercept_1 &= ~INTERCEPT_INTR;
    l2->regs.r[RBX] = option("lines", 1000);
    while ((code = l2_run(l2)) == EXIT_INTR || code == EXIT_HLT || code == EXIT_IOIO) {
        if (code == EXIT_INTR) {
            intr++;
            take_interrupts();
        } else if (code == EXIT_HLT) {
            halts++;
            l2->vmcb->rip += HLT_LENGTH;
            l2->vmcb->int_shadow = 0;
        } else {
            ioio++;
            l2->vmcb->rip = l2->vmcb->exit_info_2;
        }
    }
    print("exit=%x\nhandled=%u\nintr=%u\nhalts=%u\nexits_by_io=%u\n", code, l2->regs.r[RCX], intr, halts, ioio);
}
