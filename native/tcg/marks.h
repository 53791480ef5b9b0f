/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Marks: values that QEMU keeps for each vCPU. Why there? QEMU's generated code can test and change them without
 * calling the plugin, which would be slow. */
#ifndef OOB_MARKS_H
#define OOB_MARKS_H

#include <stdbool.h>

#include "qemu_plugin_api.h"

/* The marks as QEMU's conditional callbacks need them. */
extern qemu_plugin_u64 oob_guest_marks;   /* not 0 between VMRUN and the next instruction of L1 */
extern qemu_plugin_u64 oob_tsc_marks;     /* how often RDTSC was executed since we last looked at a time stamp */
extern qemu_plugin_u64 oob_passing_marks; /* not 0 while the CPU executes an access at another port (detour.h) */

/* Makes the marks. To be called once, before any of the functions below. */
void oob_marks_init(void);

/* `guest`: the vCPU has entered a guest, and not left it since. */
void oob_mark_guest(unsigned vcpu, bool guest);
bool oob_guest_mark(unsigned vcpu);
/* `passing`: the CPU executes an access at another port, so that oob_on_landing() must be called afterwards. */
void oob_mark_passing(unsigned vcpu, bool passing);
bool oob_passing_mark(unsigned vcpu);
/* Sets the count of RDTSC to 0: we have looked at a time stamp. */
void oob_marks_no_tsc(unsigned vcpu);

#endif
