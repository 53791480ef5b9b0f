/* SPDX-License-Identifier: GPL-2.0-or-later */
/* May L2's code access a port? Its privileges decide, as the CPU would check them. */
#ifndef OOB_IOPERM_H
#define OOB_IOPERM_H

#include "context.h"

/* Does the CPU look into the TSS before the code that runs may do port I/O? */
bool oob_ioperm_asks_tss(struct oob_machine *machine, unsigned vcpu);
/* May L2's code access these ports? CPL and IOPL may allow it, else the TSS decides (AMD APM vol. 2, 12.2.4). If the
 * access is not allowed, the CPU executes the instruction and faults by itself. */
bool oob_ioperm_allows(unsigned vcpu, const struct oob_l2_vcpu *l2, uint16_t port, unsigned size);

/* Finds the byte of L2's TSS that holds the permission bit of a port. `*at` is its address in L1's memory. Returns
 * false when there is no such byte, or when L1's nested table does not let L2 write there. */
bool oob_ioperm_tss_byte(unsigned vcpu, const struct oob_l2_vcpu *l2, uint16_t port, uint64_t *at);

#endif
