/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs L2 code that comes as a module, case by case, and says what became of registers and memory. */
#include "svm.h"

enum { CASE_NAME = 48, CASE_CODE = 256, CASE_DATA = 64 };

/* As tests/adversary/cases.py packs it. */
struct test_case {
    char name[CASE_NAME];
    uint8_t mode, cpl, iopl, typed;
    uint16_t allow_first, allow_last; /* ports that the TSS allows; none when the last is below the first */
    uint32_t code_len;
    uint32_t data_at, data_len; /* L2's physical addresses */
    uint64_t rflags;
    uint64_t regs[16];
    uint8_t data[CASE_DATA];
    uint8_t code[CASE_CODE];
};
_Static_assert(sizeof(struct test_case) == 528, "as it is packed");

static void set_tss(struct l2 *l2, const struct test_case *c) {
    uint8_t *bitmap = l2->memory + L2_TSS + 0x68;

    memset(bitmap, 0xff, 8193);
    for (unsigned port = c->allow_first; port <= c->allow_last; port++)
        bitmap[port / 8] &= (uint8_t) ~(1u << port % 8);
}

static void prepare(struct l2 *l2, const struct test_case *c) {
    uint64_t rsp;

    l2_set_mode(l2, c->mode, c->cpl, c->iopl);
    l2->vmcb->rflags |= c->rflags;
    set_tss(l2, c);
    rsp = l2->regs.r[RSP];
    memcpy(l2->regs.r, c->regs, sizeof c->regs);
    if (!l2->regs.r[RSP])
        l2->regs.r[RSP] = rsp;
    memcpy(l2->memory + c->data_at, c->data, c->data_len);
    l2_load(l2, c->code, c->code_len);
}

static void report(const struct l2 *l2, const struct test_case *c, uint64_t code) {
    static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

    print(" exit=%x info1=%x info2=%x rip=%x rflags=%x shadow=%x", code, l2->vmcb->exit_info_1, l2->vmcb->exit_info_2,
          l2->vmcb->rip, l2->vmcb->rflags, l2->vmcb->int_shadow);
    for (unsigned i = 0; i < 16; i++)
        print(" %s=%x", names[i], l2->regs.r[i]);
    print(" data=");
    print_hex(l2->memory + c->data_at, c->data_len);
    print("\n");
}

/* A page that only L1's table lacks: L1 maps it when L2 faults there, as a hypervisor that swaps does. */
static uint64_t run(struct l2 *l2) {
    unsigned ioio = 0;

    for (;;) {
        uint64_t code = l2_run_past_io(l2, &ioio);

        if (code != EXIT_NPF || (l2->vmcb->exit_info_2 & ~0xfffull) != L2_NOT_MAPPED ||
            l2->nested[L2_NOT_MAPPED / PAGE])
            return code;
        print(" npf=%x", l2->vmcb->exit_info_2);
        l2->nested[L2_NOT_MAPPED / PAGE] = (uintptr_t)(l2->memory + L2_NOT_MAPPED) | 7;
    }
}

ATTACK(cases) {
    size_t len = 0;
    const struct test_case *c = module_data(&len);
    struct l2 *l2 = l2_new();

    for (size_t i = 0; i < len / sizeof *c; i++, c++) {
        char marker[CASE_NAME + 4] = "\n<", *at = marker + 2;

        for (const char *n = c->name; *n; n++)
            *at++ = *n;
        *at++ = '>';
        l2_say(l2, marker);
        l2->nested[L2_NOT_MAPPED / PAGE] = 0;
        if (c->typed) {
            print("type=%s\n", c->name);
            read_own();
        }
        prepare(l2, c);
        print("case=%s", c->name);
        report(l2, c, run(l2));
        l2->vmcb->dr7 = 0; /* no breakpoint of this case's is the next one's */
    }
    l2_say(l2, "\n<end>");
}
