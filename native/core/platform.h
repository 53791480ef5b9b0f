/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All that native/core asks of its host. The host is a plugin of QEMU, a kernel module or a test. It defines the
 * functions below, and is linked with core. Core calls no other function.
 *
 * Who locks? The host. It has one lock for each machine, and calls core only while it holds that machine's lock.
 * Core itself takes no lock and starts no thread. Core asks the host to give the lock to others in one place only:
 * while a vCPU sleeps until the server answers (oob_channel_rest). All its data is in the `struct oob_machine` that
 * it is given.
 */
#ifndef OOB_PLATFORM_H
#define OOB_PLATFORM_H

#include "types.h"

struct oob_machine;

/* A vCPU's registers. The general registers come first, in the order of their numbers in instructions. */
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

/* Read and write a register of one of the machine's vCPUs. Core calls them only in callbacks of that vCPU. */
uint64_t oob_reg_read(struct oob_machine *machine, unsigned vcpu, enum oob_reg reg);
void oob_reg_write(struct oob_machine *machine, unsigned vcpu, enum oob_reg reg, uint64_t value);

/* Read and write the machine's physical memory. A read at an address without memory gives zeros, and returns
 * false. */
bool oob_phys_read(struct oob_machine *machine, uint64_t addr, void *data, size_t len);
bool oob_phys_write(struct oob_machine *machine, uint64_t addr, const void *data, size_t len);

/* The time of a monotonic clock, in ns. */
uint64_t oob_now_ns(void);
/* A random number that no guest can guess. */
uint64_t oob_random(void);

/* Returns memory that is not cleared, or NULL when there is none. Core calls it when a machine begins and in
 * oob_machine_tend(), but never while a vCPU waits. */
void *oob_alloc(size_t size);
void oob_free(void *memory);

/* Makes a thread of the host call oob_link_service() soon, with the machine's lock held. Returns false when that
 * thread is about to do so anyway. */
bool oob_wake(struct oob_machine *machine);

/* Writes a sentence about the machine for the administrator, with a detail; `detail` may be NULL. */
void oob_log(struct oob_machine *machine, const char *what, const char *detail);

/* The byte stream to the server. The host numbers its connections from 0 up, and gives the number of a connection to
 * oob_link_adopt(). */
enum { OOB_CHANNEL_NONE = -1, OOB_CHANNEL_BROKEN = -1 };
enum { OOB_CHANNEL_INPUT = 1, OOB_CHANNEL_ROOM = 4 }; /* what can be waited for */

/* Send and receive without waiting. They return how many bytes were sent or received: 0 when there is no room, or
 * nothing has arrived. They return OOB_CHANNEL_BROKEN when the connection is broken; `*why` is then the reason, or
 * NULL when the server has closed the connection. */
long oob_channel_send(struct oob_machine *machine, int channel, const void *data, size_t len, const char **why);
long oob_channel_receive(struct oob_machine *machine, int channel, void *data, size_t len, const char **why);
/* Sleeps until one of `events` has happened, or until the time `deadline_ns`. The host keeps the machine's lock. */
void oob_channel_wait(struct oob_machine *machine, int channel, int events, uint64_t deadline_ns);
/* Sleeps until something has arrived, or until the time `deadline_ns`. The host gives the machine's lock to others
 * meanwhile, so any other function of core may have been called when this one returns. */
void oob_channel_rest(struct oob_machine *machine, int channel, uint64_t deadline_ns);
/* Shuts the connection down, so that both ends notice. The host frees it when its own thread has noticed. */
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
