/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page table walks on behalf of an L2, from the state that its last #VMEXIT saved. */
#ifndef OOB_PAGING_H
#define OOB_PAGING_H

#include "context.h"

/* What an address translation depends on: control registers of L2, and its nested page table. */
struct oob_paging {
    struct oob_machine *machine;
    uint64_t cr0, cr3, cr4, efer, ncr3;
    struct oob_tables nested; /* how its nested table is made */
};

/* Of the CPU as it is, in L2 */
struct oob_paging oob_paging_live(const struct oob_context *context, unsigned vcpu);
/* Of L2 as its last #VMEXIT left it */
struct oob_paging oob_paging_saved(const struct oob_context *context, uint64_t vmcb);

/* How tables are made by a CPU with these control registers. */
struct oob_tables oob_tables_of(uint64_t cr4, uint64_t efer);

/* Copies from L2's linear address space. False when any byte of it is not mapped. */
bool oob_paging_read(const struct oob_paging *paging, uint64_t linear, void *data, size_t len);
/* Where in L1's memory a linear address lies. False when it is not mapped, or L1's nested table lets L2 not write
 * there; what L2's own tables allow its code does not matter. */
bool oob_paging_writable(const struct oob_paging *paging, uint64_t linear, uint64_t *at);

#endif
