/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

enum {
    SPIN_NS = 150000,  /* two runnable threads answer each other in well under this */
    FLUSH_BYTES = 512, /* how much company a posted byte waits for, a millisecond at most */
    STATS_NS = 1000000000,
    TX_MAX = 4 * OOB_FRAME_MAX,
    RX_MAX = 4 * OOB_FRAME_MAX,
};

static struct {
    int fd; /* -1: the server is away */
    uint32_t seq;
    bool flush_asked;
    uint8_t tx[TX_MAX];
    size_t tx_len;
    size_t posted_at; /* the POSTED frame at the end of tx that may still grow; SIZE_MAX: none */
    uint8_t rx[RX_MAX];
    size_t rx_len;
    bool answered; /* the access, or ANNOUNCED */
    uint32_t answer;
    uint64_t polled_ns;
    uint64_t stats_ns, stats_sent[OOB_STATS_MAX];
} link_state = {.fd = -1, .posted_at = SIZE_MAX};

void oob_link_complain(const char *what, const char *detail) {
    fprintf(stderr, "oob_tcg: machine %s: %s%s%s\n", oob_options.machine, what, detail ? ": " : "",
            detail ? detail : "");
}

bool oob_link_up(void) {
    return link_state.fd >= 0;
}

/* The connecting thread notices the hang-up and closes the descriptor. */
static void link_lost(const char *why, const char *detail) {
    if (link_state.fd < 0)
        return;
    oob_link_complain(why, detail);
    shutdown(link_state.fd, SHUT_RDWR);
    link_state.fd = -1;
    oob_context_each(oob_context_orphan);
}

/* An ANSWER, or READY, whose seq is 0. */
static void handle_answer(uint32_t seq, uint32_t value) {
    if (seq != link_state.seq || link_state.answered) {
        link_lost("the server answered what was not asked", NULL);
        return;
    }
    link_state.answered = true;
    link_state.answer = value;
}

static void handle_resume(struct oob_context *context, const struct oob_resume *resume) {
    int range = oob_options_range(&oob_options, resume->port);

    if (range >= 0)
        context->uart[range].received = resume->received;
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
    if (f->h.type == OOB_IRQ)
        oob_context_irq(context, &f->irq);
    else if (f->h.type == OOB_ATTENTION)
        context->attended = f->attention.attended;
    else if (f->h.type == OOB_RESUME)
        handle_resume(context, &f->resume);
    else
        oob_context_publish(context, &f->publish);
}

/* Takes in what has arrived. False when nothing had. */
static bool receive(void) {
    ssize_t n = recv(link_state.fd, link_state.rx + link_state.rx_len, RX_MAX - link_state.rx_len, MSG_DONTWAIT);
    size_t at = 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        link_lost("the server went away, the guests go on", n < 0 ? strerror(errno) : NULL);
        return false;
    }
    link_state.rx_len += (size_t)n;
    while (link_state.fd >= 0) {
        union oob_frame frame;
        const char *why;
        int taken = oob_frame_parse(link_state.rx + at, link_state.rx_len - at, &frame, &why);

        if (taken < 0)
            link_lost("the server broke the protocol", why);
        if (taken <= 0)
            break;
        at += (size_t)taken;
        handle_frame(&frame);
    }
    if (link_state.fd < 0)
        return false;
    link_state.rx_len -= at;
    memmove(link_state.rx, link_state.rx + at, link_state.rx_len);
    return true;
}

/* Waits until the socket is ready for `events` or `deadline` has passed. */
static void wait_until(short events, uint64_t deadline) {
    struct pollfd p = {.fd = link_state.fd, .events = events};
    uint64_t now = oob_now_ns();

    poll(&p, 1, now >= deadline ? 0 : (int)((deadline - now) / 1000000) + 1);
}

static void flush(void) {
    uint64_t deadline = 0;
    size_t at = 0;

    while (link_state.fd >= 0 && at < link_state.tx_len) {
        ssize_t n = send(link_state.fd, link_state.tx + at, link_state.tx_len - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0) {
            at += (size_t)n;
        } else if (errno == EAGAIN) {
            if (!deadline)
                deadline = oob_now_ns() + OOB_PATIENCE_MS * 1000000ull;
            if (oob_now_ns() >= deadline)
                link_lost("the server does not read, the guests go on", NULL);
            else
                wait_until(POLLOUT, deadline);
        } else if (errno != EINTR) {
            link_lost("the server went away, the guests go on", strerror(errno));
        }
    }
    link_state.tx_len = 0;
    link_state.posted_at = SIZE_MAX;
}

/* Room for `len` bytes behind what is waiting. NULL when the server is away. */
static uint8_t *reserve(size_t len) {
    if (link_state.tx_len + len > TX_MAX)
        flush();
    if (link_state.fd < 0)
        return NULL;
    link_state.posted_at = SIZE_MAX;
    link_state.tx_len += len;
    return link_state.tx + link_state.tx_len - len;
}

static void append(const void *frame, size_t len) {
    uint8_t *at = reserve(len);

    if (at)
        memcpy(at, frame, len);
}

uint64_t oob_link_polled_ns(void) {
    return link_state.polled_ns;
}

void oob_link_poll(void) {
    link_state.polled_ns = oob_now_ns();
    if (link_state.fd >= 0 && link_state.tx_len)
        flush();
    while (link_state.fd >= 0 && receive())
        ;
}

static struct oob_header header(uint8_t type, size_t length, uint32_t context) {
    return (struct oob_header){.length = (uint16_t)length, .type = type, .context = context};
}

static void announce(struct oob_context *context) {
    struct oob_context_appeared f = {
        .h = header(OOB_CONTEXT_APPEARED, sizeof f, context->number),
        .vmcb = context->first_vmcb,
        .ncr3 = context->ncr3,
    };

    context->accesses = 0;
    context->since_thre = UINT32_MAX;
    append(&f, sizeof f);
}

static void ask_for_flush(void) {
    if (!link_state.flush_asked)
        link_state.flush_asked = oob_connector_wake();
}

void oob_link_gone(struct oob_context *context, enum oob_gone_reason reason) {
    struct oob_context_gone f = {.h = header(OOB_CONTEXT_GONE, sizeof f, context->number), .reason = reason};

    append(&f, sizeof f);
    ask_for_flush();
}

/* Joins the POSTED frame at the end of what is waiting, if there is one that it fits. */
static bool join_posted(const struct oob_context *context, uint16_t port, uint8_t value) {
    struct oob_posted last;

    if (link_state.posted_at == SIZE_MAX || link_state.tx_len == TX_MAX)
        return false;
    memcpy(&last, link_state.tx + link_state.posted_at, sizeof last);
    if (last.h.context != context->number || last.port != port || last.count == OOB_POSTED_MAX)
        return false;
    last.count++;
    last.h.length++;
    memcpy(link_state.tx + link_state.posted_at, &last, sizeof last);
    link_state.tx[link_state.tx_len++] = value;
    if (last.count >= FLUSH_BYTES)
        flush();
    return true;
}

static void post_block(const struct oob_context *context, unsigned vcpu, uint16_t port, const uint8_t *data,
                       size_t len) {
    struct oob_posted f = {
        .h = header(OOB_POSTED, sizeof f + len, context->number),
        .port = port,
        .count = (uint16_t)len,
        .vcpu = (uint16_t)vcpu,
    };
    uint8_t *at = reserve(sizeof f + len);

    if (!at)
        return;
    memcpy(at, &f, sizeof f);
    memcpy(at + sizeof f, data, len);
    link_state.posted_at = (size_t)(at - link_state.tx);
}

/* Does the server know of the context? While it is away, it will be told. */
static bool begin_access(struct oob_context *context) {
    bool known = context->touched;

    context->touched = true;
    if (link_state.fd < 0)
        return false;
    if (!known)
        announce(context);
    context->accesses++;
    if (context->since_thre < UINT32_MAX)
        context->since_thre++;
    return true;
}

bool oob_link_thre_served(struct oob_context *context, uint16_t port) {
    struct oob_thre_served f = {.h = header(OOB_THRE_SERVED, sizeof f, context->number), .port = port};

    if (!begin_access(context))
        return false;
    context->since_thre = 0;
    append(&f, sizeof f);
    flush(); /* the server prints one FIFO while the guest fills the next */
    return link_state.fd >= 0;
}

bool oob_link_post(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value) {
    if (!begin_access(context))
        return false;
    if (!join_posted(context, port, value)) {
        post_block(context, vcpu, port, &value, 1);
        ask_for_flush();
    }
    return link_state.fd >= 0;
}

/* Spinning costs a core for at most SPIN_NS and saves the two wake-ups of a sleep. */
static bool await_answer(uint64_t start) {
    uint64_t deadline = start + OOB_PATIENCE_MS * 1000000ull;

    while (link_state.fd >= 0 && !link_state.answered) {
        uint64_t now;

        if (receive())
            continue;
        now = oob_now_ns();
        if (now >= deadline)
            link_lost("the server does not answer, the guests go on", NULL);
        else if (now - start > SPIN_NS && link_state.fd >= 0)
            wait_until(POLLIN, deadline);
    }
    return link_state.fd >= 0 && link_state.answered;
}

static void count_latency(uint64_t ns) {
    enum { BUCKETS = 64 };
    int bucket = ns > 1000 ? (int)(4 * log2((double)ns / 1000)) : 0;

    oob_stat[OOB_STAT_READ_NS] += ns;
    oob_stat[OOB_STAT_LATENCY + (bucket < BUCKETS ? bucket : BUCKETS - 1)]++;
}

bool oob_link_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size, bool write,
                     uint32_t *value) {
    struct oob_access f = {
        .h = header(OOB_ACCESS, sizeof f, context->number),
        .port = port,
        .size = (uint8_t)size,
        .direction = write ? OOB_WRITE : OOB_READ,
        .value = write ? *value : 0,
        .vcpu = (uint16_t)vcpu,
    };
    uint64_t start = oob_now_ns();

    if (!begin_access(context))
        return false;
    f.seq = ++link_state.seq;
    link_state.answered = false;
    append(&f, sizeof f);
    flush();
    if (!await_answer(start))
        return false;
    count_latency(oob_now_ns() - start);
    if (!write)
        *value = link_state.answer;
    return true;
}

static void resync_output(struct oob_context *context, unsigned range) {
    uint16_t port = oob_options.range[range].first;
    struct oob_uart *uart = &context->uart[range];
    struct oob_gap gap = {.h = header(OOB_GAP, sizeof gap, context->number), .port = port};
    uint64_t at = oob_uart_resume(uart, &gap.lost);
    uint8_t data[OOB_POSTED_MAX];
    size_t n;

    if (gap.lost)
        append(&gap, sizeof gap);
    for (; (n = oob_uart_output(uart, at, data, sizeof data)) > 0; at += n) {
        post_block(context, 0, port, data, n);
        context->accesses += (uint32_t)n;
    }
}

static void replay_registers(struct oob_context *context, unsigned range) {
    struct oob_uart_write writes[OOB_REPLAY_MAX];
    size_t n = oob_uart_replay(&context->uart[range], writes);

    for (size_t i = 0; i < n; i++)
        post_block(context, 0, oob_options.range[range].first + writes[i].reg, &writes[i].value, 1);
    context->accesses += (uint32_t)n;
}

void oob_link_replay(struct oob_context *context) {
    bool known = context->touched;

    context->touched = true;
    if (link_state.fd < 0)
        return;
    if (!known)
        announce(context);
    for (unsigned i = 0; i < oob_options.ranges; i++) {
        context->published[i].valid = 0;
        context->line[i] = (struct oob_line){0};
        replay_registers(context, i);
    }
    ask_for_flush();
}

static void announce_again(struct oob_context *context) {
    for (unsigned i = 0; i < oob_options.ranges; i++)
        context->uart[i].received = OOB_UNKNOWN;
    if (context->touched)
        announce(context);
}

static void resync(struct oob_context *context) {
    for (unsigned i = 0; context->touched && i < oob_options.ranges; i++) {
        replay_registers(context, i);
        resync_output(context, i);
    }
}

void oob_link_adopt(int fd) {
    struct oob_header announced = header(OOB_ANNOUNCED, sizeof announced, 0);
    uint64_t start = oob_now_ns();

    link_state.fd = fd;
    link_state.seq = 0;
    link_state.answered = false;
    link_state.tx_len = link_state.rx_len = 0;
    link_state.posted_at = SIZE_MAX;
    oob_stat[OOB_STAT_RECONNECTS]++;
    oob_context_each(announce_again);
    append(&announced, sizeof announced);
    flush();
    if (!await_answer(start))
        return;
    oob_context_each(resync);
    oob_link_poll();
}

static void send_stats(void) {
    struct oob_stats f = {.h = header(OOB_STATS, sizeof f, 0), .count = OOB_STAT_COUNT};

    if (memcmp(oob_stat, link_state.stats_sent, sizeof oob_stat) == 0)
        return;
    link_state.stats_ns = oob_now_ns();
    memcpy(f.counter, oob_stat, sizeof f.counter);
    memcpy(link_state.stats_sent, oob_stat, sizeof oob_stat);
    append(&f, sizeof f);
}

void oob_link_service(int fd) {
    link_state.flush_asked = false;
    if (link_state.fd != fd)
        return;
    if (oob_now_ns() - link_state.stats_ns >= STATS_NS)
        send_stats();
    oob_link_poll();
}

void oob_link_end(void) {
    send_stats();
    flush();
}

void oob_link_hung_up(int fd) {
    if (link_state.fd == fd)
        link_lost("the server went away, the guests go on", NULL);
}
