/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "link.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "frame.h"

enum {
    SPIN_NS = 150000,   /* two runnable threads answer each other in well under this */
    FLUSH_NS = 1000000, /* how long a posted byte may wait for company */
    FLUSH_BYTES = 512,  /* ... and how much company it may have */
    RETRY_MIN_MS = 50,  /* between attempts to connect */
    RETRY_MAX_MS = 1000,
    WELCOME_MS = 5000,
    STATS_NS = 1000000000,
    TX_MAX = 4 * OOB_FRAME_MAX,
    RX_MAX = 4 * OOB_FRAME_MAX,
};

static struct {
    int fd;   /* -1: the server is away */
    int wake; /* eventfd: there is something to flush */
    uint32_t instance;
    uint32_t seq;
    bool flush_asked;
    uint8_t tx[TX_MAX];
    size_t tx_len;
    size_t posted_at; /* the POSTED frame at the end of tx that may still grow; SIZE_MAX: none */
    uint8_t rx[RX_MAX];
    size_t rx_len;
    bool answered;
    uint32_t answer;
    uint64_t stats_ns, stats_sent[OOB_STATS_MAX];
} link_state = {.fd = -1, .wake = -1, .posted_at = SIZE_MAX};

static void complain(const char *what, const char *detail) {
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
    complain(why, detail);
    shutdown(link_state.fd, SHUT_RDWR);
    link_state.fd = -1;
    link_state.tx_len = link_state.rx_len = 0;
    link_state.posted_at = SIZE_MAX;
    oob_context_each(oob_context_orphan);
}

static void handle_frame(const union oob_frame *f) {
    struct oob_context *context;

    switch (f->h.type) {
    case OOB_ANSWER:
        if (f->answer.seq == link_state.seq && !link_state.answered) {
            link_state.answered = true;
            link_state.answer = f->answer.value;
        } else {
            link_lost("the server answered an access that was not made", NULL);
        }
        return;
    case OOB_WELCOME: link_lost("the server welcomed us twice", NULL); return;
    default: break;
    }
    context = oob_context_find(f->h.context);
    if (!context)
        return; /* it went away while the frame was under way */
    if (f->h.type == OOB_IRQ)
        oob_context_irq(context, f->irq.line, f->irq.mode);
    else if (f->h.type == OOB_ATTENTION)
        context->attended = f->attention.attended;
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

static void *append(const void *frame, size_t len) {
    void *at;

    if (link_state.tx_len + len > TX_MAX)
        flush();
    at = link_state.tx + link_state.tx_len;
    memcpy(at, frame, len);
    link_state.tx_len += len;
    link_state.posted_at = SIZE_MAX;
    return at;
}

void oob_link_poll(void) {
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
    append(&f, sizeof f);
}

void oob_link_gone(struct oob_context *context, enum oob_gone_reason reason) {
    struct oob_context_gone f = {.h = header(OOB_CONTEXT_GONE, sizeof f, context->number), .reason = reason};

    if (link_state.fd >= 0)
        append(&f, sizeof f);
}

static void ensure_announced(struct oob_context *context) {
    if (context->touched)
        return;
    context->touched = true;
    announce(context);
}

static void ask_for_flush(void) {
    uint64_t one = 1;

    if (link_state.flush_asked)
        return;
    link_state.flush_asked = true;
    if (write(link_state.wake, &one, sizeof one) < 0)
        link_state.flush_asked = false; /* the counter is full: the thread is awake anyway */
}

bool oob_link_post(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value) {
    struct oob_posted f = {.port = port, .count = 1, .vcpu = (uint16_t)vcpu};

    if (link_state.fd < 0) {
        context->touched = true;
        return false;
    }
    ensure_announced(context);
    context->accesses++;
    if (link_state.posted_at != SIZE_MAX && link_state.tx_len < TX_MAX) {
        struct oob_posted last;

        memcpy(&last, link_state.tx + link_state.posted_at, sizeof last);
        if (last.h.context == context->number && last.port == port && last.count < OOB_POSTED_MAX) {
            last.count++;
            last.h.length++;
            memcpy(link_state.tx + link_state.posted_at, &last, sizeof last);
            link_state.tx[link_state.tx_len++] = value;
            if (last.count >= FLUSH_BYTES)
                flush();
            return link_state.fd >= 0;
        }
    }
    f.h = header(OOB_POSTED, sizeof f + 1, context->number);
    if (link_state.tx_len + sizeof f + 1 > TX_MAX)
        flush();
    append(&f, sizeof f);
    link_state.posted_at = link_state.tx_len - sizeof f;
    link_state.tx[link_state.tx_len++] = value;
    ask_for_flush();
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
    uint64_t start;

    if (link_state.fd < 0) {
        context->touched = true;
        return false;
    }
    ensure_announced(context);
    context->accesses++;
    f.seq = ++link_state.seq;
    link_state.answered = false;
    append(&f, sizeof f);
    start = oob_now_ns();
    flush();
    if (!await_answer(start))
        return false;
    count_latency(oob_now_ns() - start);
    if (!write)
        *value = link_state.answer;
    return true;
}

static void post_block(const struct oob_context *context, uint16_t port, const uint8_t *data, size_t len) {
    struct oob_posted f = {
        .h = header(OOB_POSTED, sizeof f + len, context->number), .port = port, .count = (uint16_t)len};
    uint8_t frame[sizeof f + OOB_POSTED_MAX];

    memcpy(frame, &f, sizeof f);
    memcpy(frame + sizeof f, data, len);
    append(frame, sizeof f + len);
}

static void resync_uart(struct oob_context *context, unsigned range) {
    uint16_t port = oob_options.range[range].first;
    struct oob_uart *uart = &context->uart[range];
    struct oob_uart_write writes[OOB_REPLAY_MAX];
    size_t n = oob_uart_replay(uart, writes);
    uint8_t kept[OOB_POSTED_MAX];

    for (size_t i = 0; i < n; i++)
        post_block(context, port + writes[i].reg, &writes[i].value, 1);
    context->accesses += (uint32_t)n;
    if (uart->lost) {
        struct oob_gap gap = {.h = header(OOB_GAP, sizeof gap, context->number), .port = port, .lost = uart->lost};

        append(&gap, sizeof gap);
        uart->lost = 0;
    }
    while ((n = oob_uart_take_kept(uart, kept, sizeof kept))) {
        post_block(context, port, kept, n);
        context->accesses += (uint32_t)n;
    }
}

static void announce_again(struct oob_context *context) {
    if (context->touched)
        announce(context);
}

static void resync(struct oob_context *context) {
    for (unsigned i = 0; context->touched && i < oob_options.ranges; i++)
        resync_uart(context, i);
}

static void send_stats(void) {
    struct oob_stats f = {.h = header(OOB_STATS, sizeof f, 0), .count = OOB_STAT_COUNT};
    uint64_t now = oob_now_ns();

    if (link_state.fd < 0 || now - link_state.stats_ns < STATS_NS ||
        memcmp(oob_stat, link_state.stats_sent, sizeof oob_stat) == 0)
        return;
    link_state.stats_ns = now;
    memcpy(f.counter, oob_stat, sizeof f.counter);
    memcpy(link_state.stats_sent, oob_stat, sizeof oob_stat);
    append(&f, sizeof f);
}

static bool read_welcome(int fd, const char **why) {
    uint8_t buffer[sizeof(struct oob_welcome)];
    size_t have = 0;
    uint64_t deadline = oob_now_ns() + WELCOME_MS * 1000000ull;
    union oob_frame frame;

    *why = "the server did not welcome us";
    while (have < sizeof buffer) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = oob_now_ns();
        ssize_t n;

        if (now >= deadline || poll(&p, 1, (int)((deadline - now) / 1000000) + 1) == 0)
            return false;
        n = recv(fd, buffer + have, sizeof buffer - have, 0);
        if (n <= 0) {
            *why = "the server refused us: its log says why";
            return false;
        }
        have += (size_t)n;
    }
    return oob_frame_parse(buffer, have, &frame, why) > 0 && frame.h.type == OOB_WELCOME;
}

static int try_connect(const char **why) {
    struct oob_hello hello = {
        .h = header(OOB_HELLO, sizeof hello, 0),
        .magic = OOB_MAGIC,
        .version = OOB_VERSION,
        .capabilities = OOB_CAP_IRQ_LEVEL | OOB_CAP_IRQ_PULSE | OOB_CAP_ATTENTION | OOB_CAP_PUBLISH,
        .instance = link_state.instance,
    };
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(hello.machine, oob_options.machine, sizeof hello.machine);
    memcpy(address.sun_path, oob_options.socket, sizeof address.sun_path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        *why = strerror(errno);
    } else if (send(fd, &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello) {
        *why = strerror(errno);
    } else if (read_welcome(fd, why)) {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Serves one connection until it is lost: wakes only to flush, or on the hang-up. */
static void attend(int fd) {
    for (;;) {
        struct pollfd p[2] = {{.fd = fd, .events = POLLRDHUP}, {.fd = link_state.wake, .events = POLLIN}};
        uint64_t count;

        poll(p, 2, -1);
        if (p[1].revents && read(link_state.wake, &count, sizeof count) > 0) {
            nanosleep(&(struct timespec){.tv_nsec = FLUSH_NS}, NULL);
            pthread_mutex_lock(&oob_lock);
            link_state.flush_asked = false;
            if (link_state.fd == fd) {
                send_stats();
                oob_link_poll();
            }
            pthread_mutex_unlock(&oob_lock);
        }
        if (p[0].revents)
            break;
    }
    pthread_mutex_lock(&oob_lock);
    if (link_state.fd == fd)
        link_lost("the server went away, the guests go on", NULL);
    pthread_mutex_unlock(&oob_lock);
    close(fd);
}

static void *connector(void *unused) {
    const char *said = NULL;
    int retry_ms = RETRY_MIN_MS;

    (void)unused;
    for (;;) {
        const char *why = NULL;
        int fd = try_connect(&why);

        if (fd >= 0) {
            pthread_mutex_lock(&oob_lock);
            link_state.fd = fd;
            link_state.seq = 0;
            oob_stat[OOB_STAT_RECONNECTS]++;
            oob_context_each(announce_again); /* all of them first: the server takes the others for gone */
            oob_context_each(resync);
            oob_link_poll();
            pthread_mutex_unlock(&oob_lock);
            said = NULL;
            retry_ms = RETRY_MIN_MS;
            attend(fd);
            continue;
        }
        if (!said || strcmp(said, why) != 0)
            complain("no server yet, the guests go on without one", said = why);
        poll(NULL, 0, retry_ms);
        retry_ms = retry_ms * 2 < RETRY_MAX_MS ? retry_ms * 2 : RETRY_MAX_MS;
    }
    return NULL;
}

bool oob_link_start(void) {
    pthread_t thread;

    link_state.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (getrandom(&link_state.instance, sizeof link_state.instance, 0) != sizeof link_state.instance)
        return false;
    link_state.instance |= 1;
    if (link_state.wake < 0 || pthread_create(&thread, NULL, connector, NULL) != 0)
        return false;
    pthread_detach(thread);
    return true;
}
