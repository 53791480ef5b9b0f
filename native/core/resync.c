/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "resync.h"

#include "lines.h"
#include "machine.h"
#include "platform.h"
#include "uart_ahead.h"

bool oob_resync_introduce(struct oob_context *context) {
    if (!context->announced)
        context->synced = oob_send_appeared(context);
    return context->announced;
}

void oob_resync_hold(struct oob_context *context) {
    for (unsigned i = 0; context->synced && i < context->machine->bus.ranges; i++)
        context->uart[i].received = context->uart[i].sent - context->uart[i].server_base;
}

static void announce(struct oob_context *context) {
    context->announced = context->synced = false;
    context->gone_at = 0;
    for (unsigned i = 0; i < context->machine->bus.ranges; i++) {
        context->uart[i].received = OOB_UNKNOWN;
        context->line[i].said = false;
        oob_uart_ahead_from(&context->uart[i], 0);
    }
    /* Of others the server can say nothing: they wait until it has been told which of these are no more. It gives
     * their names to those that follow. There is room for all of them: OOB_TX_MAX. */
    if (context->known)
        oob_send_appeared(context);
}

/* A server that knows nothing of the guest gets all that is kept, counts its input from somewhere else, and has given
 * it nothing. */
static void settle(struct oob_context *context) {
    for (unsigned i = 0; i < context->machine->bus.ranges; i++) {
        struct oob_uart *uart = &context->uart[i];
        uint64_t lost, at = oob_uart_resume(uart, &lost);

        uart->sent = at - lost;
        uart->received = uart->sent - uart->server_base;
    }
    context->synced = true;
}

static bool replay_registers(struct oob_context *context, unsigned range) {
    struct oob_uart_write writes[OOB_REPLAY_MAX];
    size_t n = oob_uart_replay(&context->uart[range], writes);

    for (size_t i = 0; i < n; i++) {
        uint16_t port = (uint16_t)(context->machine->bus.range[range].first + writes[i].reg);

        if (!oob_send_block(context, port, &writes[i].value, 1))
            return false;
    }
    return true;
}

static bool send_modes(struct oob_context *context, unsigned range, uint8_t lcr, uint8_t mcr) {
    uint16_t first = context->machine->bus.range[range].first;

    return oob_send_block(context, first + UART_LCR, &lcr, 1) && oob_send_block(context, first + UART_MCR, &mcr, 1);
}

static bool send_output(struct oob_context *context, unsigned range) {
    uint16_t port = context->machine->bus.range[range].first;
    struct oob_uart *uart = &context->uart[range];
    uint64_t lost, at = oob_uart_resume(uart, &lost);
    uint8_t data[OOB_POSTED_MAX];
    size_t n;

    uart->sent = at - lost;
    if (lost && !oob_send_gap(context, port, lost))
        return false;
    uart->sent = at;
    for (; (n = oob_uart_output(uart, uart->sent, data, sizeof data)) > 0; uart->sent += n)
        if (!oob_send_block(context, port, data, n))
            return false;
    return true;
}

static bool has_output(struct oob_uart *uart) {
    uint64_t lost, at = oob_uart_resume(uart, &lost);

    return at - lost < uart->printed;
}

/* It was for the line: not for the divisor, nor for the receiver, if the guest has just made these of THR. */
static bool resync_output(struct oob_context *context, unsigned range) {
    const struct oob_uart *uart = &context->uart[range];
    uint8_t lcr = uart->lcr & (uint8_t)~UART_LCR_DLAB, mcr = uart->mcr & (uint8_t)~UART_MCR_LOOP;

    if (lcr == uart->lcr && mcr == uart->mcr)
        return send_output(context, range);
    return send_modes(context, range, lcr, mcr) && send_output(context, range) &&
           send_modes(context, range, uart->lcr, uart->mcr);
}

/* What the guest has read meanwhile: that THR is empty, how the modem's lines have changed, and characters. */
static bool resync_reads(struct oob_context *context, unsigned range) {
    uint16_t first = context->machine->bus.range[range].first;
    struct oob_uart *uart = &context->uart[range];
    uint8_t no_deltas = ~uart->ahead.msr & 0x0f;

    uart->thre_owed = false;
    return (uart->thre_pending || oob_send_read_served(context, range, first + UART_FCR, UART_IIR_THRE)) &&
           oob_send_read_served(context, range, first + UART_MSR, no_deltas) &&
           (!uart->ahead.numbered || oob_send_read_served(context, range, first, 0));
}

static bool resync_range(struct oob_context *context, unsigned range) {
    if (!replay_registers(context, range) || !resync_output(context, range) || !resync_reads(context, range))
        return false;
    oob_uart_ahead_from(&context->uart[range], context->accesses);
    return true;
}

static void resync(struct oob_context *context) {
    if (!context->touched || context->departed || !oob_link_up(context->machine) ||
        (!context->announced && !oob_send_appeared(context)))
        return;
    if (!context->synced)
        settle(context);
    oob_lines_return(context);
    for (unsigned i = 0; i < context->machine->bus.ranges; i++)
        if (!resync_range(context, i))
            return;
    oob_link_flush_soon(context->machine);
}

/* The guest is no more: what the server does not have of its output, then that. False when the server is late again,
 * or away: this is to be called once more. */
static bool depart(struct oob_context *departed) {
    if (!departed->announced && !oob_send_appeared(departed))
        return false;
    if (!departed->synced)
        settle(departed);
    for (unsigned i = 0; i < departed->machine->bus.ranges; i++)
        if (has_output(&departed->uart[i]) && !(replay_registers(departed, i) && resync_output(departed, i)))
            return false;
    return oob_send_gone(departed, departed->departed);
}

/* The first of the guests that have departed, `said` to the server or not yet; NULL: there is none. */
static struct oob_context *first_departed(struct oob_machine *machine, bool said) {
    struct oob_context *all = machine->contexts.context, *first = NULL;

    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (all[i].number && all[i].departed && (said || !all[i].gone_at) &&
            (!first || all[i].number < first->number))
            first = &all[i];
    return first;
}

/* Guests that ended, in their order. */
static void tell_of_departed(struct oob_machine *machine) {
    struct oob_context *departed;

    while ((departed = first_departed(machine, false)) && depart(departed))
        machine->resync.parting = true;
}

/* How much of a guest's output is kept that no server has, as far as is known. */
static uint64_t unserved(const struct oob_context *context) {
    uint64_t all = 0;

    for (unsigned i = 0; i < context->machine->bus.ranges; i++) {
        const struct oob_uart *uart = &context->uart[i];
        uint64_t left = uart->printed - uart->served;

        all += left < uart->kept_len ? left : uart->kept_len;
    }
    return all;
}

/* A late server is told when it is back, and until then of nothing that begins after it. Who is not announced on the
 * next connection is gone, too, but its last words would be lost. */
bool oob_resync_gone(struct oob_context *context, enum oob_gone_reason reason) {
    struct oob_machine *machine = context->machine;

    context->departed = reason;
    if (!context->touched)
        return false;
    if (oob_link_up(machine)) {
        oob_resync_hold(context); /* what it has printed is on its way */
        tell_of_departed(machine);
        oob_link_flush_soon(machine);
    }
    return (oob_stream_is_open(machine) && context->announced) || unserved(context) > 0;
}

static void give_up(struct oob_context *departed) {
    struct oob_machine *machine = departed->machine;
    uint64_t lost = unserved(departed);

    if (departed->gone_at) /* it is on its way */
        return;
    machine->stat[OOB_STAT_DROPPED] += lost;
    if (lost && !machine->resync.gave_up)
        oob_log(machine, "too many guests ended without a server: the last output of the first ones is lost", NULL);
    machine->resync.gave_up |= lost != 0;
    if (departed->announced) /* who is not announced on the next connection is gone */
        oob_link_lost(machine, "more guests ended than it can be told of, the guests go on", NULL);
}

bool oob_resync_make_room(struct oob_machine *machine) {
    struct oob_context *departed = first_departed(machine, true);

    if (!departed)
        return false;
    give_up(departed);
    oob_context_end(departed);
    return true;
}

bool oob_resync_adopted(struct oob_machine *machine) {
    oob_context_each(machine, announce);
    return oob_send_announced(machine);
}

void oob_resync_back(struct oob_machine *machine) {
    machine->resync.gave_up = false;
    tell_of_departed(machine); /* before those that follow them */
    oob_context_each(machine, resync);
}

/* If the link breaks before all of it is with the host, it is told once more. */
static void end_departed(struct oob_context *context) {
    if (!context->gone_at)
        return;
    if (context->gone_at <= oob_stream_passed(context->machine))
        oob_context_end(context);
    else
        context->machine->resync.parting = true;
}

void oob_resync_passed(struct oob_machine *machine) {
    if (!machine->resync.parting)
        return;
    machine->resync.parting = false;
    oob_context_each(machine, end_departed);
}

void oob_resync_replay(struct oob_context *context) {
    context->touched = true;
    for (unsigned i = 0; i < context->machine->bus.ranges; i++)
        context->line[i] = (struct oob_line){0};
    if (!oob_link_up(context->machine) || !oob_resync_introduce(context))
        return;
    for (unsigned i = 0; i < context->machine->bus.ranges; i++) {
        if (!replay_registers(context, i))
            return;
        oob_uart_ahead_from(&context->uart[i], context->accesses);
    }
    oob_link_flush_soon(context->machine);
}
