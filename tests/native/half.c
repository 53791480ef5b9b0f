/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The native half without QEMU, without a thread and without a clock of its own, as a library for half.py: what is
 * sent, what is waited for and how long it takes is decided by the test.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "connector.h"
#include "context.h"
#include "link.h"
#include "resync.h"
#include "serve.h"
#include "stream.h"

/* half.py compiles everything with poll() named so: waiting takes no time but the test's. */
#undef poll
int poll(struct pollfd *fds, nfds_t count, int timeout_ms);

enum { CONTEXTS = 2, STEP_NS = 20000 /* every look at the clock takes so long */ };

pthread_mutex_t oob_lock = PTHREAD_MUTEX_INITIALIZER;
struct oob_options oob_options;
uint64_t oob_stat[OOB_STATS_MAX];

static struct oob_context contexts[CONTEXTS];
static uint64_t now_ns = 1000000000;
static unsigned woken;
/* The server's turn, while a vCPU waits. Returns whether it has done anything. */
static bool (*server_turn)(void);
static ssize_t pass_on_only = -1; /* that many bytes at a time; -1: all that there are */

uint64_t oob_now_ns(void) {
    return now_ns += STEP_NS;
}

bool oob_connector_wake(void) {
    woken++;
    return true;
}

struct oob_context *oob_context_find(uint32_t number) {
    for (size_t i = 0; number && i < CONTEXTS; i++)
        if (contexts[i].number == number)
            return &contexts[i];
    return NULL;
}

void oob_context_each(void (*visit)(struct oob_context *context)) {
    for (size_t i = 0; i < CONTEXTS; i++)
        if (contexts[i].number)
            visit(&contexts[i]);
}

void oob_context_end(struct oob_context *context) {
    for (unsigned range = 0; range < OOB_RANGES_MAX; range++)
        oob_uart_reset(&context->uart[range]);
    context->number = 0;
}

int half_poll(struct pollfd *fds, nfds_t count, int timeout_ms) {
    int ready = poll(fds, count, 0);

    if (!ready && server_turn && server_turn())
        ready = poll(fds, count, 0);
    if (!ready)
        now_ns += (uint64_t)timeout_ms * 1000000;
    return ready;
}

/* Interrupted by a signal once, then in pieces. A SIGPIPE would end a process that does not expect it. */
ssize_t half_send(int fd, const void *data, size_t len, int flags) {
    static bool interrupted;

    if (!(flags & MSG_NOSIGNAL)) {
        errno = EINVAL;
        return -1;
    }
    if (pass_on_only >= 0 && (interrupted = !interrupted)) {
        errno = EINTR;
        return -1;
    }
    return sendto(fd, data, pass_on_only >= 0 && len > (size_t)pass_on_only ? (size_t)pass_on_only : len, flags, NULL,
                  0);
}

ssize_t half_recv(int fd, void *data, size_t len, int flags) {
    static bool interrupted;

    if (pass_on_only >= 0 && (interrupted = !interrupted)) {
        errno = EINTR;
        return -1;
    }
    return recvfrom(fd, data, pass_on_only >= 0 && len > (size_t)pass_on_only ? (size_t)pass_on_only : len, flags,
                    NULL, NULL);
}

/* What half.py calls, besides the native half's own functions. */

bool half_begin(int argc, char **argv, bool (*turn)(void)) {
    char error[256];

    server_turn = turn;
    for (unsigned i = 0; i < CONTEXTS; i++) {
        contexts[i] = (struct oob_context){.number = i + 1, .ncr3 = 0x1000 * (i + 1), .first_vmcb = 0x2000 * (i + 1)};
        for (unsigned range = 0; range < OOB_RANGES_MAX; range++)
            oob_uart_reset(&contexts[i].uart[range]);
    }
    return oob_options_parse(&oob_options, argc, argv, error);
}

void half_pieces(ssize_t bytes) {
    pass_on_only = bytes;
}

void half_pass(uint64_t ns) {
    now_ns += ns;
}

uint64_t half_clock(void) {
    return now_ns;
}

unsigned half_woken(void) {
    return woken;
}

bool half_level(uint32_t number, unsigned range) {
    return oob_context_find(number)->line[range].level;
}

bool half_attended(uint32_t number) {
    return oob_context_find(number)->attended;
}

uint64_t half_stat(unsigned index) {
    return oob_stat[index];
}

uint32_t half_read(uint32_t number, uint16_t port, unsigned size) {
    return oob_serve_read(oob_context_find(number), 0, port, size);
}

void half_write(uint32_t number, uint16_t port, unsigned size, uint32_t value) {
    oob_serve_write(oob_context_find(number), 0, port, size, value);
}

void half_gone(uint32_t number, unsigned reason) {
    if (!oob_link_gone(oob_context_find(number), reason))
        oob_context_end(oob_context_find(number));
}

/* As context.c does when it needs the room. */
void half_give_up(uint32_t number) {
    oob_link_give_up(oob_context_find(number));
    oob_context_end(oob_context_find(number));
}

bool half_kept(uint32_t number) {
    return oob_context_find(number) != NULL;
}

/* As context.c does with a guest that was reset. */
void half_restart(uint32_t number) {
    struct oob_context *context = oob_context_find(number);

    for (unsigned range = 0; range < OOB_RANGES_MAX; range++)
        oob_uart_restart(&context->uart[range]);
    oob_resync_replay(context);
}
