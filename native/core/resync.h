/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a server is told that was late, or away, or is another one: so that nothing is lost, and nothing is there
 * twice. Call with the machine's lock held. */
#ifndef OOB_RESYNC_H
#define OOB_RESYNC_H

#include "context.h"

struct oob_resync {
    bool parting; /* some guest's end is said, and may not be with the host yet */
    bool gave_up; /* last words, since the server was there last */
};

/* Announces a context that the server does not know yet. False when that cannot be. */
bool oob_resync_introduce(struct oob_context *context);
/* It is late: what is on its way will arrive. */
void oob_resync_hold(struct oob_context *context);
/* Brings the server's devices of a context to the registers that we know, after a restart of the guest, say. */
void oob_resync_replay(struct oob_context *context);
/* The guest is no more. True when that, or what it has printed, is still to be told: its context is to be kept as it
 * is until oob_context_end() is called for it. */
bool oob_resync_gone(struct oob_context *context, enum oob_gone_reason reason);
/* There is no room for the last words of the guest that departed first, before a server has got them: that is
 * counted, and said. False when none has departed. */
bool oob_resync_make_room(struct oob_machine *machine);

/* What the link tells of itself (link.h). */
bool oob_resync_adopted(struct oob_machine *machine);
void oob_resync_back(struct oob_machine *machine);
void oob_resync_passed(struct oob_machine *machine);

#endif
