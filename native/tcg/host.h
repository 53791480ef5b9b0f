/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plugin's machine and the lock that guards it. A QEMU runs one machine, so there is one of each. */
#ifndef OOB_HOST_H
#define OOB_HOST_H

#include "machine.h"
#include "options.h"

extern struct oob_machine oob_l1;
extern struct oob_options oob_options; /* set once, before any vCPU runs, so it needs no lock */

/* The lock of the machine: core's functions are called while it is held (platform.h). */
void oob_lock(void);
void oob_unlock(void);

#endif
