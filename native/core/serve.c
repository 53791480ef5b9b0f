/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "serve.h"

#include "exchange.h"
#include "lines.h"
#include "machine.h"
#include "platform.h"
#include "uart_ahead.h"

/* How old a publication may be, besides what the guest itself did. */
enum { POLL_NS = 1000000 };

/* One byte of an access: which register of which of our UARTs it reaches. */
struct target {
    int range; /* -1: none of ours */
    unsigned reg;
    uint16_t port;
};

static struct target target_of(const struct oob_context *context, uint32_t port) {
    const struct oob_bus *bus = &context->machine->bus;
    int range = oob_bus_range(bus, port);

    return (struct target){
        .range = range, .reg = range < 0 ? 0 : port - bus->range[range].first, .port = (uint16_t)port};
}

/* A guest that only polls gives no other chance to hear of its input. */
static void poll_sometimes(struct oob_machine *machine) {
    if (oob_now_ns() - oob_link_polled_ns(machine) > POLL_NS)
        oob_link_poll(machine);
}

/* Tells the server what the guest has read, where reading has an effect. A guest that prints reads from IIR, for each
 * FIFO that it fills, that THR is empty, and then fills the next: the server is told of the last of these only. */
static void tell(struct oob_context *context, struct target t, uint8_t value) {
    struct oob_uart *uart = &context->uart[t.range];
    bool told;

    if (t.reg == UART_FCR) { /* IIR, when read */
        uart->thre_owed = true;
        oob_link_flush_soon(context->machine);
        return;
    }
    told = oob_exchange_read_served(context, (unsigned)t.range, t.port, value);
    /* What is on its way from the server does not know of it yet. */
    if (t.reg == UART_LSR)
        uart->ahead.errors_from = context->accesses + !told;
    if (t.reg == UART_MSR)
        uart->ahead.modem_from = context->accesses + !told;
}

static uint8_t ask(struct oob_context *context, unsigned index, struct target t) {
    struct oob_uart *uart = &context->uart[t.range];
    uint32_t value = 0;

    context->machine->stat[OOB_STAT_READS]++;
    if (!oob_exchange_access(context, index, t.port, 1, false, &value)) {
        context->machine->stat[OOB_STAT_AWAY]++;
        return oob_uart_idle_read(uart, t.reg);
    }
    if (t.reg == UART_FCR && (value & 0xf) == UART_IIR_THRE)
        uart->thre_pending = false;
    return (uint8_t)value;
}

/* A driver looks at IIR until it says that nothing is pending: an interrupt before that would find nothing. */
static void saw_iir(struct oob_context *context, unsigned range, uint8_t iir) {
    struct oob_line *line = &context->line[range];

    line->looked = true;
    line->in_service = !(iir & UART_IIR_NONE);
    line->since_ns = oob_now_ns();
}

static uint8_t read_byte(struct oob_context *context, unsigned index, uint16_t port) {
    struct target t = target_of(context, port);
    enum oob_uart_told told;
    uint8_t value;

    if (t.range < 0)
        return 0xff;
    poll_sometimes(context->machine);
    told = oob_uart_read(&context->uart[t.range], t.reg, &value);
    if (told == OOB_UART_UNKNOWN)
        value = ask(context, index, t);
    else
        context->machine->stat[oob_link_up(context->machine) ? OOB_STAT_PUBLISHED : OOB_STAT_AWAY]++;
    if (told == OOB_UART_EFFECT)
        tell(context, t, value);
    if (t.reg == UART_FCR)
        saw_iir(context, (unsigned)t.range, value);
    if (t.reg == UART_FCR && (value & UART_IIR_NONE))
        oob_exchange_done(context, (unsigned)t.range); /* its driver will do something else now */
    oob_lines_drive(context, (unsigned)t.range);
    return value;
}

/* A bus of eight bits has as many turns as the access has bytes. */
uint32_t oob_serve_read(struct oob_context *context, unsigned index, uint16_t port, unsigned size) {
    uint32_t value = 0;

    oob_link_look(context->machine);
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)read_byte(context, index, (uint16_t)(port + i)) << (8 * i);
    return value;
}

/* Nobody waits for a write whose effects are known here, unless the server wants it so. */
static bool send_write(struct oob_context *context, unsigned index, struct target t, bool looped, uint8_t value) {
    uint32_t wide = value;

    if (!looped && (context->machine->link.posted[t.range] & 1u << t.reg))
        return oob_exchange_post(context, index, t.port, value);
    return oob_exchange_access(context, index, t.port, 1, true, &wide);
}

/* What is on its way from the server does not know of the write yet: does it show what the write has changed? */
static void outdate(struct oob_context *context, struct target t, bool looped, bool sent) {
    struct oob_uart_ahead *ahead = &context->uart[t.range].ahead;

    if (t.reg == UART_MCR)
        ahead->modem_from = context->accesses + !sent;
    if (!sent)
        return;
    if (t.reg == UART_FCR || looped)
        ahead->from = context->accesses;
}

static void write_byte(struct oob_context *context, unsigned index, uint16_t port, uint8_t value) {
    struct target t = target_of(context, port);
    struct oob_uart *uart;
    bool looped, sent;

    if (t.range < 0)
        return;
    uart = &context->uart[t.range];
    looped = oob_uart_is_looped(uart, t.reg);
    if (t.reg != UART_THR)
        oob_exchange_settle(context, (unsigned)t.range); /* the guest has looked at IIR before this write */
    if (oob_uart_observe(uart, t.reg, value) && !oob_uart_print(uart, &context->machine->spares, value))
        context->machine->stat[OOB_STAT_DROPPED]++;
    if (oob_spares_low(&context->machine->spares))
        oob_link_flush_soon(context->machine);
    sent = send_write(context, index, t, looped, value);
    if (!sent)
        context->machine->stat[OOB_STAT_AWAY]++;
    outdate(context, t, looped, sent);
    oob_lines_drive(context, (unsigned)t.range);
}

void oob_serve_write(struct oob_context *context, unsigned index, uint16_t port, unsigned size, uint32_t value) {
    oob_link_look(context->machine);
    context->machine->stat[OOB_STAT_WRITES]++;
    for (unsigned i = 0; i < size; i++)
        write_byte(context, index, (uint16_t)(port + i), (uint8_t)(value >> (8 * i)));
}

static void serve_publish(struct oob_context *context, const struct oob_publish *publish) {
    const struct oob_bus *bus = &context->machine->bus;
    int range = oob_bus_range(bus, publish->port);
    struct oob_uart *uart;

    if (range < 0 || publish->port != bus->range[range].first)
        return;
    uart = &context->uart[range];
    oob_uart_acknowledge(uart, (uint32_t)(context->accesses - publish->accesses));
    oob_uart_publish(uart, publish);
    oob_lines_drive(context, (unsigned)range);
    if (uart->ahead.count > 1)
        context->last_input_ns = oob_now_ns();
}

static void serve_resume(struct oob_context *context, const struct oob_resume *resume) {
    int range = oob_bus_range(&context->machine->bus, resume->port);

    if (range >= 0)
        context->uart[range].received = resume->received;
}

void oob_serve_frame(struct oob_context *context, const union oob_frame *f) {
    switch (f->h.type) {
    case OOB_IRQ: oob_lines_said(context, &f->irq); break;
    case OOB_ATTENTION: context->attended = f->attention.attended; break;
    case OOB_RESUME: serve_resume(context, &f->resume); break;
    default: serve_publish(context, &f->publish);
    }
}

void oob_serve_late(struct oob_context *context) {
    oob_resync_hold(context);
    oob_lines_orphan(context);
}
