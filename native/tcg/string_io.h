/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * String I/O of an L2 at our ports: INS and OUTS, with and without REP. The CPU executes it at a port that means
 * nothing (detour.h): addresses, faults, traps and flags are its business. Each element is served when the CPU has
 * moved it.
 *
 * Call with oob_lock() held.
 */
#ifndef OOB_STRING_IO_H
#define OOB_STRING_IO_H

#include <stdint.h>

#include "context.h"
#include "site.h"

/* The CPU is about to execute it. */
void oob_string_begin(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port);
/* The CPU has read an element of OUTS, `*value`, at a linear address, or stored one of INS. Gives how many bytes of
 * `*value` are to be stored in its place: 0 for OUTS. */
unsigned oob_string_element(struct oob_l2_vcpu *l2, uint64_t linear, uint32_t *value);
/* It was executed, or has faulted, or was interrupted: L2's RCX, in the CPU. */
void oob_string_end(unsigned vcpu, const struct oob_l2_vcpu *l2);

#endif
