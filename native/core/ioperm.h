/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What L2's code may do: its privileges at ports. */
#ifndef OOB_IOPERM_H
#define OOB_IOPERM_H

#include "context.h"

/* Does the CPU ask the TSS whether the code that runs may do port I/O? */
bool oob_ioperm_asks_tss(struct oob_machine *machine, unsigned vcpu);
/* May L2's code reach these ports: by CPL and IOPL, else by the TSS (AMD APM vol. 2, 12.2.4)? When not,
 * the instruction is left to fault by itself. */
bool oob_ioperm_allows(unsigned vcpu, const struct oob_l2_vcpu *l2, uint16_t port, unsigned size);

/* Where in L1's memory the TSS that L2 runs with keeps the permission bits of a port: the address of their byte.
 * False when L1's nested table does not let L2 write there. */
bool oob_ioperm_tss_byte(unsigned vcpu, const struct oob_l2_vcpu *l2, uint16_t port, uint64_t *at);

#endif
