/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happens at the four places where a vCPU of L1 is stopped for us. */
#ifndef OOB_INTERCEPT_H
#define OOB_INTERCEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "site.h"

/* Before VMRUN executes. `certain`: it takes the VMCB's address from all of RAX. */
void oob_on_vmrun(unsigned vcpu, bool certain);
/* An exception was raised. */
void oob_on_exception(unsigned vcpu);
/* Before the first instruction that L1 executes after a VMRUN. */
void oob_on_exit(unsigned vcpu);
/* L1 writes an MSR, as it does all the time: a moment to look around. */
void oob_on_l1_wrmsr(void);
/* Before the instruction at the reset vector, L1's or an L2's. */
void oob_on_reset_vector(unsigned vcpu);
/* Did the vCPU enter a guest at its last VMRUN and not leave it since? Asked when a block is translated. */
bool oob_in_guest(unsigned vcpu);
/* Then: is there no guest to be believed there? Such a block may be L1's, with SVME clear or after it was. QEMU keeps
 * SVME apart, too: it never runs a block with SVME set that was translated with it clear (HF_SVME). */
bool oob_in_doubt(unsigned vcpu);
/* Before the first instruction of a block of that kind, while a guest is marked. */
void oob_on_doubtful(unsigned vcpu);

/* Before a port I/O instruction of L2. May not return: what no believable guest asks is stepped over. */
void oob_on_io(unsigned vcpu, union oob_io_site site);
/* The CPU has moved an element of string I/O to or from memory: oob_string_element(). */
unsigned oob_on_string_element(unsigned vcpu, uint64_t linear, uint32_t *value);
/* Before the next instruction of L2 after one that the CPU executed at another port. */
void oob_on_landing(unsigned vcpu);
/* After RDTSC and before WRMSR of L2. */
void oob_on_rdtsc(unsigned vcpu);
void oob_on_wrmsr(unsigned vcpu);

#endif
