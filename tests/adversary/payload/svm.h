/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * L2s of L1's own making. The VMCB is as AMD APM vol. 2, appendix B, has it; not taken from the plugin's
 * header, so that a mistake there shows here.
 */
#ifndef SVM_H
#define SVM_H

#include "l1.h"

struct segment {
    uint16_t selector, attributes;
    uint32_t limit;
    uint64_t base;
};

struct vmcb {
    uint32_t intercept_cr, intercept_dr, intercept_exceptions, intercept_1, intercept_2;
    uint8_t reserved_014[0x40 - 0x14];
    uint64_t iopm, msrpm, tsc_offset;
    uint32_t asid, tlb_control;
    uint32_t int_ctl, int_vector;
    uint64_t int_shadow, exit_code, exit_info_1, exit_info_2, exit_int_info, np_enable;
    uint8_t reserved_098[0xa8 - 0x98];
    uint64_t event_inject, n_cr3, lbr, clean, next_rip;
    uint8_t reserved_0d0[0x3e0 - 0xd0];
    uint8_t software[0x20];
    struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved_4a0[0x4cb - 0x4a0];
    uint8_t cpl;
    uint32_t reserved_4cc;
    uint64_t efer;
    uint8_t reserved_4d8[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved_580[0x5d8 - 0x580];
    uint64_t rsp;
    uint8_t reserved_5e0[0x5f8 - 0x5e0];
    uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t reserved_648[0x668 - 0x648];
    uint64_t pat;
    uint8_t reserved_670[PAGE - 0x670];
};
_Static_assert(offsetof(struct vmcb, n_cr3) == 0xb0, "N_CR3");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "state save area");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "EFER");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "RAX");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "G_PAT");
_Static_assert(sizeof(struct vmcb) == PAGE, "a page");

#define INTERCEPT_CR8_WRITE (1u << 24) /* of intercept_cr */
#define INTERCEPT_INTR (1u << 0)
#define INTERCEPT_VINTR (1u << 4)
#define INTERCEPT_CPUID (1u << 18)
#define INTERCEPT_HLT (1u << 24)
#define INTERCEPT_IOIO (1u << 27)
#define INTERCEPT_MSR (1u << 28)
#define INTERCEPT_SHUTDOWN (1u << 31)
#define INTERCEPT_VMRUN (1u << 0)
#define INTERCEPT_VMMCALL (1u << 1)
#define V_IRQ (1u << 8)
#define V_INTR_MASKING (1u << 24)

enum {
    EXIT_CR8_WRITE = 0x18,
    EXIT_EXCEPTION = 0x40,
    EXIT_INTR = 0x60,
    EXIT_CPUID = 0x72,
    EXIT_HLT = 0x78,
    EXIT_IOIO = 0x7b,
    EXIT_SHUTDOWN = 0x7f,
    EXIT_VMMCALL = 0x81,
    EXIT_NPF = 0x400,
};
#define EXIT_INVALID UINT64_MAX
#define EXIT_FAULTED (UINT64_MAX - 1) /* not a code of the CPU: VMRUN itself raised an exception */

/* The general registers in the order in which instructions number them; [0] and [4] stand in the VMCB. */
struct regs {
    uint64_t r[16];
};
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };

/* How L2's memory is laid out, in its physical addresses. */
enum {
    L2_GDT = 0x1000,
    L2_TSS = 0x4000,    /* with 8 KiB of I/O permission bitmap behind it */
    L2_TABLES = 0x8000, /* of its own paging */
    L2_CODE = 0x10000,
    L2_DATA = 0x20000,
    L2_STACK = 0x1f000,       /* grows down */
    L2_NOT_MAPPED = 0x2e000,  /* in the nested table, until L1 maps it */
    L2_NOT_PRESENT = 0x30000, /* in L2's own tables */
    L2_SIZE = 0x40000,
    L2_CODE_AGAIN = 0x50000, /* linear: the same code */
};

enum mode {
    MODE_REAL,
    MODE_PROTECTED_16,
    MODE_PROTECTED_32,
    MODE_LEGACY_PAGED,
    MODE_PAE,
    MODE_COMPATIBILITY,
    MODE_LONG,
    MODE_V86
};

struct l2 {
    struct vmcb *vmcb;
    uint8_t *memory;  /* L2_SIZE bytes, at its physical address 0 */
    uint64_t *nested; /* the nested table's last level, for the first 2 MiB */
    struct regs regs;
};

void svm_enable(void);
/* A fresh L2, in long mode at L2_CODE, every exit intercepted. */
struct l2 *l2_new(void);
/* Another VMCB for an L2's memory and nested table. */
void l2_new_vmcb(struct l2 *l2);
/* Segments, tables and control registers of a mode; `cpl` 0 or 3. */
void l2_set_mode(struct l2 *l2, enum mode mode, unsigned cpl, unsigned iopl);
void l2_load(struct l2 *l2, const void *code, size_t len);
/* Until the next #VMEXIT; returns its code. */
uint64_t l2_run(struct l2 *l2);
/* As l2_run(), with what L2's `in` and `out` reached L1 for told, counted and stepped over. */
uint64_t l2_run_past_io(struct l2 *l2, unsigned *ioio);
/* Lets what waits for L1 through. */
void take_interrupts(void);
/* Code of l2code.S: what it does, and which registers it wants, stands there. */
#define L2_CODE_BLOCKS(each)                                                                                         \
    each(l2_print) each(l2_await) each(l2_read) each(l2_out) each(l2_spin) each(l2_late) each(l2_forced)             \
        each(l2_modify) each(l2_flood_in) each(l2_flood_ier) each(l2_shared) each(l2_scratch) each(l2_nothing)       \
            each(l2_secret) each(l2_tell) each(l2_pause) each(l2_print_string) each(l2_toggle_svme) each(l2_handler) \
                each(l2_slow_handler) each(l2_slow_handler_64) each(l2_long_pause) each(l2_cr8) each(l2_cr8_real)    \
                    each(l2_cr8_and_interrupts) each(l2_trapped) each(l2_short_lines)
#define L2_CODE_DECLARE(name) extern const uint8_t name[], name##_end[];
L2_CODE_BLOCKS(L2_CODE_DECLARE)
#define L2_LOAD(l2, name) l2_load(l2, name, (size_t)(name##_end - name))

extern const uint8_t l2_cr8_handler[], l2_trapped_handler[], l2_short_lines_handler[];

/* Of vmrun.S: runs an L2, and does port I/O at once. */
typedef uint64_t stub_function(uint64_t vmcb, uint64_t dx);
extern uint8_t stub[], stub_end[], stub_addr32[], stub_addr32_end[], stub_keeping[], stub_keeping_end[];
extern uint64_t pml4[];
enum { MSR_VM_HSAVE_PA = 0xc0010117 };

/* L2 prints, through its serial port. */
void l2_say(struct l2 *l2, const char *text);

void vm_enter(struct regs *regs, uint64_t vmcb);

/* Code that lies in the first GiB, at an address that only 64-bit code has, as a kernel's does: there alone the
 * interceptor takes VMRUN's operand for certain. */
#define HIGH_ADDRESS 0x100000000ull
#define HIGH(function) ((__typeof__(&*(function)))((uintptr_t)(function) + HIGH_ADDRESS))

#endif
