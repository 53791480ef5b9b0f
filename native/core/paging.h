/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where in memory does an L2's linear address lie? Walks the page tables of the L2, and the nested page table of
 * L1. */
#ifndef OOB_PAGING_H
#define OOB_PAGING_H

#include "context.h"

/* What an address translation depends on: control registers of L2, and its nested page table. */
struct oob_paging {
    struct oob_machine *machine;
    uint64_t cr0, cr3, cr4, efer, root;
    struct oob_tables nested; /* how its nested table is made */
};

/* The state of a vCPU that runs in L2 now: from its registers. */
struct oob_paging oob_paging_live(const struct oob_context *context, unsigned vcpu);
/* The state of an L2 at its last #VMEXIT: from its block (virt.h). */
struct oob_paging oob_paging_saved(const struct oob_context *context, uint64_t block);

/* How are the tables made that a CPU with these control registers uses? */
struct oob_tables oob_tables_of(uint64_t cr4, uint64_t efer);

/* Copies from L2's linear address space. Returns false when any of the bytes is not mapped. */
bool oob_paging_read(const struct oob_paging *paging, uint64_t linear, void *data, size_t len);
/* Finds where in L1's memory a linear address lies. Returns false when it is not mapped, or when L1's nested table
 * does not let L2 write there. Whether L2's own tables let L2's code write there does not matter. */
bool oob_paging_writable(const struct oob_paging *paging, uint64_t linear, uint64_t *at);

#endif
