/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the plugin does at the places where QEMU calls it: at VMRUN and at the exit from L2, at L2's port I/O, and at
 * a few other instructions. oob_tcg.c registers the callbacks. */
#ifndef OOB_INTERCEPT_H
#define OOB_INTERCEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "site.h"

/* Before VMRUN executes. `certain`: we know that it takes the VMCB's address from all 64 bits of RAX. */
void oob_on_vmrun(unsigned vcpu, bool certain);
/* An exception was raised. */
void oob_on_exception(unsigned vcpu);
/* Before the first instruction that L1 executes after a VMRUN. */
void oob_on_exit(unsigned vcpu);
/* L1 writes an MSR. It does so all the time, which makes this a good moment to look for guests that are gone. */
void oob_on_l1_wrmsr(void);
/* Before the instruction at the reset vector executes, in L1 or in an L2. */
void oob_on_reset_vector(unsigned vcpu);
/* Did the vCPU enter a guest at its last VMRUN, and not leave it since? Asked when a block is translated. */
bool oob_in_guest(unsigned vcpu);
/* Asked when a block is translated in guest mode: is the guest impossible to verify? The block may really be L1's,
 * if L1 runs with SVME clear, or did so for a while. QEMU tells blocks apart by SVME, too: a block that was
 * translated with SVME clear never runs with SVME set (HF_SVME). */
bool oob_in_doubt(unsigned vcpu);
/* Before the first instruction of such a doubtful block, while the vCPU has the guest mark. */
void oob_on_doubtful(unsigned vcpu);

/* Before a port I/O instruction of L2. May not return: if the instruction must not be executed, the vCPU goes on at
 * the next one. */
void oob_on_io(unsigned vcpu, union oob_io_site site);
/* The CPU has moved an element of string I/O to or from memory. Arguments and result are those of
 * oob_string_element(). */
unsigned oob_on_string_element(unsigned vcpu, uint64_t linear, uint32_t *value);
/* Before the instruction of L2 that follows one that the CPU executed at another port (detour.h). */
void oob_on_landing(unsigned vcpu);
/* After an RDTSC of L2, and before a WRMSR of L2. */
void oob_on_rdtsc(unsigned vcpu);
void oob_on_wrmsr(unsigned vcpu);

#endif
