/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One machine is an L1, with all that is known of its guests, and the connection to the server. Core keeps all its
 * data here, and none in file-scope variables, so that one host may have several machines. */
#ifndef OOB_MACHINE_H
#define OOB_MACHINE_H

#include "bus.h"
#include "context.h"
#include "link.h"
#include "platform.h"
#include "resync.h"
#include "send.h"
#include "spares.h"
#include "stream.h"
#include "virt.h"

struct oob_machine {
    char name[OOB_NAME_MAX];
    const struct oob_virt *virt; /* the kind of virtualization that L1 uses */
    struct oob_bus bus;
    uint64_t stat[OOB_STATS_MAX]; /* counters, indexed by enum oob_stat */
    struct oob_contexts contexts;
    struct oob_spares spares;
    struct oob_stream stream;
    struct oob_link link;
    struct oob_sender sender;
    struct oob_resync resync;
};

/* Makes a machine of uninitialised memory. `virt` says which kind of virtualization its L1 uses. The machine has no
 * guests and no connection yet. The host then fills in its name and its bus. */
void oob_machine_init(struct oob_machine *machine, const struct oob_virt *virt);
/* Allocates ahead the memory that vCPUs will need. To be called now and then from a thread that may wait for memory,
 * because a vCPU may not. */
void oob_machine_tend(struct oob_machine *machine);
/* Frees all that the machine holds, but not the machine itself. */
void oob_machine_free(struct oob_machine *machine);

#endif
