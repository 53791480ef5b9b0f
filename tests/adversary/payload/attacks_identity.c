/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which L2 is it? L1 chooses the VMCBs, the nested tables and what stands in them. */
#include "svm.h"

enum { COM1 = 0x3f8 };

/* Two VMCBs with one nested table, as of two vCPUs. */
ATTACK(shared_table) {
    struct l2 *a = l2_new();
    struct vmcb *first = a->vmcb;

    l2_say(a, "first vCPU\n");
    l2_new_vmcb(a);
    l2_say(a, "second vCPU\n");
    a->vmcb = first;
    l2_say(a, "first again\n");
}

/* A VMCB's page is cleared, and becomes another L2's. */
ATTACK(reused_vmcb) {
    struct l2 *a = l2_new(), *b = l2_new();
    struct vmcb *page = a->vmcb;

    l2_say(a, "the first owner\n");
    memcpy(page, b->vmcb, PAGE);
    b->vmcb = page;
    l2_say(b, "the second owner\n");
}

/* An L2 of L1's own in the user's VMCB, tag and all. */
ATTACK(kept_tag) {
    struct l2 *a = l2_new(), *b = l2_new();
    uint64_t table = b->vmcb->n_cr3;

    l2_say(a, "the user's\n");
    b->vmcb = a->vmcb;
    b->vmcb->n_cr3 = table;
    l2_say(b, "an impostor\n");
}

/* The user's VMCB copied elsewhere, tag and all: with the user's nested table, and with another. */
ATTACK(copied_tag) {
    struct l2 *a = l2_new(), *b = l2_new();
    uint64_t table = b->vmcb->n_cr3;

    l2_say(a, "the user's\n");
    b->vmcb = memcpy(pages(1), a->vmcb, PAGE);
    b->vmcb->n_cr3 = table;
    l2_say(b, "the tag alone\n");
    b = l2_new();
    b->memory = a->memory;
    b->vmcb = memcpy(pages(1), a->vmcb, PAGE);
    l2_say(b, "tag and table\n");
}

/* Two L2s and two CPUs, which change places after each run. */
enum { ROUNDS = 300 };
static struct l2 *pair[2];
static volatile unsigned arrived[2];

static void run_rounds(unsigned cpu) {
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct l2 *l2 = pair[(cpu + round) & 1];

        l2->regs.r[RDX] = COM1;
        l2->vmcb->rip = L2_CODE;
        if (l2_run(l2) != EXIT_VMMCALL)
            die("L2 did not end as it was to");
        arrived[cpu] = round + 1;
        while (arrived[!cpu] < round + 1)
            ;
    }
}

static void run_rounds_on_second(void) {
    run_rounds(1);
    for (;;)
        __asm__ volatile("hlt");
}

ATTACK(swapped_cpus) {
    for (unsigned i = 0; i < 2; i++) {
        pair[i] = l2_new();
        l2_say(pair[i], i ? "\n" : "\n"); /* whose console is whose */
        L2_LOAD(pair[i], l2_out);
        pair[i]->regs.r[RAX] = 'a' + i;
    }
    second_start(run_rounds_on_second);
    run_rounds(0);
    print("rounds=%u\n", (uint64_t)ROUNDS);
}

/* What decides that L1 is told: cleared by L1, so that L2's port I/O would reach L1's own hardware. */
ATTACK(no_intercept) {
    struct l2 *l2 = l2_new();

    l2->vmcb->intercept_1 &= ~INTERCEPT_IOIO;
    l2_say(l2, "no intercept\n");
    l2->vmcb->intercept_1 |= INTERCEPT_IOIO;
    memset((void *)(uintptr_t)l2->vmcb->iopm, 0, 3 * PAGE);
    l2_say(l2, "empty permission map\n");
    l2->vmcb->iopm = 0xfffffff000;
    l2_say(l2, "no permission map\n");
}

/* As KVM leaves an L2 whose memory slots change: its vCPU has asked for something, and its nested table is empty.
 * What L1 does meanwhile is what makes L0 look for the dead: it writes MSRs, as every kernel does all the time. */
static void empty_for_a_while(struct l2 *l2, uint64_t exit_code, uint64_t exit_info_1, uint64_t rax) {
    enum { TICKS = 40, KERNEL_GS_BASE = 0xc0000102 };
    void *root = (void *)(uintptr_t)l2->vmcb->n_cr3, *kept = memcpy(pages(1), root, PAGE);

    l2->vmcb->exit_code = exit_code;
    l2->vmcb->exit_info_1 = exit_info_1;
    l2->vmcb->rax = rax;
    memset(root, 0, PAGE);
    for (unsigned tick = 0; tick < TICKS; tick++) {
        wait_ticks(1);
        write_msr(KERNEL_GS_BASE, 0);
    }
    memcpy(root, kept, PAGE);
}

/* An honest L1 that is late, with everything that changes memory slots. */
ATTACK(late_l1) {
    struct l2 *l2 = l2_new();

    l2_say(l2, "before\n");
    empty_for_a_while(l2, EXIT_IOIO, 0x640010, 0xfe); /* a reset by the keyboard's controller */
    l2_say(l2, "after a reset\n");
    empty_for_a_while(l2, EXIT_SHUTDOWN, 0, 0);
    l2_say(l2, "after a triple fault\n");
    empty_for_a_while(l2, EXIT_IOIO, 0xcfc0040, 0x33333333); /* the firmware shadows its ROM */
    l2_say(l2, "after PAM\n");
    empty_for_a_while(l2, EXIT_NPF, 0x100000017, 0); /* a register of a device in memory */
    l2_say(l2, "after MMIO\n");
}

/* L2s that are destroyed: one runs when it is killed, one has switched itself off. */
ATTACK(destroyed) {
    struct l2 *a = l2_new(), *b = l2_new();

    l2_say(a, "runs\n");
    empty_for_a_while(a, EXIT_INTR, 0, 0);
    l2_say(b, "switches itself off\n");
    empty_for_a_while(b, EXIT_IOIO, 0x6040020, 0x2000);
}

/* A virtual interrupt of L1's own, which L2 cannot take: it must be there still, as L1 put it. */
ATTACK(own_virq) {
    enum { VECTOR = 0x31 };
    struct l2 *l2 = l2_new();

    l2->vmcb->int_ctl |= V_IRQ;
    l2->vmcb->int_vector = VECTOR;
    l2_say(l2, "with an interrupt of L1's\n");
    print("int_ctl=%x\n", (uint64_t)(l2->vmcb->int_ctl & ~0xfu));
    print("int_vector=%x\n", (uint64_t)l2->vmcb->int_vector);
}
