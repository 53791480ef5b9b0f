/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the server there (docs/wire-protocol.md)? A server that is late is not away. While it is late, its guests go on
 * without it, and nothing more is sent. As soon as the server has received and answered all that was sent before, it
 * is told what the guests did meanwhile.
 */
#ifndef OOB_LINK_H
#define OOB_LINK_H

#include "context.h"
#include "frame.h"
#include "types.h"

/* How long a vCPU waits for the server before it goes on without it, in ms. */
enum { OOB_PATIENCE_MS = 100 };

/* What other parts of core do when something happens on the link. machine.c says which parts. */
struct oob_link_events {
    /* A frame about a guest has arrived. Frames about guests that are gone are not reported. */
    void (*frame)(struct oob_context *context, const union oob_frame *frame);
    /* The server is late, or went away. Each is called once for every guest. */
    void (*late)(struct oob_context *context);
    void (*away)(struct oob_context *context);
    /* The server is there again, after it was late or away. */
    void (*back)(struct oob_machine *machine);
    /* There is a new connection: announces all guests on it. Returns false when there are too many. */
    bool (*adopted)(struct oob_machine *machine);
    /* The host has taken more of the bytes that wait to be sent. */
    void (*passed)(struct oob_machine *machine);
    /* The statistics are due. */
    void (*report)(struct oob_machine *machine);
    /* A read of which the server need not be told at once has waited long enough (OOB_TOLD_LATER). */
    void (*settle)(struct oob_machine *machine);
};

struct oob_link {
    const struct oob_link_events *events;
    bool late;
    uint64_t late_ns; /* since when the server is late */
    bool said;        /* the log has a line about that */
    bool awaited;     /* an answer is due: to the access `seq`, or READY, which counts as the answer to access 0 */
    uint32_t seq, answer;
    uint64_t heard_ns;                /* when the server last sent anything */
    uint8_t posted[OOB_RANGES_MAX];   /* bit n: a write to register n of our range needs no answer (WELCOME) */
    uint8_t widths[OOB_RANGES_MAX];   /* which widths an access to our range may have (oob_port_range.widths) */
    const struct oob_context *waiter; /* whose vCPU waits for an answer; NULL: nobody's, or it ended meanwhile */
    bool waiting;                     /* a vCPU waits for an answer */
    uint64_t resync_until;            /* while a server that came back is told what it missed: when to stop waiting */
    bool flush_asked;
    uint64_t polled_ns, stats_ns;
};

/* Is the server there, and not late? */
bool oob_link_up(const struct oob_machine *machine);

/* Sends what is buffered, and receives what has arrived. Never waits for the server to answer. */
void oob_link_poll(struct oob_machine *machine);
/* Has a server that was late come back? To be called before an access is noted, and never between noting and sending
 * it. For if the server is back, it is sent all that was noted meanwhile: an access that is noted already would be
 * sent twice. */
void oob_link_look(struct oob_machine *machine);
/* Sends what is buffered, and waits until there is room for it. Returns false when the server is late or away. */
bool oob_link_flush(struct oob_machine *machine);
/* Makes a thread of the host send what is buffered, soon. */
void oob_link_flush_soon(struct oob_machine *machine);
/* When oob_link_poll() was last called, on the clock of oob_now_ns(). */
uint64_t oob_link_polled_ns(const struct oob_machine *machine);

/* How an access waits for its answer: after it was sent, oob_link_expect() notes its `seq`, and oob_link_await()
 * waits until the answer has come or OOB_PATIENCE_MS have passed since `start`.
 *
 * Who else waits meanwhile? The machine's lock is free while the vCPU sleeps, so L1's other vCPUs enter and leave
 * their guests. Only accesses to our ports wait: one access is asked at a time, and the server sees accesses in the
 * order in which the shadows were changed. */
enum oob_outcome {
    OOB_UNANSWERED, /* the server is late or away, or was so meanwhile */
    OOB_ANSWERED,
    OOB_ENDED, /* the context has ended or was reset meanwhile. It must not be used: it may be another guest's now */
};
void oob_link_expect(struct oob_machine *machine);
enum oob_outcome oob_link_await(struct oob_context *context, uint64_t start);
/* Waits until no other vCPU waits for an answer. The host must call this before each access, and before it looks up
 * the context of that access, because contexts may end meanwhile. */
void oob_link_turn(struct oob_machine *machine);
/* The context ends or is reset: a vCPU of it that waits for an answer gets none. Handler of the event
 * oob_context_events.ended (context.h). */
void oob_link_forsake(const struct oob_context *context);

/* For the part of the host that connects to the server. oob_link_adopt() takes over a connection on which WELCOME
 * has arrived. oob_link_service() does what is due on it, and oob_link_hung_up() is for its end. */
void oob_link_adopt(struct oob_machine *machine, int channel, const struct oob_welcome *welcome);
/* For which events, besides a hang-up, should the host wait before it calls oob_link_service()? */
int oob_link_interest(const struct oob_machine *machine, int channel);
void oob_link_service(struct oob_machine *machine, int channel);
void oob_link_hung_up(struct oob_machine *machine, int channel);
/* The host ends: sends what is buffered, and the last statistics. */
void oob_link_end(struct oob_machine *machine);
/* Gives the connection up, and logs why. */
void oob_link_lost(struct oob_machine *machine, const char *why, const char *detail);

#endif
