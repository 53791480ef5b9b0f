/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L1's own port I/O: before, after and between guests, in code that L2 runs as well, and after a failed VMRUN. */
#include "svm.h"

enum { COM1 = 0x3f8, COM1_LSR = 0x3fd, COM1_SCR = 0x3ff, TICK_100_HZ = 11932 };

ATTACK(own_io) {
    struct l2 *l2 = l2_new();
    unsigned ready = 0, ioio = 0;

    out8(COM1_SCR, 0x77);
    print("own=before\n");
    l2_say(l2, "L2 alone\n");
    print("own=between\n");
    print("map=%x\n", (uint64_t)((const uint8_t *)(uintptr_t)l2->vmcb->iopm)[0xec / 8]);
    l2->regs.r[RAX] = 0x11;
    L2_LOAD(l2, l2_scratch);
    l2_run(l2);
    print("l2_scratch=%x\n", l2->regs.r[RAX] & 0xff);
    print("own_scratch=%x\n", (uint64_t)in8(COM1_SCR));
    l2_set_mode(l2, MODE_LONG, 0, 0);
    L2_LOAD(l2, l2_await);
    print("type=now\n");
    timer_start(TICK_100_HZ);
    l2_run_past_io(l2, &ioio);
    for (unsigned i = 0; i < 1000; i++)
        ready += in8(COM1_LSR) & 1;
    print("own_ready=%u\n", (uint64_t)ready);
    print("own_data=%x\n", (uint64_t)in8(COM1));
    l2_set_mode(l2, MODE_LONG, 0, 0);
    L2_LOAD(l2, l2_read);
    l2->regs.r[RCX] = 5;
    l2->regs.r[RDI] = L2_DATA;
    l2_run_past_io(l2, &ioio);
    print("l2_read=%s\n", (const char *)l2->memory + L2_DATA);
}

/* An L2 that polls for input, and never leaves. */
ATTACK(polled_input) {
    struct l2 *l2 = l2_new();

    l2_say(l2, "type\n");
    print("type=now\n");
    L2_LOAD(l2, l2_await);
    l2_run(l2);
}

/* VMRUN that enters no guest, or leaves it at once; the next instruction of L1 is port I/O, in fresh code. */
static void run_fresh(const char *what, uint64_t vmcb) {
    uint8_t *code = memcpy(pages(1), stub, (size_t)(stub_end - stub));
    uint64_t faults = traps.vmrun_faults;
    uint64_t scratch = HIGH((stub_function *)(uintptr_t)code)(vmcb, COM1);

    print("\n%s=scratch:%x faults:%u\n", what, scratch, traps.vmrun_faults - faults);
}

ATTACK(failing_vmrun) {
    struct l2 *l2 = l2_new();
    struct vmcb good;

    l2_say(l2, "L2 was here\n");
    out8(COM1_SCR, 0x77);
    good = *l2->vmcb;
    run_fresh("misaligned", (uintptr_t)l2->vmcb + 8);
    run_fresh("no_memory", 0xffff000000000000);
    l2->vmcb->asid = 0;
    run_fresh("asid_0", (uintptr_t)l2->vmcb);
    *l2->vmcb = good;
    l2->vmcb->efer = 0;
    run_fresh("no_svme", (uintptr_t)l2->vmcb);
    *l2->vmcb = good;
    l2->vmcb->intercept_2 = 0;
    run_fresh("no_vmrun_intercept", (uintptr_t)l2->vmcb);
    *l2->vmcb = good;
    L2_LOAD(l2, l2_nothing);
    run_fresh("leaves_at_once", (uintptr_t)l2->vmcb);
    *l2->vmcb = good;

    l2->nested[L2_CODE / PAGE] = 0;
    run_fresh("nested_fault", (uintptr_t)l2->vmcb);
}

/* L2 in L1's own address space, mapped one to one: both run one `out` at one address, by turns. */
ATTACK(shared_code) {
    enum { TURNS = 500 };
    struct l2 *l2 = l2_new();
    uint64_t *nested = pages(2);

    nested[0] = (uintptr_t)(nested + 512) | 7;
    for (uint64_t i = 0; i < 4; i++)
        nested[512 + i] = i << 30 | 0x87;
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t *directory = pages(1);

        for (uint64_t j = 0; j < 512; j++)
            directory[j] = i << 30 | j << 21 | 0x87;
        nested[512 + i] = (uintptr_t)directory | 7;
    }
    l2->vmcb->n_cr3 = (uintptr_t)nested;
    l2->vmcb->cr3 = (uintptr_t)pml4;
    for (unsigned i = 0; i < TURNS; i++) {
        __asm__ volatile("call *%0" : : "r"(l2_shared), "a"('1'), "d"(COM1), "c"(1) : "memory", "cc");
        l2->vmcb->rip = (uintptr_t)l2_shared;
        l2->regs.r[RAX] = '2';
        l2->regs.r[RDX] = COM1;
        l2->regs.r[RCX] = 0;
        if (l2_run(l2) != EXIT_VMMCALL)
            die("L2 did not end as it was to");
        while (!(in8(COM1_LSR) & 0x20))
            ;
    }
    print("\nturns=%u\n", (uint64_t)TURNS);
}

/* An INIT takes a CPU out of its guest without a #VMEXIT; then it is L1's again. */
static struct l2 *victim;
static volatile unsigned step;

static void run_victim(void) {
    step = 1;
    l2_run(victim);
    die("L2 left");
}

static void after_init(void) {
    print("own=after INIT\n");
    step = 2;
    for (;;)
        __asm__ volatile("hlt");
}

static void start_victim(void) {
    victim = l2_new();
    l2_say(victim, "before INIT\n");
    L2_LOAD(victim, l2_spin);
    second_start(run_victim);
    while (step != 1)
        ;
    wait_ticks(1);
}

static void go_on_with_victim(void) {
    l2_set_mode(victim, MODE_LONG, 0, 0);
    l2_say(victim, "after INIT\n");
}

ATTACK(init_in_guest) {
    start_victim();
    second_start(after_init);
    while (step != 2)
        ;
    go_on_with_victim();
}

/* The same, but all that L1 runs there was never run before, so that the interceptor has to find out whose it is. */
ATTACK(init_and_svme) {
    extern const uint8_t svme_then_io[], svme_then_io_scratch[], svme_then_io_done[], svme_then_io_end[];
    volatile uint8_t *code;

    out8(COM1_SCR, 0x77);
    start_victim();
    code = second_start_in_real_mode(svme_then_io, (size_t)(svme_then_io_end - svme_then_io));
    while (!code[svme_then_io_done - svme_then_io])
        ;
    print("\nscratch=%x\n", (uint64_t)code[svme_then_io_scratch - svme_then_io]);
    go_on_with_victim();
}
