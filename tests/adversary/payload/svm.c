/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "svm.h"

enum { COM1 = 0x3f8, POST_CODE = 0x80 };
enum { MSR_EFER = 0xc0000080 };
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)
#define EFER_SVME (1u << 12)
#define CR0_PE 0x00000001u
#define CR0_ET 0x00000010u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x20u
#define RFLAGS_ONE 0x2u
#define RFLAGS_VM (1u << 17)
#define TABLE 7u /* present, writable, for CPL 3 */

/* Selectors of L2's GDT. */
enum {
    CODE_64 = 0x08,
    DATA_FLAT = 0x10,
    CODE_32 = 0x18,
    CODE_16 = 0x20,
    DATA_16 = 0x28,
    USER = 0x28, /* from a code or flat data selector to that of CPL 3 */
    USER_DATA_16 = 0x50,
    DATA_FS = 0x58,
    DATA_GS = 0x60,
    TSS = 0x68,
};

static const uint64_t l2_gdt[] = {
    0,
    0x00af9b000000ffff, /* CODE_64 */
    0x00cf93000000ffff, /* DATA_FLAT */
    0x00cf9b000000ffff, /* CODE_32 */
    0x00009b010000ffff, /* CODE_16: base L2_CODE */
    0x000093020000ffff, /* DATA_16: base L2_DATA */
    0x00affb000000ffff, /* the same for CPL 3 */
    0x00cff3000000ffff,
    0x00cffb000000ffff,
    0x0000fb010000ffff,
    0x0000f3020000ffff,
    0x00cff3022000ffff, /* DATA_FS: base L2_DATA + 0x2000 */
    0x00cff3024000ffff, /* DATA_GS: base L2_DATA + 0x4000 */
    /* TSS: base L2_TSS, with the permission bitmap of all ports. Available, not busy: QEMU looks into no other. */
    0x0000890040002068,
    0,
};

void svm_enable(void) {
    write_msr(MSR_EFER, read_msr(MSR_EFER) | EFER_SVME);
    write_msr(MSR_VM_HSAVE_PA, (uintptr_t)pages(1));
}

static struct segment segment(uint16_t selector) {
    uint64_t d = l2_gdt[selector >> 3];
    uint32_t limit = (uint32_t)((d & 0xffff) | (d >> 32 & 0xf0000));

    return (struct segment){
        .selector = selector,
        .attributes = (uint16_t)((d >> 40 & 0xff) | (d >> 44 & 0xf00)),
        .limit = d >> 55 & 1 ? limit << 12 | 0xfff : limit,
        .base = (d >> 16 & 0xffffff) | (d >> 56) << 24,
    };
}

static struct segment segment_8086(uint32_t base, uint16_t attributes) {
    return (struct segment){(uint16_t)(base >> 4), attributes, 0xffff, base};
}

static void make_l2_tables(uint8_t *memory) {
    uint64_t *long_table = (uint64_t *)(memory + L2_TABLES + 0x3000),
             *pae = (uint64_t *)(memory + L2_TABLES + 0x4000);
    uint32_t *legacy = (uint32_t *)(memory + L2_TABLES + 0x6000);

    for (unsigned level = 0; level < 3; level++)
        *(uint64_t *)(memory + L2_TABLES + level * PAGE) = (L2_TABLES + (level + 1) * PAGE) | TABLE;
    ((uint64_t *)(memory + L2_TABLES + PAGE))[HIGH_ADDRESS >> 30] = (L2_TABLES + 2 * PAGE) | TABLE;
    for (uint32_t at = 0; at < L2_SIZE; at += PAGE) {
        long_table[at / PAGE] = at == L2_NOT_PRESENT ? 0 : at | TABLE;
        legacy[at / PAGE] = at == L2_NOT_PRESENT ? 0 : at | TABLE;
    }
    for (uint32_t at = 0; at < L2_DATA - L2_CODE; at += PAGE)
        long_table[(L2_CODE_AGAIN + at) / PAGE] = (L2_CODE + at) | TABLE;
    pae[0] = (L2_TABLES + 0x2000) | 1;
    *(uint32_t *)(memory + L2_TABLES + 0x5000) = (L2_TABLES + 0x6000) | TABLE;
}

static void make_l2_memory(struct l2 *l2) {
    enum { IOPB_OFFSET = 0x66, BITMAP = 0x68 };

    l2->memory = pages(L2_SIZE / PAGE);
    memcpy(l2->memory + L2_GDT, l2_gdt, sizeof l2_gdt);
    *(uint16_t *)(l2->memory + L2_TSS + IOPB_OFFSET) = BITMAP;
    memset(l2->memory + L2_TSS + BITMAP, 0xff, 8193);
    make_l2_tables(l2->memory);
}

static uint64_t make_nested(struct l2 *l2) {
    uint64_t *table = pages(4);

    for (unsigned level = 0; level < 3; level++)
        table[level * 512] = (uintptr_t)&table[(level + 1) * 512] | TABLE;
    l2->nested = table + 3 * 512;
    for (uint32_t at = 0; at < L2_SIZE; at += PAGE)
        l2->nested[at / PAGE] = at == L2_NOT_MAPPED ? 0 : (uintptr_t)(l2->memory + at) | TABLE;
    return (uintptr_t)table;
}

void l2_new_vmcb(struct l2 *l2) {
    static uint8_t *iopm, *msrpm;
    uint64_t n_cr3 = l2->vmcb ? l2->vmcb->n_cr3 : 0;
    struct vmcb *v = l2->vmcb = pages(1);

    if (!iopm) {
        iopm = memset(pages(3), 0xff, 3 * PAGE);
        if (option("open", 0))
            iopm[COM1 / 8] = 0;
        if (option("open_post_code", 0))
            iopm[POST_CODE / 8] &= (uint8_t) ~(1u << POST_CODE % 8);
        msrpm = memset(pages(2), 0xff, 2 * PAGE);
    }
    v->intercept_exceptions = 0xffffffff;
    v->intercept_1 =
        INTERCEPT_INTR | INTERCEPT_CPUID | INTERCEPT_HLT | INTERCEPT_IOIO | INTERCEPT_MSR | INTERCEPT_SHUTDOWN;
    v->intercept_2 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL;
    v->iopm = (uintptr_t)iopm;
    v->msrpm = (uintptr_t)msrpm;
    v->asid = 1;
    v->int_ctl = V_INTR_MASKING;
    v->np_enable = 1;
    v->n_cr3 = n_cr3;
    v->pat = 0x0007040600070406;
    v->gdtr = (struct segment){.base = L2_GDT, .limit = sizeof l2_gdt - 1};
    v->idtr = (struct segment){.limit = 0x3ff};
    l2_set_mode(l2, MODE_LONG, 0, 0);
}

struct l2 *l2_new(void) {
    struct l2 *l2 = pages(1);

    make_l2_memory(l2);
    l2_new_vmcb(l2);
    l2->vmcb->n_cr3 = make_nested(l2);
    return l2;
}

static void set_8086_segments(struct vmcb *v, bool user) {
    uint16_t attributes = user ? 0xf3 : 0x93;

    v->cs = segment_8086(L2_CODE, user ? 0xf3 : 0x9b);
    v->ds = v->es = v->ss = segment_8086(L2_DATA, attributes);
    v->fs = segment_8086(L2_DATA + 0x2000, attributes);
    v->gs = segment_8086(L2_DATA + 0x4000, attributes);
}

static void set_segments(struct vmcb *v, uint16_t code, uint16_t data, unsigned cpl) {
    uint16_t user = cpl ? USER : 0;

    v->cs = segment(code + user);
    v->ds = v->es = v->ss = segment(data + user);
    v->cs.selector |= cpl;
    v->ds.selector |= cpl;
    v->es = v->ss = v->ds;
    v->fs = segment(DATA_FS);
    v->gs = segment(DATA_GS);
}

static void set_paging(struct vmcb *v, enum mode mode) {
    v->cr0 = CR0_ET | (mode == MODE_REAL ? 0 : CR0_PE);
    v->cr4 = 0;
    v->cr3 = L2_TABLES;
    v->efer = EFER_SVME;
    if (mode == MODE_LEGACY_PAGED || mode >= MODE_PAE)
        v->cr0 |= mode == MODE_V86 ? 0 : CR0_PG;
    if (mode == MODE_LEGACY_PAGED)
        v->cr3 = L2_TABLES + 0x5000;
    if (mode == MODE_PAE)
        v->cr3 = L2_TABLES + 0x4000;
    if (mode == MODE_PAE || mode == MODE_COMPATIBILITY || mode == MODE_LONG)
        v->cr4 = CR4_PAE;
    if (mode == MODE_COMPATIBILITY || mode == MODE_LONG)
        v->efer |= EFER_LME | EFER_LMA;
}

void l2_set_mode(struct l2 *l2, enum mode mode, unsigned cpl, unsigned iopl) {
    struct vmcb *v = l2->vmcb;
    bool code_at_0 = mode == MODE_REAL || mode == MODE_PROTECTED_16 || mode == MODE_V86;

    set_paging(v, mode);
    if (mode == MODE_REAL || mode == MODE_V86)
        set_8086_segments(v, mode == MODE_V86);
    else if (mode == MODE_PROTECTED_16)
        set_segments(v, CODE_16, DATA_16, cpl);
    else
        set_segments(v, mode == MODE_LONG ? CODE_64 : CODE_32, DATA_FLAT, cpl);
    v->tr = segment(TSS);
    v->ldtr = (struct segment){.attributes = 0x82};
    v->cpl = (uint8_t)cpl;
    v->rflags = RFLAGS_ONE | iopl << 12 | (mode == MODE_V86 ? RFLAGS_VM : 0);
    v->rip = code_at_0 ? 0 : L2_CODE;
    v->int_shadow = 0;
    l2->regs.r[RSP] = code_at_0 ? 0xfff0 : L2_STACK;
}

void l2_load(struct l2 *l2, const void *code, size_t len) {
    memcpy(l2->memory + L2_CODE, code, len);
}

uint64_t l2_run(struct l2 *l2) {
    uint64_t faults = traps.vmrun_faults;

    l2->vmcb->rax = l2->regs.r[RAX];
    l2->vmcb->rsp = l2->regs.r[RSP];
    HIGH(vm_enter)(&l2->regs, (uintptr_t)l2->vmcb);
    if (traps.vmrun_faults != faults)
        return EXIT_FAULTED;
    l2->regs.r[RAX] = l2->vmcb->rax;
    l2->regs.r[RSP] = l2->vmcb->rsp;
    return l2->vmcb->exit_code;
}

void take_interrupts(void) {
    __asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

uint64_t l2_run_past_io(struct l2 *l2, unsigned *ioio) {
    enum { IOIO_IN = 1, IOIO_MAX = 16 };

    for (;;) {
        uint64_t code = l2_run(l2);

        if (code == EXIT_INTR) {
            take_interrupts();
        } else if (code == EXIT_IOIO && *ioio < IOIO_MAX) {
            print(" ioio=%x", l2->vmcb->exit_info_1);
            if (l2->vmcb->exit_info_1 & IOIO_IN)
                l2->regs.r[RAX] = UINT64_MAX;
            l2->vmcb->rip = l2->vmcb->exit_info_2;
            ++*ioio;
        } else {
            return code;
        }
    }
}

void l2_say(struct l2 *l2, const char *text) {
    enum { CODE = L2_CODE + 0xf000, TEXT = L2_DATA + 0xd000 };
    struct regs regs = l2->regs;
    struct vmcb saved = *l2->vmcb;
    size_t len = 0, state = offsetof(struct vmcb, es);

    while (text[len])
        len++;
    memcpy(l2->memory + CODE, l2_print, (size_t)(l2_print_end - l2_print));
    memcpy(l2->memory + TEXT, text, len);
    l2_set_mode(l2, MODE_LONG, 0, 0);
    l2->vmcb->rip = CODE;
    l2->regs.r[RDX] = 0x3f8;
    l2->regs.r[RCX] = len;
    l2->regs.r[RSI] = TEXT;
    while (l2_run(l2) == EXIT_INTR)
        take_interrupts();
    if (l2->vmcb->exit_code != EXIT_VMMCALL)
        print("say_exit=%x\n", l2->vmcb->exit_code);
    memcpy((uint8_t *)l2->vmcb + state, (uint8_t *)&saved + state, PAGE - state);
    l2->regs = regs;
}
