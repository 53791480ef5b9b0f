/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one machine that a QEMU runs, and the lock that guards it. */
#ifndef OOB_HOST_H
#define OOB_HOST_H

#include "machine.h"
#include "options.h"

extern struct oob_machine oob_l1;
extern struct oob_options oob_options; /* set once, before any vCPU runs */

void oob_lock(void);
void oob_unlock(void);

#endif
