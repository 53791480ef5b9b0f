/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L1 tries to have the interceptor take it for L2, so that its own port I/O reaches the console. */
#include "svm.h"

enum { COM1_LSR = 0x3fd, COM1_SCR = 0x3ff, OWN_SCRATCH = 0x77 };

static struct vmcb *volatile target;
static volatile uint64_t chances; /* how often the other CPU came in time to write */

/* Writes back what stood in EXITCODE while L2 ran, as soon as the #VMEXIT has overwritten it. */
static void restore_exit_code(void) {
    uint64_t before = 0;

    for (second_running = true; !second_stop;) {
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
    second_start_and_wait(restore_exit_code);
    print("\nforeign=%u\n", run_stubs(l2, code, &tries, wanted));
    second_stop = true;
    wait_ticks(1);
    l2_say(l2, "\nL2 again\n");
    print("chances=%u\n", chances);
    chances = 0;
    print("\nforeign_again=%u\n", run_stubs(l2, code, &tries, UINT64_MAX));
    print("\ntries=%u\n", tries);
}

/* L1's EFER lies in its own memory while L2 runs, as QEMU has it laid out like a VMCB: another CPU takes out what the
 * interceptor put there, and keeps what stands in EXITCODE, which L1 writes back at leisure. */
static volatile uint32_t *saved_efer_high;
volatile uint64_t kept;

static void rewrite_host_state(void) {
    for (second_running = true;;) {
        uint64_t now = ((volatile struct vmcb *)target)->exit_code;

        if (now > EXIT_NPF)
            kept = now;
        *saved_efer_high = 0;
    }
}

ATTACK(host_state_rewritten) {
    uint8_t *code = option("keep", 1) ? memcpy(pages(1), stub_keeping, (size_t)(stub_keeping_end - stub_keeping))
                                      : memcpy(pages(1), stub, (size_t)(stub_end - stub));
    struct l2 *l2 = l2_new();
    uint64_t scratch;

    l2_say(l2, "L2 begins\n");
    out8(COM1_SCR, OWN_SCRATCH);
    saved_efer_high = (volatile uint32_t *)(read_msr(MSR_VM_HSAVE_PA) + offsetof(struct vmcb, efer) + 4);
    target = l2->vmcb;
    second_start_and_wait(rewrite_host_state);
    L2_LOAD(l2, l2_long_pause);
    scratch = HIGH((stub_function *)(uintptr_t)code)((uintptr_t)l2->vmcb, 0x80);
    print("\nscratch=%x\nkept=%u\n", scratch, (uint64_t)(kept != 0));
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
