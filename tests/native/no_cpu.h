/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Those functions of platform.h that a program needs which has no CPU: memory reads as zeros, and registers as 0. To
 * be included once in a program. */
#ifndef OOB_NO_CPU_H
#define OOB_NO_CPU_H

#include "platform.h"

bool oob_phys_read(struct oob_machine *machine, uint64_t addr, void *data, size_t len) {
    (void)machine, (void)addr;
    memset(data, 0, len);
    return false;
}

bool oob_phys_write(struct oob_machine *machine, uint64_t addr, const void *data, size_t len) {
    (void)machine, (void)addr, (void)data, (void)len;
    return false;
}

uint64_t oob_reg_read(struct oob_machine *machine, unsigned vcpu, enum oob_reg reg) {
    (void)machine, (void)vcpu, (void)reg;
    return 0;
}

void oob_reg_write(struct oob_machine *machine, unsigned vcpu, enum oob_reg reg, uint64_t value) {
    (void)machine, (void)vcpu, (void)reg, (void)value;
}

#endif
