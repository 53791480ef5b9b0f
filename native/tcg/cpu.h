/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L1's vCPUs, as QEMU lets a plugin see them. cpu.c defines the functions of core's platform.h that read and write
 * registers and memory. */
#ifndef OOB_CPU_H
#define OOB_CPU_H

#include "platform.h"

enum { OOB_VCPUS_MAX = 64 };

/* Looks up QEMU's handles of the registers; to be called once for each vCPU. Returns false, with the register's name
 * in `missing`, when QEMU does not offer one of them. */
bool oob_cpu_init(unsigned vcpu, const char **missing);

#endif
