/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "connector.h"
#include "resync.h"
#include "send.h"
#include "serve.h"
#include "stream.h"

enum {
    PATIENCE_NS = OOB_PATIENCE_MS * 1000000,
    SPIN_NS = 150000,     /* two runnable threads answer each other in well under this */
    POLL_NS = 1000000,    /* how often we look whether a server that is late has come back */
    SAID_NS = 1000000000, /* a server that is late for less is not spoken of */
    END_NS = 1000000000,  /* for a server that is late, when QEMU ends */
    STATS_NS = 1000000000,
};

/* A server that is late is not away: its guests get on without it, nothing more is sent, and what they do meanwhile
 * is made up for as soon as it has taken and answered what it has. */
static struct {
    bool late;
    uint64_t late_ns; /* since when */
    bool said;
    bool awaited; /* an answer: to the access `seq`, or READY, which has 0 */
    uint32_t seq, answer;
    uint32_t reader; /* the context that reads from `port`; 0: it is a write, or READY, that is awaited */
    uint16_t port;
    uint64_t resync_until; /* while that goes on: until when it may wait */
    bool flush_asked;
    bool parting; /* some guest's end is said, and may not be with the socket yet */
    bool gave_up; /* last words, since it was there last */
    uint64_t polled_ns, stats_ns;
} link_state;

void oob_link_complain(const char *what, const char *detail) {
    fprintf(stderr, "oob_tcg: machine %s: %s%s%s\n", oob_options.machine, what, detail ? ": " : "",
            detail ? detail : "");
}

bool oob_link_up(void) {
    return oob_stream_fd() >= 0 && !link_state.late;
}

/* The connecting thread notices the hang-up and closes the descriptor. */
static void link_lost(const char *why, const char *detail) {
    if (oob_stream_fd() < 0)
        return;
    oob_link_complain(why, detail);
    oob_stream_shut();
    oob_context_each(oob_serve_orphan);
}

static void go_late(void) {
    link_state.late = true;
    link_state.late_ns = oob_now_ns();
    link_state.said = false;
    oob_context_each(oob_resync_hold);
    oob_context_each(oob_serve_orphan);
    oob_link_flush_soon(); /* the connecting thread looks for its return */
}

static void speak_of_lateness(void) {
    if (link_state.said || oob_now_ns() - link_state.late_ns < SAID_NS)
        return;
    link_state.said = true;
    oob_link_complain("the server has not answered for a second, the guests go on", NULL);
}

/* Guests that ended, in their order. */
static void tell_of_departed(void) {
    struct oob_context *departed;

    while ((departed = oob_resync_departed(false)) && oob_resync_depart(departed))
        link_state.parting = true;
}

static void come_back(void) {
    if (link_state.said)
        oob_link_complain("the server answers again", NULL);
    link_state.late = link_state.gave_up = false;
    link_state.resync_until = oob_now_ns() + PATIENCE_NS;
    tell_of_departed(); /* before those that follow them */
    oob_context_each(oob_resync);
    link_state.resync_until = 0;
}

static void handle_answer(uint32_t seq, uint32_t value) {
    struct oob_context *reader;

    if (!link_state.awaited || seq != link_state.seq) {
        link_lost("the server answered what was not asked", NULL);
        return;
    }
    link_state.awaited = false;
    link_state.answer = value;
    if (link_state.late && (reader = oob_context_find(link_state.reader)))
        oob_serve_answered_late(reader, link_state.port, value);
}

static void handle_resume(struct oob_context *context, const struct oob_resume *resume) {
    int range = oob_options_range(&oob_options, resume->port);

    if (range >= 0)
        context->uart[range].received = resume->received;
}

static void handle_input(struct oob_context *context, const struct oob_input *input) {
    int range = oob_options_range(&oob_options, input->port);

    if (range >= 0)
        oob_uart_input(&context->uart[range], input->number, input->data, input->count);
}

static void handle_frame(const union oob_frame *f) {
    struct oob_context *context;

    switch (f->h.type) {
    case OOB_ANSWER: handle_answer(f->answer.seq, f->answer.value); return;
    case OOB_READY: handle_answer(0, 0); return;
    case OOB_WELCOME: link_lost("the server welcomed us twice", NULL); return;
    default: break;
    }
    context = oob_context_find(f->h.context);
    if (!context)
        return; /* it went away while the frame was under way */
    switch (f->h.type) {
    case OOB_IRQ: oob_serve_irq(context, &f->irq); break;
    case OOB_ATTENTION: context->attended = f->attention.attended; break;
    case OOB_RESUME: handle_resume(context, &f->resume); break;
    case OOB_INPUT: handle_input(context, &f->input); break;
    default: oob_serve_publish(context, &f->publish);
    }
}

/* Takes in what has arrived. False when nothing had. */
static bool receive(void) {
    const char *why = NULL;
    union oob_frame frame;
    int n = oob_stream_receive(&why), taken;

    if (n == OOB_STREAM_BROKEN)
        link_lost("the server went away, the guests go on", why);
    if (n <= 0)
        return false;
    while (oob_stream_fd() >= 0 && (taken = oob_stream_next(&frame, &why)) != 0) {
        if (taken == OOB_STREAM_BROKEN)
            link_lost("the server broke the protocol", why);
        else
            handle_frame(&frame);
    }
    return oob_stream_fd() >= 0;
}

/* Waits until the socket is ready for `events` or `deadline` has passed. */
static void wait_until(short events, uint64_t deadline) {
    struct pollfd p = {.fd = oob_stream_fd(), .events = events};
    uint64_t now = oob_now_ns();

    poll(&p, 1, now >= deadline ? 0 : (int)((deadline - now) / 1000000) + 1);
}

/* If the link breaks before all of it is with the socket, it is told once more. */
static void end_departed(struct oob_context *context) {
    if (!context->gone_at)
        return;
    if (context->gone_at <= oob_stream_passed())
        oob_context_end(context);
    else
        link_state.parting = true;
}

static void part(void) {
    if (!link_state.parting)
        return;
    link_state.parting = false;
    oob_context_each(end_departed);
}

/* Sends what can be sent now. True when nothing is left. */
static bool drain(void) {
    const char *why = NULL;
    size_t left;
    bool whole;

    if (oob_stream_fd() < 0)
        return false;
    oob_send_forget_block();
    whole = oob_stream_send(&why);
    part();
    if (!whole)
        link_lost("the server went away, the guests go on", why);
    oob_stream_unsent(&left);
    return left == 0;
}

bool oob_link_flush(void) {
    uint64_t deadline = link_state.resync_until ? link_state.resync_until : oob_now_ns() + PATIENCE_NS;

    while (!drain() && oob_link_up()) {
        if (oob_now_ns() >= deadline)
            go_late();
        else
            wait_until(POLLOUT, deadline);
    }
    return oob_link_up();
}

uint64_t oob_link_polled_ns(void) {
    return link_state.polled_ns;
}

void oob_link_poll(void) {
    bool sent;

    link_state.polled_ns = oob_now_ns();
    if (oob_stream_fd() < 0)
        return;
    sent = link_state.late ? drain() : oob_link_flush();
    while (oob_stream_fd() >= 0 && receive())
        ;
    if (oob_stream_fd() < 0 || !link_state.late)
        return;
    if (sent && !link_state.awaited)
        come_back(); /* it is not spoken of a server that has answered while it was we who did not run */
    else
        speak_of_lateness();
}

void oob_link_look(void) {
    if (link_state.late && oob_now_ns() - link_state.polled_ns > POLL_NS)
        oob_link_poll();
}

void oob_link_flush_soon(void) {
    if (!link_state.flush_asked)
        link_state.flush_asked = oob_connector_wake();
}

/* A late server is told when it is back, and until then of nothing that begins after it. Who is not announced on the
 * next connection is gone, too, but its last words would be lost. */
bool oob_link_gone(struct oob_context *context, enum oob_gone_reason reason) {
    context->departed = reason;
    if (!context->touched)
        return false;
    if (oob_link_up()) {
        oob_resync_hold(context); /* what it has printed is on its way */
        tell_of_departed();
        oob_link_flush_soon();
    }
    return (oob_stream_fd() >= 0 && context->announced) || oob_resync_unserved(context) > 0;
}

void oob_link_give_up(struct oob_context *departed) {
    uint64_t lost = oob_resync_unserved(departed);

    if (departed->gone_at) /* it is on its way */
        return;
    oob_stat[OOB_STAT_DROPPED] += lost;
    if (lost && !link_state.gave_up)
        oob_link_complain("too many guests ended without a server: the last output of the first ones is lost", NULL);
    link_state.gave_up |= lost != 0;
    if (departed->announced) /* who is not announced on the next connection is gone */
        link_lost("more guests ended than it can be told of, the guests go on", NULL);
}

/* May an access of the context's be sent? The server is told of the context by its first one. */
static bool begin_access(struct oob_context *context) {
    context->touched = true;
    return oob_link_up() && oob_resync_introduce(context);
}

bool oob_link_thre_served(struct oob_context *context, uint16_t port) {
    if (!begin_access(context) || !oob_send_thre_served(context, port))
        return false;
    return oob_link_flush(); /* the server prints one FIFO while the guest fills the next */
}

void oob_link_taken(struct oob_context *context, unsigned range) {
    if (begin_access(context) && oob_send_taken(context, range))
        oob_link_flush_soon();
}

bool oob_link_post(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value) {
    return begin_access(context) && oob_send_posted(context, vcpu, port, value) && oob_link_up();
}

/* Spinning costs a core for at most SPIN_NS and saves the two wake-ups of a sleep. */
static bool await_answer(uint64_t start) {
    uint64_t deadline = start + PATIENCE_NS;

    while (oob_link_up() && link_state.awaited) {
        uint64_t now;

        if (receive())
            continue;
        now = oob_now_ns();
        if (now >= deadline)
            go_late();
        else if (now - start > SPIN_NS && oob_link_up())
            wait_until(POLLIN, deadline);
    }
    return oob_link_up();
}

static void count_latency(uint64_t ns) {
    enum { BUCKETS = 64 };
    int bucket = ns > 1000 ? (int)(4 * log2((double)ns / 1000)) : 0;

    oob_stat[OOB_STAT_READ_NS] += ns;
    oob_stat[OOB_STAT_LATENCY + (bucket < BUCKETS ? bucket : BUCKETS - 1)]++;
}

bool oob_link_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size, bool write,
                     uint32_t *value) {
    uint64_t start = oob_now_ns();

    if (!begin_access(context) || !oob_send_access(context, vcpu, port, size, write, link_state.seq + 1, *value))
        return false;
    link_state.seq++;
    link_state.awaited = true;
    link_state.reader = write ? 0 : context->number;
    link_state.port = port;
    if (!oob_link_flush() || !await_answer(start))
        return false;
    count_latency(oob_now_ns() - start);
    if (!write)
        *value = link_state.answer;
    return true;
}

void oob_link_adopt(int fd) {
    oob_stream_open(fd);
    oob_send_forget_block();
    link_state.seq = 0;
    link_state.reader = 0;
    link_state.awaited = true; /* READY: it is late until then, and nobody waits for it */
    link_state.late = true;
    link_state.late_ns = oob_now_ns();
    link_state.said = false;
    oob_stat[OOB_STAT_RECONNECTS]++;
    oob_context_each(oob_resync_announce);
    if (!oob_send_announced())
        link_lost("more guests than can be announced", NULL);
    oob_link_poll();
}

short oob_link_interest(int fd) {
    size_t left;

    if (oob_stream_fd() != fd || !link_state.late)
        return 0;
    oob_stream_unsent(&left);
    return left ? POLLIN | POLLOUT : POLLIN;
}

void oob_link_service(int fd) {
    link_state.flush_asked = false;
    if (oob_stream_fd() != fd)
        return;
    if (oob_link_up() && oob_now_ns() - link_state.stats_ns >= STATS_NS) {
        link_state.stats_ns = oob_now_ns();
        oob_send_stats();
    }
    oob_link_poll();
}

void oob_link_end(void) {
    uint64_t deadline = oob_now_ns() + END_NS;

    while (oob_stream_fd() >= 0 && link_state.late && oob_now_ns() < deadline) {
        wait_until(POLLIN, oob_now_ns() + POLL_NS);
        oob_link_poll();
    }
    if (!oob_link_up())
        return;
    oob_send_stats();
    oob_link_flush();
}

void oob_link_hung_up(int fd) {
    if (oob_stream_fd() != fd)
        return;
    while (receive()) /* what it said last counts */
        ;
    link_lost("the server went away, the guests go on", NULL);
}
