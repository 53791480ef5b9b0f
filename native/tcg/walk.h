/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Page table walks on behalf of an L2, from the state that its last #VMEXIT saved. */
#ifndef OOB_WALK_H
#define OOB_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an address translation depends on: control registers of L2, and its nested page table. */
struct oob_paging {
    uint64_t cr0, cr3, cr4, efer, ncr3;
    bool user; /* as code of CPL 3 may: the pages' U/S bits count */
};

/* Of the CPU as it is, in L2 */
struct oob_paging oob_paging_live(unsigned vcpu, uint64_t ncr3);
/* Of L2 as its last #VMEXIT left it */
struct oob_paging oob_paging_saved(uint64_t vmcb);

/* Copies from L2's linear address space. False when any byte of it is not mapped, or not for `user`. */
bool oob_l2_read(const struct oob_paging *paging, uint64_t linear, void *data, size_t len);
/* Copies into it. False, with some bytes perhaps written, when any byte is not mapped or not writable. */
bool oob_l2_writable(const struct oob_paging *paging, uint64_t linear, size_t len);
bool oob_l2_write(const struct oob_paging *paging, uint64_t linear, const void *data, size_t len);

#endif
