/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers and memory of L1's vCPUs, as QEMU lets a plugin see them. Call from the vCPU's own callbacks. */
#ifndef OOB_CPU_H
#define OOB_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OOB_VCPUS_MAX = 64 };

/* The general registers first, in the order in which instructions number them. */
enum oob_reg {
    OOB_REG_RAX,
    OOB_REG_RCX,
    OOB_REG_RDX,
    OOB_REG_RBX,
    OOB_REG_RSP,
    OOB_REG_RBP,
    OOB_REG_RSI,
    OOB_REG_RDI,
    OOB_REG_R8,
    OOB_REG_R9,
    OOB_REG_R10,
    OOB_REG_R11,
    OOB_REG_R12,
    OOB_REG_R13,
    OOB_REG_R14,
    OOB_REG_R15,
    OOB_REG_RIP,
    OOB_REG_EFLAGS,
    OOB_REG_CR0,
    OOB_REG_CR3,
    OOB_REG_CR4,
    OOB_REG_EFER,
    OOB_REG_CS,
    OOB_REG_COUNT,
};

/* Looks the registers up, once per vCPU. False, with the name in `missing`, when QEMU lacks one. */
bool oob_cpu_init(unsigned vcpu, const char **missing);

uint64_t oob_reg_read(unsigned vcpu, enum oob_reg reg);
void oob_reg_write(unsigned vcpu, enum oob_reg reg, uint64_t value);

/* L1's physical memory. A read of what is not memory gives zeros and false. */
bool oob_phys_read(uint64_t addr, void *data, size_t len);
bool oob_phys_write(uint64_t addr, const void *data, size_t len);
uint64_t oob_phys_read_u64(uint64_t addr);
uint32_t oob_phys_read_u32(uint64_t addr);
void oob_phys_write_u64(uint64_t addr, uint64_t value);
void oob_phys_write_u32(uint64_t addr, uint32_t value);

#endif
