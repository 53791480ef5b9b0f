/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that native/core asks of its host: a plugin of QEMU, a kernel module, a test. The host defines these functions,
 * and they are linked with core; core calls nothing else.
 *
 * The lock is the host's as well. For each machine the host has one, and calls core only while it holds it: core
 * takes none, starts no thread, and keeps everything in the `struct oob_machine` that it is given.
 */
#ifndef OOB_PLATFORM_H
#define OOB_PLATFORM_H

#include "types.h"

struct oob_machine;

/* A vCPU's registers. The general ones come first, in the order in which instructions number them. */
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

/* Registers of one of the machine's vCPUs, from that vCPU's own callbacks. */
uint64_t oob_reg_read(struct oob_machine *machine, unsigned vcpu, enum oob_reg reg);
void oob_reg_write(struct oob_machine *machine, unsigned vcpu, enum oob_reg reg, uint64_t value);

/* The machine's physical memory. A read of what is not memory gives zeros and false. */
bool oob_phys_read(struct oob_machine *machine, uint64_t addr, void *data, size_t len);
bool oob_phys_write(struct oob_machine *machine, uint64_t addr, const void *data, size_t len);

/* A monotonic clock, in ns. */
uint64_t oob_now_ns(void);
/* A number that no guest can guess. */
uint64_t oob_random(void);

/* Memory, not cleared; NULL when there is none. Asked for when a machine begins and in oob_machine_tend(): never on a
 * vCPU's path. */
void *oob_alloc(size_t size);
void oob_free(void *memory);

/* Has a thread of the host call oob_link_service() soon, with the machine's lock. False when it is about to, anyway.
 */
bool oob_wake(struct oob_machine *machine);

/* For the administrator: a sentence about the machine, and a detail or NULL. */
void oob_log(struct oob_machine *machine, const char *what, const char *detail);

/* The byte stream to the server. A connection is known by a number from 0 up, which the host gives to
 * oob_link_adopt(). */
enum { OOB_CHANNEL_NONE = -1, OOB_CHANNEL_BROKEN = -1 };
enum { OOB_CHANNEL_INPUT = 1, OOB_CHANNEL_ROOM = 4 }; /* what can be waited for */

/* How many bytes were taken or given: 0 when there is no room, or nothing has come; OOB_CHANNEL_BROKEN, with the
 * reason or, where the server has closed the connection, NULL. */
long oob_channel_send(struct oob_machine *machine, int channel, const void *data, size_t len, const char **why);
long oob_channel_receive(struct oob_machine *machine, int channel, void *data, size_t len, const char **why);
/* Sleeps until one of `events` has come, or that time has passed. */
void oob_channel_wait(struct oob_machine *machine, int channel, int events, uint64_t deadline_ns);
/* It is of no use any more: both ends are to see that. The host frees it when it has seen it. */
void oob_channel_shut(struct oob_machine *machine, int channel);

/* Short forms of the above. */
static inline uint64_t oob_phys_read_u64(struct oob_machine *machine, uint64_t addr) {
    uint64_t value;

    oob_phys_read(machine, addr, &value, sizeof value);
    return value;
}

static inline uint32_t oob_phys_read_u32(struct oob_machine *machine, uint64_t addr) {
    uint32_t value;

    oob_phys_read(machine, addr, &value, sizeof value);
    return value;
}

static inline void oob_phys_write_u64(struct oob_machine *machine, uint64_t addr, uint64_t value) {
    oob_phys_write(machine, addr, &value, sizeof value);
}

static inline void oob_phys_write_u32(struct oob_machine *machine, uint64_t addr, uint32_t value) {
    oob_phys_write(machine, addr, &value, sizeof value);
}

#endif
