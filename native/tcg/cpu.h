/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L1's vCPUs, as QEMU lets a plugin see them: what core's platform.h says of registers and memory is defined here. */
#ifndef OOB_CPU_H
#define OOB_CPU_H

#include "platform.h"

enum { OOB_VCPUS_MAX = 64 };

/* Looks the registers up, once per vCPU. False, with the name in `missing`, when QEMU lacks one. */
bool oob_cpu_init(unsigned vcpu, const char **missing);

#endif
