/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine.h"

#include "exchange.h"
#include "lines.h"
#include "resync.h"
#include "serve.h"

static const struct oob_context_events context_events = {
    .ended = oob_link_forsake,
    .gone = oob_resync_gone,
    .replay = oob_resync_replay,
    .make_room = oob_resync_make_room,
};

static const struct oob_link_events link_events = {
    .frame = oob_serve_frame,
    .late = oob_serve_late,
    .away = oob_lines_orphan,
    .back = oob_resync_back,
    .adopted = oob_resync_adopted,
    .passed = oob_resync_passed,
    .report = oob_send_stats,
    .settle = oob_exchange_settle_all,
};

void oob_machine_init(struct oob_machine *machine, const struct oob_virt *virt) {
    memset(machine, 0, sizeof *machine);
    machine->virt = virt;
    machine->contexts.events = &context_events;
    machine->link.events = &link_events;
    oob_stream_open(machine, OOB_CHANNEL_NONE);
    oob_machine_tend(machine);
}

void oob_machine_tend(struct oob_machine *machine) {
    oob_spares_fill(&machine->spares);
}

void oob_machine_free(struct oob_machine *machine) {
    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (machine->contexts.context[i].number)
            oob_context_end(&machine->contexts.context[i]);
    oob_spares_empty(&machine->spares);
}
