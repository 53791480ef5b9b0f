/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What do L2's exits reveal? We must know where L2's interrupts go, and L2 tells that to L1 only: it programs an
 * IOAPIC and its local APIC by stores to their memory, which fault in L1's nested page table, and L1's answer to a
 * CPUID holds the APIC ID. So we read along. Call with the machine's lock held.
 */
#ifndef OOB_LEARN_H
#define OOB_LEARN_H

#include "context.h"
#include "virt.h"

/* At an exit of L2, which `vcpu` of L1 has run. */
void oob_learn_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, const struct oob_exit *exit);
/* Before L1 lets L2 go on: the registers may be L1's answer to L2's CPUID. */
void oob_learn_at_entry(unsigned vcpu, struct oob_l2_vcpu *l2);

/* Which general registers of L2 does L1 need to handle an exit? Bit n stands for register n, in the order of enum
 * oob_reg. L1 may be kept from seeing the other ones. */
unsigned oob_needed_at_exit(const struct oob_exit *exit);

#endif
