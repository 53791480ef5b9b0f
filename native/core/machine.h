/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One machine: an L1 with all that is known of its guests, and its connection to the server. Everything that core
 * knows stands here, so that a host may have as many machines as it likes. */
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

struct oob_machine {
    char name[OOB_NAME_MAX];
    struct oob_bus bus;
    uint64_t stat[OOB_STATS_MAX]; /* enum oob_stat */
    struct oob_contexts contexts;
    struct oob_spares spares;
    struct oob_stream stream;
    struct oob_link link;
    struct oob_sender sender;
    struct oob_resync resync;
};

/* A machine that has no guests yet, and no connection. Its name and its ports are the host's to fill in. The memory
 * may have held anything. */
void oob_machine_init(struct oob_machine *machine);
/* Now and then, from a thread that may wait for memory: what vCPUs will need, so that they need not. */
void oob_machine_tend(struct oob_machine *machine);
/* Frees what it holds. */
void oob_machine_free(struct oob_machine *machine);

#endif
