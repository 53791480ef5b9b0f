/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String I/O of an L2 at our ports: INS and OUTS, with and without REP. The CPU executes the instruction at a port
 * that means nothing (detour.h), so the CPU takes care of addresses, faults, traps and flags. Each element is served
 * when the CPU has moved it.
 *
 * Call with oob_lock() held.
 */
#ifndef OOB_STRING_IO_H
#define OOB_STRING_IO_H

#include <stdint.h>

#include "context.h"
#include "site.h"

/* The CPU is about to execute the instruction. */
void oob_string_begin(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port);
/* The CPU has read an element of OUTS, `*value`, at a linear address, or has stored an element of INS there. Returns
 * how many bytes of `*value` the caller must store at that address instead: 0 for OUTS. */
unsigned oob_string_element(struct oob_l2_vcpu *l2, uint64_t linear, uint32_t *value);
/* The instruction was executed, has faulted, or was interrupted: makes the CPU's RCX L2's own again. */
void oob_string_end(unsigned vcpu, const struct oob_l2_vcpu *l2);

#endif
