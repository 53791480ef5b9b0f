/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest without a CPU: a driver of a 16550, as Linux's 8250 goes about it, on top of the native half itself
 * (link.c, serve.c and what they use). It prints one byte of a file for each byte that it reads, and writes what it
 * has read into another.
 *
 *   RESTARTS=37 guest PRINTS READS socket=... machine=... ports=... irq=...
 *
 * It says "ready" when it has programmed its port, "break behind N" when it has read N bytes and then a break, and
 * "read N, longest wait M us, K of more than twice its patience" when it has printed the whole file. It says "served
 * by nobody" when the interrupt of an empty THR comes while no server answers, and "served again" when the next one
 * comes with a server. It ends with its standard input. SIGUSR1 breaks its connection to the server; at SIGUSR2 it
 * says how long it has waited for accesses since the last time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "connector.h"
#include "host.h"
#include "../../native/no_cpu.h"
#include "lines.h"
#include "serve.h"
#include "svm.h"

enum { COM1 = 0x3f8, RBR = 0, THR = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };
enum {
    RDI = 1,
    THRI = 2,
    RLSI = 4,
    DATA_READY = 0x01,
    BREAK = 0x10,
    THRE = 0x20,
    THRE_PENDING = 0x02,
    FIFO = 16,
    ROUNDS = 256,
    WAIT_STEP_NS = 1000,
    WAIT_STEPS = 1000000
};

static struct oob_context *context;

static struct {
    const uint8_t *text; /* what it prints */
    size_t size, printed, read;
    int file; /* what it has read */
    uint8_t ier, scr;
    bool restarted; /* its transmitter: the interrupt of an empty THR is due */
    bool alone;     /* no server answered when that interrupt came last */
    uint64_t longest_ns;
    unsigned long_waits;        /* how many took more than twice as long as they may */
    uint32_t waits[WAIT_STEPS]; /* how many took so many steps */
} guest;

static volatile sig_atomic_t break_link, tell_waits;

static void on_signal(int number) {
    if (number == SIGUSR1)
        break_link = 1;
    else
        tell_waits = 1;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void waited_since(uint64_t start) {
    uint64_t took = oob_now_ns() - start;

    if (took > guest.longest_ns)
        guest.longest_ns = took;
    guest.long_waits += took > 2 * OOB_PATIENCE_MS * 1000000u;
    took /= WAIT_STEP_NS;
    guest.waits[took < WAIT_STEPS ? took : WAIT_STEPS - 1]++;
}

/* In steps: what so many waits in a thousand are no longer than. */
static unsigned longest_of(uint64_t all, unsigned in_a_thousand) {
    uint64_t seen = 0;

    for (unsigned i = 0; i < WAIT_STEPS; i++) {
        seen += guest.waits[i];
        if (seen && seen * 1000 >= all * in_a_thousand)
            return i;
    }
    return 0;
}

static void say_waits(void) {
    uint64_t all = 0;

    tell_waits = 0;
    for (unsigned i = 0; i < WAIT_STEPS; i++)
        all += guest.waits[i];
    printf("waits %llu, median %u, 99th percentile %u, longest %u us\n", (unsigned long long)all,
           longest_of(all, 500), longest_of(all, 990), longest_of(all, 1000));
    fflush(stdout);
    memset(guest.waits, 0, sizeof guest.waits);
}

static uint8_t in(unsigned reg) {
    uint64_t start;
    uint8_t value;

    oob_lock();
    start = oob_now_ns();
    value = (uint8_t)oob_serve_read(context, 0, (uint16_t)(COM1 + reg), 1);
    waited_since(start);
    oob_unlock();
    return value;
}

static void out(unsigned reg, uint8_t value) {
    uint64_t start;

    oob_lock();
    start = oob_now_ns();
    oob_serve_write(context, 0, (uint16_t)(COM1 + reg), 1, value);
    waited_since(start);
    oob_unlock();
}

static void start_printing(void) {
    if (!(guest.ier & THRI))
        out(IER, guest.ier |= THRI);
}

static void print(void) {
    for (int i = 0; i < FIFO && guest.printed < guest.read && guest.printed < guest.size; i++)
        out(THR, guest.text[guest.printed++]);
    if (guest.printed == guest.read || guest.printed == guest.size) {
        out(IER, guest.ier &= (uint8_t)~THRI);
        guest.restarted = false;
    }
}

static void break_the_link(void) {
    break_link = 0;
    oob_lock();
    if (oob_stream_is_open(&oob_l1))
        shutdown(oob_l1.stream.channel, SHUT_RDWR);
    oob_unlock();
}

static void say_break(void) {
    printf("break behind %zu\n", guest.read);
    fflush(stdout);
}

static uint8_t read_all(uint8_t lsr) {
    for (int i = 0; i < ROUNDS && (lsr & DATA_READY); i++) {
        uint8_t byte = in(RBR);

        if (break_link) /* nobody has been told yet what was read */
            break_the_link();
        if (write(guest.file, &byte, 1) != 1)
            fail("what was read");
        if (lsr & BREAK) /* after it was written: whoever is told looks at once */
            say_break();
        guest.read++;
        lsr = in(LSR);
    }
    return lsr;
}

static void saw_thre(void) {
    bool alone;

    oob_lock();
    alone = !oob_link_up(&oob_l1);
    oob_unlock();
    if (guest.alone != alone) {
        puts(alone ? "served by nobody" : "served again");
        fflush(stdout);
    }
    guest.alone = alone;
    guest.restarted = false;
}

static void interrupt(void) {
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t iir = in(IIR), lsr;

        if (iir & 1)
            break;
        if ((iir & 0xf) == THRE_PENDING)
            saw_thre();
        lsr = read_all(in(LSR));
        in(MSR);
        if ((lsr & THRE) && (guest.ier & THRI))
            print();
    }
    if (guest.printed < guest.read && guest.printed < guest.size)
        start_printing();
}

/* A register that only the guest changes is always what it wrote. */
static void check_scratch(void) {
    uint8_t found = in(SCR);

    if (found != guest.scr) {
        fprintf(stderr, "SCR is %#x, and was written as %#x\n", found, guest.scr);
        exit(1);
    }
    out(SCR, ++guest.scr);
}

static void program(void) {
    out(LCR, 0x83);
    out(0, 1);
    out(1, 0);
    out(LCR, 0x03);
    out(FCR, 0x87);
    out(MCR, 0x0b);
    out(SCR, guest.scr);
    out(IER, guest.ier = RDI | RLSI);
}

static bool line_is_high(void) {
    bool level;

    oob_lock();
    oob_link_poll(&oob_l1);
    level = oob_line_level(&context->line[4]);
    oob_unlock();
    return level;
}

/* As a driver does that stops its transmitter and starts it: enabling the interrupt of an empty THR asks for it. It
 * is not asked for again before it has come. */
static void restart_transmitter(void) {
    if (guest.restarted)
        return;
    guest.restarted = true;
    out(IER, guest.ier & (uint8_t)~THRI);
    out(IER, guest.ier |= THRI);
}

/* Looks for interrupts until its standard input ends. */
static void run(void) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    const char *often = getenv("RESTARTS");
    unsigned restarts = often ? (unsigned)atoi(often) : 37;
    bool said = false;

    for (unsigned turn = 0; poll(&input, 1, 0) <= 0; turn++) {
        if (line_is_high())
            interrupt();
        else
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        if (turn % 64 == 0)
            check_scratch();
        if (turn % restarts == 0)
            restart_transmitter();
        if (turn % 512 == 0 && break_link)
            break_the_link();
        if (tell_waits)
            say_waits();
        if (!said && guest.printed == guest.size) {
            said = true;
            printf("read %zu, longest wait %llu us, %u of more than twice its patience\n", guest.read,
                   (unsigned long long)guest.longest_ns / 1000, guest.long_waits);
            fflush(stdout);
        }
    }
}

int main(int argc, char **argv) {
    char error[256];
    struct stat st;
    int prints;

    if (argc < 4)
        return 2;
    prints = open(argv[1], O_RDONLY);
    guest.file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (prints < 0 || guest.file < 0 || fstat(prints, &st) != 0)
        fail(argv[1]);
    guest.size = (size_t)st.st_size;
    guest.text = mmap(NULL, guest.size, PROT_READ, MAP_PRIVATE, prints, 0);
    if (guest.text == MAP_FAILED)
        fail("mmap");
    if (!oob_options_parse(&oob_options, argc - 3, argv + 3, error)) {
        fprintf(stderr, "%s\n", error);
        return 2;
    }
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    oob_machine_init(&oob_l1, &oob_svm);
    memcpy(oob_l1.name, oob_options.machine, sizeof oob_l1.name);
    oob_l1.bus = oob_options.bus;
    context = oob_context_new(&oob_l1, 0x2000, 0x1000);
    if (!oob_connector_start())
        fail("the connecting thread");
    program();
    puts("ready");
    fflush(stdout);
    run();
    return 0;
}
