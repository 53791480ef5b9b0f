/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must a server be told that was late or away, or that is a new one? It is told just as much as it takes that
 * nothing is lost, and nothing arrives twice. Call with the machine's lock held. */
#ifndef OOB_RESYNC_H
#define OOB_RESYNC_H

#include "context.h"

struct oob_resync {
    bool parting; /* the end of some guest is among the bytes to be sent, and the host may not have taken it yet */
    bool gave_up; /* the last output of some guest was given up since the server was last there */
};

/* Announces a context that the server does not know yet. Returns false when that is not possible now. */
bool oob_resync_introduce(struct oob_context *context);
/* The server is late, but all output that was sent will arrive: counts it as received. */
void oob_resync_hold(struct oob_context *context);
/* Brings the server's devices of a context to the registers that our shadows have, for example after a restart of
 * the guest. */
void oob_resync_replay(struct oob_context *context);
/* The guest is gone. Returns true when the server must still be told that, or what the guest printed last. The
 * context must then be kept as it is until oob_context_end() is called for it. */
bool oob_resync_gone(struct oob_context *context, enum oob_gone_reason reason);
/* Ends the context that departed first, because its place is needed. Output of it that no server has is lost: that
 * is counted and logged. Returns false when none has departed. */
bool oob_resync_make_room(struct oob_machine *machine);

/* Handlers of the link's events (link.h). */
bool oob_resync_adopted(struct oob_machine *machine);
void oob_resync_back(struct oob_machine *machine);
void oob_resync_passed(struct oob_machine *machine);

#endif
