/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link.h"

#include "machine.h"
#include "platform.h"
#include "ranges.h"

enum {
    PATIENCE_NS = OOB_PATIENCE_MS * 1000000,
    SPIN_NS = 150000,     /* two threads that are both running answer each other in much less time */
    POLL_NS = 1000000,    /* how often we look whether a server that is late has come back */
    SAID_NS = 1000000000, /* a server that is late for less than this is not logged */
    END_NS = 1000000000,  /* when the host ends: how long we wait for a server that is late */
    STATS_NS = 1000000000,
};

/* If the server owes an answer and has sent nothing for so long, its connection is given up. */
#define OOB_SILENT_NS 5000000000ull

bool oob_link_up(const struct oob_machine *machine) {
    return oob_stream_is_open(machine) && !machine->link.late;
}

/* The host's connector notices that the channel was shut, and closes it. */
void oob_link_lost(struct oob_machine *machine, const char *why, const char *detail) {
    if (!oob_stream_is_open(machine))
        return;
    oob_log(machine, why, detail);
    oob_stream_shut(machine);
    oob_context_each(machine, machine->link.events->away);
}

static void go_late(struct oob_machine *machine) {
    struct oob_link *link = &machine->link;

    link->late = true;
    link->late_ns = oob_now_ns();
    link->said = false;
    oob_context_each(machine, link->events->late);
    oob_link_flush_soon(machine); /* the host's thread watches for the server's return */
}

static void speak_of_lateness(struct oob_machine *machine) {
    struct oob_link *link = &machine->link;

    if (link->said || oob_now_ns() - link->late_ns < SAID_NS)
        return;
    link->said = true;
    oob_log(machine, "the server has not answered for a second, the guests go on", NULL);
}

static void come_back(struct oob_machine *machine) {
    struct oob_link *link = &machine->link;

    if (link->said)
        oob_log(machine, "the server answers again", NULL);
    link->late = false;
    link->resync_until = oob_now_ns() + PATIENCE_NS;
    link->events->back(machine);
    link->resync_until = 0;
}

static void handle_answer(struct oob_machine *machine, uint32_t seq, uint32_t value) {
    struct oob_link *link = &machine->link;

    if (!link->awaited || seq != link->seq) {
        oob_link_lost(machine, "the server answered what was not asked", NULL);
        return;
    }
    link->awaited = false;
    link->answer = value; /* if it is too late, the guest has got another value, and nobody uses this one */
}

static void handle_frame(struct oob_machine *machine, const union oob_frame *f) {
    struct oob_context *context;

    switch (f->h.type) {
    case OOB_ANSWER: handle_answer(machine, f->answer.seq, f->answer.value); return;
    case OOB_READY: handle_answer(machine, 0, 0); return;
    case OOB_WELCOME: oob_link_lost(machine, "the server welcomed us twice", NULL); return;
    default: break;
    }
    context = oob_context_find(machine, f->h.context);
    if (context) /* else the guest ended while the frame was on its way */
        machine->link.events->frame(context, f);
}

/* Receives what has arrived, and handles its frames. Returns false when nothing had arrived, or the link is lost. */
static bool receive(struct oob_machine *machine) {
    const char *why = NULL;
    union oob_frame frame;
    int n = oob_stream_receive(machine, &why), taken;

    if (n == OOB_STREAM_BROKEN)
        oob_link_lost(machine, "the server went away, the guests go on", why);
    if (n <= 0)
        return false;
    machine->link.heard_ns = oob_now_ns();
    while (oob_stream_is_open(machine) && (taken = oob_stream_next(machine, &frame, &why)) != 0) {
        if (taken == OOB_STREAM_BROKEN)
            oob_link_lost(machine, "the server broke the protocol", why);
        else
            handle_frame(machine, &frame);
    }
    return oob_stream_is_open(machine);
}

/* Waits until the connection is ready for `events` or `deadline` has passed. */
static void wait_until(struct oob_machine *machine, int events, uint64_t deadline) {
    oob_channel_wait(machine, machine->stream.channel, events, deadline);
}

/* Sends what can be sent now. Returns true when nothing is left to send. */
static bool drain(struct oob_machine *machine) {
    const char *why = NULL;
    size_t left;
    bool whole;

    if (!oob_stream_is_open(machine))
        return false;
    whole = oob_stream_send(machine, &why);
    machine->link.events->passed(machine);
    if (!whole)
        oob_link_lost(machine, "the server went away, the guests go on", why);
    oob_stream_unsent(machine, &left);
    return left == 0;
}

bool oob_link_flush(struct oob_machine *machine) {
    const struct oob_link *link = &machine->link;
    uint64_t deadline = link->resync_until ? link->resync_until : oob_now_ns() + PATIENCE_NS;

    while (!drain(machine) && oob_link_up(machine)) {
        if (oob_now_ns() >= deadline)
            go_late(machine);
        else
            wait_until(machine, OOB_CHANNEL_ROOM, deadline);
    }
    return oob_link_up(machine);
}

uint64_t oob_link_polled_ns(const struct oob_machine *machine) {
    return machine->link.polled_ns;
}

void oob_link_poll(struct oob_machine *machine) {
    struct oob_link *link = &machine->link;
    bool sent;

    link->polled_ns = oob_now_ns();
    if (!oob_stream_is_open(machine) || link->waiting)
        return; /* a vCPU that waits takes everything in itself; what is to be sent goes when it has finished */
    sent = link->late ? drain(machine) : oob_link_flush(machine);
    while (oob_stream_is_open(machine) && receive(machine))
        ;
    if (!oob_stream_is_open(machine) || !link->late)
        return;
    if (sent && !link->awaited)
        come_back(machine); /* not logged as late: perhaps it was we who did not run, and the server has answered */
    else if (oob_now_ns() - link->heard_ns > OOB_SILENT_NS)
        oob_link_lost(machine, "the server has given no sign of life for 5 s, the guests go on", NULL);
    else
        speak_of_lateness(machine);
}

void oob_link_look(struct oob_machine *machine) {
    if (machine->link.late && oob_now_ns() - machine->link.polled_ns > POLL_NS)
        oob_link_poll(machine);
}

void oob_link_flush_soon(struct oob_machine *machine) {
    if (!machine->link.flush_asked)
        machine->link.flush_asked = oob_wake(machine);
}

void oob_link_expect(struct oob_machine *machine) {
    machine->link.seq++;
    machine->link.awaited = true;
}

/* Waits until the answer has come, or the server is late or away. Why spin before sleeping? It costs a core for at
 * most SPIN_NS, and saves the two wake-ups that a sleep would cost. */
static void await(struct oob_machine *machine, uint64_t start) {
    uint64_t deadline = start + PATIENCE_NS;

    while (oob_link_up(machine) && machine->link.awaited) {
        uint64_t now;

        if (receive(machine))
            continue;
        now = oob_now_ns();
        if (now >= deadline)
            go_late(machine);
        else if (now - start > SPIN_NS && oob_link_up(machine))
            oob_channel_rest(machine, machine->stream.channel, deadline);
    }
}

enum oob_outcome oob_link_await(struct oob_context *context, uint64_t start) {
    struct oob_machine *machine = context->machine;
    struct oob_link *link = &machine->link;
    bool ended;

    link->waiting = true;
    link->waiter = context;
    await(machine, start);
    ended = !link->waiter;
    link->waiting = false;
    link->waiter = NULL;
    if (machine->stream.tx_len)
        oob_link_flush_soon(machine); /* what others have added meanwhile */
    if (ended)
        return OOB_ENDED;
    return oob_link_up(machine) ? OOB_ANSWERED : OOB_UNANSWERED;
}

void oob_link_turn(struct oob_machine *machine) {
    while (machine->link.waiting)
        oob_channel_rest(machine, machine->stream.channel, oob_now_ns() + POLL_NS);
}

void oob_link_forsake(const struct oob_context *context) {
    struct oob_link *link = &context->machine->link;

    if (link->waiter == context)
        link->waiter = NULL;
}

/* Notes which writes need no answer, and how wide accesses may be. The server's ranges are among ours (ranges.h
 * checks that), but may come in another order. */
static void note_ranges(struct oob_machine *machine, const struct oob_welcome *welcome) {
    for (unsigned i = 0; i < machine->bus.ranges; i++) {
        const struct oob_range *ours = &machine->bus.range[i];

        machine->link.posted[i] = machine->link.widths[i] = 0;
        for (unsigned k = 0; k < welcome->ranges; k++)
            if (welcome->range[k].first == ours->first) {
                machine->link.posted[i] = welcome->range[k].posted;
                machine->link.widths[i] = oob_ranges_widths(&machine->bus, ours, &welcome->range[k]);
            }
    }
}

void oob_link_adopt(struct oob_machine *machine, int channel, const struct oob_welcome *welcome) {
    struct oob_link *link = &machine->link;

    oob_stream_open(machine, channel);
    note_ranges(machine, welcome);
    link->seq = 0;
    link->heard_ns = oob_now_ns();
    link->awaited = true; /* READY is due. Until it comes the server counts as late, so that no vCPU waits for it */
    link->late = true;
    link->late_ns = oob_now_ns();
    link->said = false;
    machine->stat[OOB_STAT_RECONNECTS]++;
    if (!link->events->adopted(machine))
        oob_link_lost(machine, "more guests than can be announced", NULL);
    oob_link_poll(machine);
}

int oob_link_interest(const struct oob_machine *machine, int channel) {
    if (machine->stream.channel != channel || !machine->link.late)
        return 0;
    return machine->stream.tx_len ? OOB_CHANNEL_INPUT | OOB_CHANNEL_ROOM : OOB_CHANNEL_INPUT;
}

void oob_link_service(struct oob_machine *machine, int channel) {
    struct oob_link *link = &machine->link;

    link->flush_asked = false;
    if (machine->stream.channel != channel)
        return;
    if (oob_link_up(machine))
        link->events->settle(machine);
    if (oob_link_up(machine) && oob_now_ns() - link->stats_ns >= STATS_NS) {
        link->stats_ns = oob_now_ns();
        link->events->report(machine);
    }
    oob_link_poll(machine);
}

void oob_link_end(struct oob_machine *machine) {
    uint64_t deadline = oob_now_ns() + END_NS;

    while (oob_stream_is_open(machine) && machine->link.late && oob_now_ns() < deadline) {
        wait_until(machine, OOB_CHANNEL_INPUT, oob_now_ns() + POLL_NS);
        oob_link_poll(machine);
    }
    if (!oob_link_up(machine))
        return;
    machine->link.events->report(machine);
    oob_link_flush(machine);
}

void oob_link_hung_up(struct oob_machine *machine, int channel) {
    if (machine->stream.channel != channel)
        return;
    while (receive(machine)) /* what the server sent last still counts */
        ;
    oob_link_lost(machine, "the server went away, the guests go on", NULL);
}
