/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "resync.h"

#include "link.h"
#include "send.h"
#include "serve.h"

bool oob_resync_introduce(struct oob_context *context) {
    if (!context->announced)
        context->synced = oob_send_appeared(context);
    return context->announced;
}

void oob_resync_hold(struct oob_context *context) {
    for (unsigned i = 0; context->synced && i < oob_options.ranges; i++)
        context->uart[i].received = context->uart[i].sent - context->uart[i].server_base;
}

void oob_resync_announce(struct oob_context *context) {
    context->announced = context->synced = false;
    context->gone_at = 0;
    for (unsigned i = 0; i < oob_options.ranges; i++) {
        context->uart[i].received = OOB_UNKNOWN;
        context->line[i].said = context->line[i].said_pulse = false;
    }
    /* Of others the server can say nothing: they wait until it has been told which of these are no more. It gives
     * their names to those that follow. There is room for all of them: TX_MAX of stream.c. */
    if (context->known)
        oob_send_appeared(context);
}

/* A server that knows nothing of the guest gets all that is kept, counts its input from somewhere else, and has given
 * it nothing. */
static void settle(struct oob_context *context) {
    for (unsigned i = 0; i < oob_options.ranges; i++) {
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
        uint16_t port = (uint16_t)(oob_options.range[range].first + writes[i].reg);

        if (!oob_send_block(context, port, &writes[i].value, 1))
            return false;
    }
    return true;
}

static bool send_modes(struct oob_context *context, unsigned range, uint8_t lcr, uint8_t mcr) {
    uint16_t first = oob_options.range[range].first;

    return oob_send_block(context, first + UART_LCR, &lcr, 1) && oob_send_block(context, first + UART_MCR, &mcr, 1);
}

static bool send_output(struct oob_context *context, unsigned range) {
    uint16_t port = oob_options.range[range].first;
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

static bool resync_range(struct oob_context *context, unsigned range) {
    return replay_registers(context, range) && resync_output(context, range) &&
           (!context->uart[range].input_known || oob_send_taken(context, range));
}

void oob_resync(struct oob_context *context) {
    if (!context->touched || context->departed || !oob_link_up() ||
        (!context->announced && !oob_send_appeared(context)))
        return;
    if (!context->synced)
        settle(context);
    oob_serve_return(context);
    for (unsigned i = 0; i < oob_options.ranges; i++)
        if (!resync_range(context, i))
            return;
    oob_link_flush_soon();
}

bool oob_resync_depart(struct oob_context *departed) {
    if (!departed->announced && !oob_send_appeared(departed))
        return false;
    if (!departed->synced)
        settle(departed);
    for (unsigned i = 0; i < oob_options.ranges; i++)
        if (has_output(&departed->uart[i]) && !(replay_registers(departed, i) && resync_output(departed, i)))
            return false;
    return oob_send_gone(departed, departed->departed);
}

static struct {
    bool said;
    struct oob_context *first;
} wanted;

static void look_for_departed(struct oob_context *context) {
    if (context->departed && (wanted.said || !context->gone_at) &&
        (!wanted.first || context->number < wanted.first->number))
        wanted.first = context;
}

struct oob_context *oob_resync_departed(bool said) {
    wanted.said = said;
    wanted.first = NULL;
    oob_context_each(look_for_departed);
    return wanted.first;
}

uint64_t oob_resync_unserved(const struct oob_context *context) {
    uint64_t all = 0;

    for (unsigned i = 0; i < oob_options.ranges; i++) {
        const struct oob_uart *uart = &context->uart[i];
        uint64_t unserved = uart->printed - uart->served;

        all += unserved < uart->kept_len ? unserved : uart->kept_len;
    }
    return all;
}

void oob_resync_replay(struct oob_context *context) {
    context->touched = true;
    for (unsigned i = 0; i < oob_options.ranges; i++) {
        context->published[i].valid = 0;
        context->line[i] = (struct oob_line){0};
    }
    if (!oob_link_up() || !oob_resync_introduce(context))
        return;
    for (unsigned i = 0; i < oob_options.ranges; i++)
        if (!replay_registers(context, i))
            return;
    oob_link_flush_soon();
}
