/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What QEMU keeps for each vCPU, and its generated code tests without a call of ours. */
#ifndef OOB_MARKS_H
#define OOB_MARKS_H

#include <stdbool.h>

#include "qemu_plugin_api.h"

/* For conditional callbacks, and for what generated code adds up. */
extern qemu_plugin_u64 oob_guest_marks;   /* not 0 between VMRUN and the next instruction of L1 */
extern qemu_plugin_u64 oob_tsc_marks;     /* how often RDTSC was executed since we last looked */
extern qemu_plugin_u64 oob_passing_marks; /* not 0 while an access is executed at another port (detour.h) */

void oob_marks_init(void);

/* `guest`: the vCPU has entered a guest, and not left it since. */
void oob_mark_guest(unsigned vcpu, bool guest);
bool oob_guest_mark(unsigned vcpu);
/* `passing`: the CPU executes an access at another port, so that `oob_on_landing` is wanted. */
void oob_mark_passing(unsigned vcpu, bool passing);
bool oob_passing_mark(unsigned vcpu);
/* The time stamp that RDTSC gave was looked at. */
void oob_marks_no_tsc(unsigned vcpu);

#endif
