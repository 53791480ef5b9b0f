/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How does L1 describe a vCPU of an L2 to the CPU? AMD's virtualization has a VMCB for that (virtual machine control
 * block), and Intel's has a VMCS (virtual machine control structure). Core calls either of them a block, and asks for
 * what stands in it by the functions here. So each kind of virtualization is a file of its own: svm.c is AMD's. No
 * other file of core knows where something lies in a block.
 *
 * A block is named by a number, which is its physical address in L1's memory. Every function is called with the
 * machine's lock held (platform.h). While the vCPU runs L2, a block holds the state that L2 had when it was entered.
 */
#ifndef OOB_VIRT_H
#define OOB_VIRT_H

#include "types.h"

struct oob_machine;

/* The state of an L2's vCPU. */
enum oob_state {
    OOB_STATE_RAX,
    OOB_STATE_RIP,
    OOB_STATE_RFLAGS,
    OOB_STATE_CR0,
    OOB_STATE_CR3,
    OOB_STATE_CR4,
    OOB_STATE_EFER,
    OOB_STATE_CS_BASE,
    OOB_STATE_TR_BASE,     /* the linear address of its TSS */
    OOB_STATE_TR_LIMIT,    /* the size of its TSS in bytes, minus 1 */
    OOB_STATE_LSTAR,       /* where its kernel takes system calls: the address is the kernel's own */
    OOB_STATE_NESTED_ROOT, /* the nested page table: AMD's nCR3, Intel's EPT pointer */
    OOB_STATE_COUNT,
};

/* Why did the vCPU leave L2 last? */
enum oob_exit_kind {
    OOB_EXIT_OTHER,        /* for a reason that core does not ask about */
    OOB_EXIT_NONE,         /* it has not left yet, or could not be entered */
    OOB_EXIT_INTERRUPT,    /* a physical interrupt, NMI or SMI came, or L2 takes the interrupts that L1 has for it */
    OOB_EXIT_HALT,         /* HLT */
    OOB_EXIT_IO,           /* port I/O */
    OOB_EXIT_MSR,          /* RDMSR or WRMSR */
    OOB_EXIT_CPUID,        /* CPUID */
    OOB_EXIT_NESTED_FAULT, /* L1's nested page table does not allow the access */
    OOB_EXIT_TRIPLE_FAULT, /* L2 cannot go on */
};

struct oob_exit {
    enum oob_exit_kind kind;
    uint64_t address; /* only of a nested fault: the physical address that L2 used */
    /* Only of port I/O: */
    uint16_t port;
    bool in;      /* IN or INS; else OUT or OUTS */
    bool string;  /* INS or OUTS */
    bool rep;     /* the instruction has a REP prefix */
    uint8_t size; /* of what is moved at a time, in bytes: 1, 2 or 4 */
};

struct oob_virt {
    uint64_t (*read)(struct oob_machine *machine, uint64_t block, enum oob_state which);
    void (*write)(struct oob_machine *machine, uint64_t block, enum oob_state which, uint64_t value);
    struct oob_exit (*exit)(struct oob_machine *machine, uint64_t block);

    /* Marks a block, so that we recognise the vCPU as long as L1 does not use the block for another one. */
    void (*tag)(struct oob_machine *machine, uint64_t block, uint64_t tag);
    bool (*has_tag)(struct oob_machine *machine, uint64_t block, uint64_t tag);

    /* Does L1 have an interrupt of its own for L2, or does it want to be told when L2 takes one? */
    bool (*has_own_interrupt)(struct oob_machine *machine, uint64_t block);
    /* Is L1 told of physical interrupts that come while L2 runs? */
    bool (*exits_at_interrupts)(struct oob_machine *machine, uint64_t block);
    /* Makes the last exit look as if a physical interrupt had come just before L2's instruction at `rip`. The
     * block must be one for which exits_at_interrupts() is true. */
    void (*show_interrupt)(struct oob_machine *machine, uint64_t block, uint64_t rip);

    uint64_t nested_present; /* an entry of a nested page table maps something if any of these bits is set */
};

#endif
