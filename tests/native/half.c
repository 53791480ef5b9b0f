/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The native half without QEMU, without a thread and without a clock of its own, as a library for half.py: what is
 * sent, what is waited for and how long it takes is decided by the test.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "exchange.h"
#include "lines.h"
#include "machine.h"
#include "options.h"
#include "serve.h"
#include "svm.h"
#include "uart.h"
#include "uart_shadow.h"
#include "unit.h"

/* half.py compiles everything with poll() named so: waiting takes no time but the test's. */
#undef poll
int poll(struct pollfd *fds, nfds_t count, int timeout_ms);

enum { CONTEXTS = 2, VCPUS = 4, MEMORY_BYTES = 1 << 20, STEP_NS = 20000 /* every look at the clock takes so long */ };

static struct oob_machine machine;
static uint64_t now_ns = 1000000000;
static unsigned woken;
static bool no_memory;
/* The server's turn, while a vCPU waits. Returns whether it has done anything. */
static bool (*server_turn)(void);
static ssize_t pass_on_only = -1; /* that many bytes at a time; -1: all that there are */

uint64_t oob_now_ns(void) {
    return now_ns += STEP_NS;
}

bool oob_wake(struct oob_machine *of) {
    (void)of;
    woken++;
    return true;
}

void oob_log(struct oob_machine *of, const char *what, const char *detail) {
    fprintf(stderr, "oob_tcg: machine %s: %s%s%s\n", of->name, what, detail ? ": " : "", detail ? detail : "");
}

/* Each other than the one before. */
uint64_t oob_random(void) {
    static uint64_t last;

    return ++last * 0x9e3779b97f4a7c15u;
}

void *oob_alloc(size_t size) {
    return no_memory ? NULL : malloc(size);
}

void oob_free(void *memory) {
    free(memory);
}

/* L1's memory, and the registers of its vCPUs. */

static uint8_t memory[MEMORY_BYTES];
static uint64_t registers[VCPUS][OOB_REG_COUNT];

bool oob_phys_read(struct oob_machine *of, uint64_t addr, void *data, size_t len) {
    (void)of;
    memset(data, 0, len);
    if (addr > sizeof memory || len > sizeof memory - addr)
        return false;
    memcpy(data, memory + addr, len);
    return true;
}

bool oob_phys_write(struct oob_machine *of, uint64_t addr, const void *data, size_t len) {
    (void)of;
    if (addr > sizeof memory || len > sizeof memory - addr)
        return false;
    memcpy(memory + addr, data, len);
    return true;
}

uint64_t oob_reg_read(struct oob_machine *of, unsigned vcpu, enum oob_reg reg) {
    (void)of;
    return registers[vcpu][reg];
}

void oob_reg_write(struct oob_machine *of, unsigned vcpu, enum oob_reg reg, uint64_t value) {
    (void)of;
    registers[vcpu][reg] = value;
}

uint8_t *half_memory(void) {
    return memory;
}

void half_no_memory(bool none) {
    no_memory = none;
}

struct oob_machine *half_machine(void) {
    return &machine;
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

/* Another vCPU's turn, while one waits for the server's answer and others have the lock. NULL: there is none. */
static void (*other_vcpu)(void);

void oob_channel_rest(struct oob_machine *of, int channel, uint64_t deadline_ns) {
    void (*turn)(void) = other_vcpu;

    other_vcpu = NULL; /* once */
    if (turn)
        turn();
    oob_channel_wait(of, channel, OOB_CHANNEL_INPUT, deadline_ns);
}

/* What half.py calls, besides the native half's own functions. */

void half_meanwhile(void (*turn)(void)) {
    other_vcpu = turn;
}

bool half_begin(int argc, char **argv, bool (*turn)(void)) {
    struct oob_options options;
    char error[256];

    if (!oob_options_parse(&options, argc, argv, error)) {
        fprintf(stderr, "%s\n", error);
        return false;
    }
    server_turn = turn;
    oob_machine_init(&machine, &oob_svm);
    memcpy(machine.name, options.machine, sizeof machine.name);
    machine.bus = options.bus;
    for (unsigned i = 0; i < CONTEXTS; i++)
        oob_context_new(&machine, 0x2000 * (i + 1), 0x1000 * (i + 1));
    return true;
}

void half_take_in(void) {
    oob_link_poll(&machine);
}

void half_adopt(int fd, unsigned posted, unsigned widths) {
    struct oob_welcome welcome = {.ranges = (uint16_t)machine.bus.ranges};

    for (unsigned i = 0; i < machine.bus.ranges; i++)
        welcome.range[i] = (struct oob_port_range){
            .first = machine.bus.range[i].first, .widths = (uint8_t)widths, .posted = (uint8_t)posted};
    oob_link_adopt(&machine, fd, &welcome);
}

void half_service(int fd) {
    oob_link_service(&machine, fd);
    oob_machine_tend(&machine);
}

int half_interest(int fd) {
    return oob_link_interest(&machine, fd);
}

void half_hung_up(int fd) {
    oob_link_hung_up(&machine, fd);
}

bool half_up(void) {
    return oob_link_up(&machine);
}

bool half_connected(void) {
    return oob_stream_is_open(&machine);
}

void half_end(void) {
    oob_link_end(&machine);
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

bool half_level(uint32_t number, unsigned device) {
    return oob_line_level(&oob_context_find(&machine, number)->line[machine.bus.device[device].line[0]]);
}

bool half_line_level(uint32_t number, unsigned line) {
    return oob_line_level(&oob_context_find(&machine, number)->line[line]);
}

/* What is known of the receiver: images, the characters in them, and what its interrupt is about. */
static const struct oob_uart_ahead *ahead_of(uint32_t number, unsigned device) {
    const void *shadow = oob_context_find(&machine, number)->unit[device].shadow;

    return &((const struct oob_uart *)shadow)->ahead;
}

unsigned half_images(uint32_t number, unsigned device) {
    return ahead_of(number, device)->count;
}

unsigned half_held(uint32_t number, unsigned device, unsigned index) {
    return ahead_of(number, device)->image[index].rbr;
}

unsigned half_receiver(uint32_t number, unsigned device) {
    return ahead_of(number, device)->image[0].receiver;
}

bool half_attended(uint32_t number) {
    return oob_context_find(&machine, number)->attended;
}

uint64_t half_stat(unsigned index) {
    return machine.stat[index];
}

uint32_t half_read(uint32_t number, uint16_t port, unsigned size) {
    return oob_serve_read(oob_context_find(&machine, number), 0, port, size);
}

void half_write(uint32_t number, uint16_t port, unsigned size, uint32_t value) {
    oob_serve_write(oob_context_find(&machine, number), 0, port, size, value);
}

/* What no register of a 16550 needs: to wait for the server's answer. -1: there is none; -2: the guest has ended. */
int half_ask(uint32_t number, uint16_t port) {
    uint32_t value = 0;

    switch (oob_exchange_access(oob_context_find(&machine, number), 0, port, 1, false, &value)) {
    case OOB_ANSWERED: return (int)value;
    case OOB_UNANSWERED: return -1;
    default: return -2;
    }
}

/* L1 has destroyed the guest, and has begun another one, whose context takes the place of the first. Returns the
 * number of the new guest. */
uint32_t half_replace(uint32_t number) {
    const struct oob_context *former = oob_context_find(&machine, number), *context;

    oob_context_forget(oob_context_find(&machine, number), OOB_GONE_DESTROYED);
    if (former->number)
        oob_context_end(oob_context_find(&machine, number)); /* as soon as the server knows of its end */
    context = oob_context_new(&machine, 0x2000, 0x1000);
    return context == former ? context->number : 0;
}

/* How many bytes wait to be sent. */
size_t half_unsent(void) {
    size_t unsent;

    oob_stream_unsent(&machine, &unsent);
    return unsent;
}

/* The guest prints a long text. */
void half_print(uint32_t number, uint16_t port, const uint8_t *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        half_write(number, port, 1, text[i]);
}

/* L1 has reset the guest. */
void half_reset(uint32_t number) {
    oob_context_restart(oob_context_find(&machine, number));
}

void half_gone(uint32_t number, unsigned reason) {
    if (!oob_resync_gone(oob_context_find(&machine, number), reason))
        oob_context_end(oob_context_find(&machine, number));
}

/* As context.c does when it needs the room: the guest that departed first is given up. */
void half_give_up(void) {
    oob_resync_make_room(&machine);
}

bool half_kept(uint32_t number) {
    return oob_context_find(&machine, number) != NULL;
}

/* As context.c does with a guest that was reset. */
void half_restart(uint32_t number) {
    struct oob_context *context = oob_context_find(&machine, number);

    for (unsigned device = 0; device < machine.bus.devices; device++)
        oob_unit_restart(context, device);
    oob_resync_replay(context);
}
