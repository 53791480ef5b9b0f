/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the server is there (docs/wire-protocol.md). A server that is late is not away: its guests get on without
 * it, nothing more is sent, and what they do meanwhile is made up for as soon as it has taken and answered what it
 * has.
 */
#ifndef OOB_LINK_H
#define OOB_LINK_H

#include "context.h"
#include "frame.h"
#include "types.h"

/* How long a vCPU waits for the server before it goes on without it, in ms. */
enum { OOB_PATIENCE_MS = 100 };

/* What others do when something happens on the link (machine.c says who). */
struct oob_link_events {
    /* A frame about a guest that there is. */
    void (*frame)(struct oob_context *context, const union oob_frame *frame);
    /* For each guest: the server is late; it went away. */
    void (*late)(struct oob_context *context);
    void (*away)(struct oob_context *context);
    /* The server is there again, after it was late or away. */
    void (*back)(struct oob_machine *machine);
    /* A new connection: it is to be told of all guests. False when they are too many. */
    bool (*adopted)(struct oob_machine *machine);
    /* More of what was to be sent is with the host now. */
    void (*passed)(struct oob_machine *machine);
    /* The statistics are due. */
    void (*report)(struct oob_machine *machine);
    /* What waits for company has waited long enough. */
    void (*settle)(struct oob_machine *machine);
};

struct oob_link {
    const struct oob_link_events *events;
    bool late;
    uint64_t late_ns; /* since when */
    bool said;
    bool awaited; /* an answer: to the access `seq`, or READY, which has 0 */
    uint32_t seq, answer;
    uint64_t heard_ns;              /* when the server last said anything */
    uint8_t posted[OOB_RANGES_MAX]; /* bit n: a write to register n of our range needs no answer (WELCOME) */
    uint64_t resync_until;          /* while that goes on: until when it may wait */
    bool flush_asked;
    uint64_t polled_ns, stats_ns;
};

bool oob_link_up(const struct oob_machine *machine); /* the server is there, and not late */

/* Sends what is buffered and takes in what has arrived; never waits for the server to answer. */
void oob_link_poll(struct oob_machine *machine);
/* Has a server that was late come back? To be called before an access is noted, never between that and its sending:
 * what the guests did meanwhile is sent then, and what is noted already would be sent twice. */
void oob_link_look(struct oob_machine *machine);
/* Sends what is buffered; waits for room. False when the server is away, or late. */
bool oob_link_flush(struct oob_machine *machine);
void oob_link_flush_soon(struct oob_machine *machine);
uint64_t oob_link_polled_ns(const struct oob_machine *machine); /* when something was last taken in */

/* The answer to the access that was sent last, by its `seq`: until it has come, or patience has ended. False when the
 * server is late or away. */
void oob_link_expect(struct oob_machine *machine);
bool oob_link_await(struct oob_machine *machine, uint64_t start);

/* For whoever connects: a welcomed connection, what is due on it, and its end. */
void oob_link_adopt(struct oob_machine *machine, int channel, const struct oob_welcome *welcome);
int oob_link_interest(const struct oob_machine *machine,
                      int channel); /* what else than its end is to be waited for */
void oob_link_service(struct oob_machine *machine, int channel);
void oob_link_hung_up(struct oob_machine *machine, int channel);
/* The host ends: sends what waits, and the last statistics. */
void oob_link_end(struct oob_machine *machine);
/* The connection is given up. */
void oob_link_lost(struct oob_machine *machine, const char *why, const char *detail);

#endif
