/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L1 meddles with an L2's registers and code between its runs, listens at its exits, and floods. */
#include "svm.h"

enum { COM1 = 0x3f8, POST_CODE = 0x80, RFLAGS_TF = 0x100, RFLAGS_IF = 0x200, EXIT_DB = EXIT_EXCEPTION + 1 };

/* Until L2 does port I/O at `port`; everything else L1 passes over. */
static uint64_t run_to_port(struct l2 *l2, uint16_t port) {
    for (;;) {
        uint64_t code = l2_run(l2);

        if (code != EXIT_IOIO || l2->vmcb->exit_info_1 >> 16 == port)
            return code;
        l2->vmcb->rip = l2->vmcb->exit_info_2;
    }
}

/* An L2 whose interrupt is due and cannot be delivered: its `out` becomes one to port 0x80. That happens first when
 * it allows interrupts; it then looks, finds THR empty, tells L1, and prints. */
static struct l2 *forced(void) {
    enum { VMMCALL_LENGTH = 3 };
    struct l2 *l2 = l2_new();

    L2_LOAD(l2, l2_forced);
    print("first_forced=%x\n", run_to_port(l2, POST_CODE));
    l2->vmcb->rip = l2->vmcb->exit_info_2;
    print("looked=%x\n", l2_run(l2));
    l2->vmcb->rip += VMMCALL_LENGTH;
    print("forced_exit=%x\n", run_to_port(l2, POST_CODE));
    print("seen_rax=%x\nseen_rdx=%x\n", l2->regs.r[RAX], l2->regs.r[RDX]);
    return l2;
}

static void end_forced(struct l2 *l2) {
    print("exit=%x\n", l2_run(l2));
    print("l2_rax=%x\nl2_rdx=%x\n", l2->regs.r[RBX], l2->regs.r[RCX]);
}

ATTACK(forced_honest) {
    struct l2 *l2 = forced();

    l2->vmcb->rip = l2->vmcb->exit_info_2;
    end_forced(l2);
}

/* L1 has other registers for L2. */
ATTACK(forced_registers) {
    struct l2 *l2 = forced();

    l2->vmcb->rip = l2->vmcb->exit_info_2;
    l2->regs.r[RAX] = l2->regs.r[RDX] = 0x666;
    end_forced(l2);
}

/* L1 resumes L2 at the forced `out` once more, and only then after it. */
ATTACK(forced_again) {
    struct l2 *l2 = forced();

    print("again=%x\n", run_to_port(l2, POST_CODE));
    l2->vmcb->rip = l2->vmcb->exit_info_2;
    end_forced(l2);
}

/* L1 resumes L2 elsewhere, at code that gives the registers away. */
ATTACK(forced_elsewhere) {
    enum { ELSEWHERE = L2_CODE + 0x800 };
    struct l2 *l2 = forced();

    memcpy(l2->memory + ELSEWHERE, l2_tell, (size_t)(l2_tell_end - l2_tell));
    l2->vmcb->rip = ELSEWHERE;
    end_forced(l2);
}

ATTACK(forced_single_step) {
    struct l2 *l2 = forced();

    l2->vmcb->rip = l2->vmcb->exit_info_2;
    l2->vmcb->rflags |= RFLAGS_TF;
    print("step_exit=%x\n", l2_run(l2));
    print("step_rax=%x\n", l2->regs.r[RAX]);
}

enum { VECTOR = 0x24, HANDLER = L2_CODE + 3 }; /* behind a VMMCALL */

/* L2 is stopped where L1 has an interrupt for it. */
static void inject(struct l2 *l2) {
    l2_set_mode(l2, MODE_REAL, 0, 0);
    ((uint32_t *)l2->memory)[VECTOR] = L2_CODE >> 4 << 16 | (HANDLER - L2_CODE);
    l2->vmcb->rflags |= option("takes", 1) ? RFLAGS_IF : 0;
    l2->vmcb->event_inject = 1u << 31 | VECTOR;
}

/* ... and runs as a user, in long mode. */
static void inject_into_user(struct l2 *l2) {
    enum { CODE_64 = 0x08, INTERRUPT_GATE = 0x8e00, TSS_RSP0 = 4 };
    uint32_t *gate = (uint32_t *)l2->memory + VECTOR * 4;

    l2_set_mode(l2, MODE_LONG, 3, 0);
    gate[0] = CODE_64 << 16 | (HANDLER & 0xffff);
    gate[1] = (HANDLER & 0xffff0000) | INTERRUPT_GATE;
    gate[2] = gate[3] = 0;
    *(uint32_t *)(l2->memory + L2_TSS + TSS_RSP0) = L2_STACK - 0x800;
    l2->vmcb->rflags |= RFLAGS_IF;
    l2->vmcb->event_inject = 1u << 31 | VECTOR;
}

/* L1 asks for an exit as soon as L2 would take another interrupt. */
static void open_window(struct l2 *l2) {
    l2->vmcb->int_ctl |= V_IRQ;
    l2->vmcb->int_vector = VECTOR + 1;
    l2->vmcb->intercept_1 |= INTERCEPT_VINTR;
}

/* L1 has an interrupt of its own for L2, whose handler prints. */
ATTACK(injected) {
    struct l2 *l2 = l2_new();
    unsigned ioio = 0;
    uint64_t code;

    L2_LOAD(l2, l2_handler);
    inject(l2);
    code = l2_run_past_io(l2, &ioio);
    print("\nexit=%x\nhandled=%u\n", code, l2->regs.r[RCX] & 0xffff);
}

/* Two lines of the cache: QEMU stops every CPU for that. */
static void stop_the_world(void) {
    static uint8_t lines[128] __attribute__((aligned(64)));

    for (second_running = true; !second_stop;)
        __asm__ volatile("lock incl %0" : "+m"(*(uint32_t *)(lines + 62)));
}

/* ... and the other CPU makes this one pause all the time, while the handler runs. */
ATTACK(injected_and_stopped) {
    struct l2 *l2 = l2_new();

    second_start_and_wait(stop_the_world);
    if (option("user", 0)) {
        L2_LOAD(l2, l2_slow_handler_64);
        inject_into_user(l2);
    } else {
        L2_LOAD(l2, l2_slow_handler);
        inject(l2);
    }
    if (option("window", 0))
        open_window(l2);
    print("exits=%x", l2_run(l2));
    print(",%x\n", l2_run(l2));
    print("handled=%u\n", l2->regs.r[RCX] & 0xffff);
    print("left=%x,%x\n", l2->vmcb->int_ctl & V_IRQ, l2->vmcb->exit_int_info >> 31);
    second_stop = true;
}

ATTACK(modified_code) {
    struct l2 *l2 = l2_new();

    L2_LOAD(l2, l2_modify);
    print("exit=%x\n", l2_run(l2));
    for (unsigned i = 4; i < 8; i++) {
        uint8_t code[] = {i & 1 ? 0x90 : 0xee, 0x0f, 0x01, 0xd9};

        l2_load(l2, code, sizeof code);
        l2->vmcb->rip = L2_CODE;
        l2->regs.r[RAX] = '0' + i;
        l2->regs.r[RDX] = COM1;
        l2_run(l2);
    }
}

/* Single-steps an L2 that reads its console, and notes AL after each `in` from the receive register. */
ATTACK(stepped_reads) {
    struct l2 *l2 = l2_new();
    enum { LOOP = 0xe2 };
    uint8_t heard[64];
    size_t n = 0;

    print("type=now\n");
    L2_LOAD(l2, l2_read);
    l2->regs.r[RCX] = 6;
    l2->regs.r[RDI] = L2_DATA;
    do {
        l2->vmcb->rflags |= RFLAGS_TF;
        if (l2->memory[l2->vmcb->rip] == LOOP && n < sizeof heard)
            heard[n++] = (uint8_t)l2->regs.r[RAX];
    } while (l2_run(l2) == EXIT_DB);
    print("heard=");
    print_hex(heard, n);
    print("\n");
}

/* L1 takes the CPU away again and again while L2 prints a text, as a loop or as one instruction. */
ATTACK(interrupted) {
    enum { TICK_2_KHZ = 597, LENGTH = 0x2000, ENOUGH = 10, ROUNDS_MAX = 30 };
    struct l2 *l2 = l2_new();
    unsigned ioio = 0, rounds = 0;

    for (unsigned i = 0; i < LENGTH; i++)
        l2->memory[L2_DATA + i] = (uint8_t)(i % 64 ? ' ' + i * 7 % 90 : '\n');
    if (option("string", 0))
        L2_LOAD(l2, l2_print_string);
    else
        L2_LOAD(l2, l2_print);
    timer_start(TICK_2_KHZ);
    while (traps.interrupts < ENOUGH && rounds++ < ROUNDS_MAX) {
        l2->vmcb->rip = L2_CODE;
        l2->regs.r[RSI] = L2_DATA;
        l2->regs.r[RCX] = LENGTH;
        l2->regs.r[RDX] = COM1;
        l2_run_past_io(l2, &ioio);
    }
    timer_stop();
    print("\ninterrupts=%u\nrounds=%u\n", traps.interrupts, (uint64_t)rounds);
}

/* An L2 that runs `code` RCX times, and can print before and after it. */
static void flood(const void *code, size_t len, uint64_t times) {
    struct l2 *l2 = l2_new();

    l2_say(l2, "begin\n");
    l2_load(l2, code, len);
    l2->regs.r[RCX] = option("times", times);
    print("exit=%x\n", l2_run(l2));
    l2_set_mode(l2, MODE_LONG, 0, 0);
    l2_say(l2, "end\n");
}

ATTACK(flood_reads) {
    flood(l2_flood_in, (size_t)(l2_flood_in_end - l2_flood_in), 100000);
}

ATTACK(flood_interrupts) {
    flood(l2_flood_ier, (size_t)(l2_flood_ier_end - l2_flood_ier), 50000);
}

/* So many L2s, one after the other, each of which prints a byte; then one that the user might have. */
ATTACK(flood_contexts) {
    enum { POOL = 1024 };
    uint64_t times = option("times", 100000);
    struct l2 *l2 = l2_new();
    uint8_t *vmcbs = pages(POOL), *roots = pages(POOL);

    L2_LOAD(l2, l2_out);
    l2->regs.r[RDX] = COM1;
    l2->regs.r[RAX] = 'x';
    for (uint64_t i = 0; i < times; i++) {
        struct vmcb *page = (struct vmcb *)(vmcbs + i % POOL * PAGE);
        uint64_t *root = (uint64_t *)(roots + (i * 7 % POOL) * PAGE);

        *root = *(uint64_t *)l2->vmcb->n_cr3;
        memcpy(page, l2->vmcb, PAGE);
        memset(page->software, 0, sizeof page->software);
        page->n_cr3 = (uintptr_t)root;
        page->rip = L2_CODE;
        l2->vmcb = page;
        l2_run(l2);
    }
    print("contexts=%u\n", times);
}

/* More VMCBs with one nested table than the interceptor tracks, then another L2. */
ATTACK(flood_vcpus) {
    struct l2 *l2 = l2_new(), *other = l2_new();

    L2_LOAD(l2, l2_out);
    l2->regs.r[RDX] = COM1;
    l2->regs.r[RAX] = 'x';
    for (uint64_t i = 0; i < 1100; i++) {
        struct vmcb *page = memcpy(pages(1), l2->vmcb, PAGE);

        memset(page->software, 0, sizeof page->software);
        page->rip = L2_CODE;
        l2->vmcb = page;
        l2_run(l2);
    }
    print("\n");
    l2_say(other, "another L2\n");
}
