/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "serve.h"

#include "exchange.h"
#include "lines.h"
#include "machine.h"
#include "platform.h"

/* How old a publication may be, besides what the guest itself did. */
enum { POLL_NS = 1000000 };

/* One byte of an access: which register of which of our UARTs it reaches. */
struct target {
    int range; /* -1: none of ours */
    unsigned reg;
};

static struct target target_of(const struct oob_context *context, uint32_t port) {
    const struct oob_bus *bus = &context->machine->bus;
    int range = oob_bus_range(bus, port);

    return (struct target){.range = range, .reg = range < 0 ? 0 : port - bus->range[range].first};
}

/* The idle UART has served `target`: it drives the line now. */
static void idle_drives_line(struct oob_context *context, struct target target) {
    if (target.range >= 0)
        context->line[target.range].level = oob_uart_idle_irq(&context->uart[target.range]);
}

static uint8_t idle_read(struct oob_context *context, struct target t) {
    uint8_t value = oob_uart_idle_read(&context->uart[t.range], t.reg);

    idle_drives_line(context, t);
    context->machine->stat[OOB_STAT_AWAY]++;
    return value;
}

enum { STATUS = 1u << UART_LSR | 1u << UART_MSR };

/* No character has an error, no modem line has changed. */
static bool is_clean(uint8_t valid, const uint8_t value[8]) {
    return (valid & STATUS) == STATUS && (value[UART_LSR] & (uint8_t)~UART_LSR_DR) == UART_LSR_IDLE;
}

/* And nothing was received: what may be pending is THRE alone. */
static bool is_quiet(uint8_t valid, const uint8_t value[8]) {
    return is_clean(valid, value) && value[UART_LSR] == UART_LSR_IDLE;
}

/* A guest that prints reads from IIR, once for each FIFO that it fills, that THR is empty. We know when it is: as
 * soon as a byte was written. The server is told, and nobody waits for it. */
static bool serve_thre(struct oob_context *context, struct target t, uint16_t port, uint32_t *value) {
    struct oob_publication *p = &context->published[t.range];
    struct oob_uart *uart = &context->uart[t.range];

    if (!is_quiet(p->valid, p->value) || (uart->mcr & UART_MCR_LOOP) || !oob_uart_thre(uart))
        return false;
    p->accesses++;
    if (!oob_exchange_thre_served(context, port))
        return false;
    *value = oob_uart_idle_read(uart, UART_FCR);
    p->value[UART_FCR] = oob_uart_idle_read(uart, UART_FCR); /* nothing, by now */
    p->valid |= 1u << UART_FCR;
    p->after_thr &= (uint8_t) ~(1u << UART_FCR);
    context->line[t.range].level = false;
    return true;
}

/* A guest that only polls gives no other chance to hear of its input. */
static void poll_sometimes(struct oob_machine *machine) {
    if (oob_now_ns() - oob_link_polled_ns(machine) > POLL_NS)
        oob_link_poll(machine);
}

/* LSR follows what the guest reads from RBR. That the receiver is empty was so at some time since then: what may have
 * come meanwhile is on its way, with an interrupt of its own. */
static bool follow_input(struct oob_context *context, unsigned range) {
    struct oob_publication *p = &context->published[range];
    uint8_t held = context->uart[range].input_len;

    if (p->clean)
        p->clean--;
    p->valid &= STATUS;
    if (held > p->clean) /* what else has come may have errors */
        p->valid &= (uint8_t) ~(1u << UART_LSR);
    p->value[UART_LSR] = held ? UART_LSR_IDLE | UART_LSR_DR : UART_LSR_IDLE;
    return p->valid;
}

/* The guest has read a character. A driver looks at LSR behind each: that costs no question to the server. */
static void took_input(struct oob_context *context, unsigned range) {
    struct oob_publication *p = &context->published[range];
    bool follows = p->accesses == context->accesses && is_clean(p->valid, p->value) && follow_input(context, range);

    if (follows)
        p->accesses++;
    oob_exchange_taken(context, range);
}

/* What the receiver holds is here before the guest can know of it, by LSR, IIR or an interrupt: no reading of RBR
 * waits for the server, and none can miss its answer. */
static uint8_t read_rbr(struct oob_context *context, struct target t) {
    uint8_t value = 0;

    poll_sometimes(context->machine);
    context->machine->stat[oob_link_up(context->machine) ? OOB_STAT_PUBLISHED : OOB_STAT_AWAY]++;
    if (oob_uart_take(&context->uart[t.range], &value))
        took_input(context, (unsigned)t.range);
    return value;
}

static bool read_published(struct oob_context *context, struct target t, uint16_t port, uint32_t *value) {
    const struct oob_publication *p = &context->published[t.range];

    poll_sometimes(context->machine);
    if (!oob_link_up(context->machine) || p->accesses != context->accesses)
        return false;
    if (p->valid & 1u << t.reg)
        *value = p->value[t.reg];
    else if (t.reg != UART_FCR || !serve_thre(context, t, port, value))
        return false;
    context->machine->stat[OOB_STAT_PUBLISHED]++;
    return true;
}

/* A driver looks at IIR until it says that nothing is pending: an interrupt before that would find nothing. */
static void saw_iir(struct oob_context *context, unsigned range, uint8_t iir) {
    struct oob_line *line = &context->line[range];

    if ((iir & 0xf) == UART_IIR_THRE)
        context->uart[range].thre_pending = false;
    line->looked = true;
    line->in_service = !(iir & UART_IIR_NONE);
    line->since_ns = oob_now_ns();
}

static uint8_t read_byte(struct oob_context *context, unsigned index, uint16_t port) {
    struct target t = target_of(context, port);
    uint32_t value = 0;

    if (t.range < 0)
        return 0xff;
    if (t.reg == UART_THR && !(context->uart[t.range].lcr & UART_LCR_DLAB)) /* RBR, when read */
        return read_rbr(context, t);
    if (!read_published(context, t, port, &value)) {
        context->machine->stat[OOB_STAT_READS]++;
        if (!oob_exchange_access(context, index, port, 1, false, &value))
            value = idle_read(context, t);
    }
    if (t.reg == UART_FCR) /* IIR, when read */
        saw_iir(context, (unsigned)t.range, (uint8_t)value);
    if (t.reg == UART_LSR && oob_link_up(context->machine))
        value = oob_uart_lsr(&context->uart[t.range], (uint8_t)value);
    return (uint8_t)value;
}

void oob_serve_answered_late(struct oob_context *context, uint16_t port, uint32_t value) {
    struct target t = target_of(context, port);

    if (t.range >= 0 && t.reg == UART_LSR)
        oob_uart_owe(&context->uart[t.range], (uint8_t)value);
}

/* A bus of eight bits has as many turns as the access has bytes. */
uint32_t oob_serve_read(struct oob_context *context, unsigned index, uint16_t port, unsigned size) {
    uint32_t value = 0;

    oob_link_look(context->machine);
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)read_byte(context, index, (uint16_t)(port + i)) << (8 * i);
    return value;
}

/* Byte by byte, as the bus would: what the native half must know of the registers. True when all of it is one
 * byte for the line. */
static bool observe_write(struct oob_context *context, uint16_t port, unsigned size, uint32_t value) {
    bool thr_alone = false;

    for (unsigned i = 0; i < size; i++) {
        struct target t = target_of(context, port + i);
        uint8_t byte = (uint8_t)(value >> (8 * i));

        if (t.range < 0 || !oob_uart_observe(&context->uart[t.range], t.reg, byte))
            continue;
        thr_alone = size == 1;
        if (!oob_uart_print(&context->uart[t.range], &context->machine->spares, byte))
            context->machine->stat[OOB_STAT_DROPPED]++;
    }
    if (oob_spares_low(&context->machine->spares))
        oob_link_flush_soon(context->machine);
    return thr_alone;
}

static bool post_thr(struct oob_context *context, unsigned index, unsigned range, uint16_t port, uint8_t value) {
    struct oob_publication *p = &context->published[range];

    p->valid &= p->after_thr;
    if (p->accesses == context->accesses)
        p->accesses++; /* what stays true after a byte to THR stays published */
    if (!oob_exchange_post(context, index, port, value))
        return false;
    /* The model transmits at once: it will raise THRE, and say so later. */
    if (oob_uart_idle_irq(&context->uart[range]))
        context->line[range].level = true;
    return true;
}

static bool send_write(struct oob_context *context, unsigned index, uint16_t port, unsigned size, uint32_t value) {
    if (!oob_exchange_access(context, index, port, size, true, &value))
        return false;
    for (unsigned i = 0; i < size; i++) {
        int range = target_of(context, port + i).range;

        if (range < 0)
            continue;
        context->uart[range].thre_pending = false; /* the server's to know; the next byte to THR sets it again */
        if (target_of(context, port + i).reg == UART_FCR && context->uart[range].input_known)
            oob_exchange_taken(context, (unsigned)range); /* it says what is left in its receiver */
    }
    return true;
}

void oob_serve_write(struct oob_context *context, unsigned index, uint16_t port, unsigned size, uint32_t value) {
    bool thr;

    oob_link_look(context->machine);
    thr = observe_write(context, port, size, value);
    context->machine->stat[OOB_STAT_WRITES]++;
    if (thr ? post_thr(context, index, (unsigned)target_of(context, port).range, port, (uint8_t)value)
            : send_write(context, index, port, size, value))
        return;
    context->machine->stat[OOB_STAT_AWAY]++;
    for (unsigned i = 0; i < size; i++)
        idle_drives_line(context, target_of(context, port + i));
}

static void serve_irq(struct oob_context *context, const struct oob_irq *irq) {
    /* From before the server knew that we had served THRE: it says the level again when it knows. */
    if (context->accesses - irq->accesses <= context->since_thre)
        oob_lines_said(context, irq, oob_link_up(context->machine));
}

/* It tells what we know, perhaps of more characters than before: behind accesses that are under way, what we know is
 * worth more. */
static bool is_no_news(const struct oob_context *context, const struct oob_publication *p,
                       const struct oob_publish *publish) {
    return p->accesses == context->accesses && publish->writes != context->accesses && is_clean(p->valid, p->value) &&
           is_clean(publish->valid, publish->value) && p->value[UART_MSR] == publish->value[UART_MSR];
}

/* Characters that have come are pending: what IIR was is no more. */
static void note_input(struct oob_publication *p, uint8_t held) {
    p->clean = held;
    if (!held)
        return;
    p->value[UART_LSR] = UART_LSR_IDLE | UART_LSR_DR;
    p->valid &= STATUS;
}

static void take_over(struct oob_publication *p, const struct oob_publish *publish, uint8_t held) {
    p->valid = publish->valid;
    p->after_thr = publish->after_thr;
    p->accesses = publish->writes;
    memcpy(p->value, publish->value, sizeof p->value);
    p->clean = is_clean(p->valid, p->value) ? held : 0;
}

static void serve_publish(struct oob_context *context, const struct oob_publish *publish) {
    const struct oob_bus *bus = &context->machine->bus;
    int range = oob_bus_range(bus, publish->port);
    struct oob_publication *p;
    uint8_t held;

    if (range < 0 || publish->port != bus->range[range].first)
        return;
    p = &context->published[range];
    held = publish->value[UART_LSR] & UART_LSR_DR ? context->uart[range].input_len : 0;
    oob_uart_acknowledge(&context->uart[range], (uint32_t)(context->accesses - publish->writes));
    if (is_no_news(context, p, publish))
        note_input(p, held);
    else
        take_over(p, publish, held);
    if ((p->valid & 1u << UART_LSR) && (p->value[UART_LSR] & UART_LSR_DR))
        context->last_input_ns = oob_now_ns();
}

static void serve_resume(struct oob_context *context, const struct oob_resume *resume) {
    int range = oob_bus_range(&context->machine->bus, resume->port);

    if (range >= 0)
        context->uart[range].received = resume->received;
}

static void serve_input(struct oob_context *context, const struct oob_input *input) {
    int range = oob_bus_range(&context->machine->bus, input->port);

    if (range >= 0)
        oob_uart_input(&context->uart[range], input->number, input->data, input->count);
}

void oob_serve_frame(struct oob_context *context, const union oob_frame *f) {
    switch (f->h.type) {
    case OOB_IRQ: serve_irq(context, &f->irq); break;
    case OOB_ATTENTION: context->attended = f->attention.attended; break;
    case OOB_RESUME: serve_resume(context, &f->resume); break;
    case OOB_INPUT: serve_input(context, &f->input); break;
    default: serve_publish(context, &f->publish);
    }
}

void oob_serve_late(struct oob_context *context) {
    oob_resync_hold(context);
    oob_lines_orphan(context);
}
