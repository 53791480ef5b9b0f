/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "exchange.h"

#include "machine.h"
#include "platform.h"
#include "unit.h"

/* May an access of the context be sent? Before the first access, the server is told that the context exists. */
static bool begin_access(struct oob_context *context) {
    context->touched = true;
    return oob_link_up(context->machine) && oob_resync_introduce(context);
}

bool oob_exchange_read_served(struct oob_context *context, unsigned device, unsigned reg, uint8_t value) {
    if (!begin_access(context) || !oob_send_read_served(context, device, reg, value))
        return false;
    if (oob_unit_is_drained(context, device))
        oob_link_flush(context->machine); /* the guest has read all its input: only now does the server send more */
    else
        oob_link_flush_soon(context->machine);
    return true;
}

void oob_exchange_settle(struct oob_context *context, unsigned device) {
    struct oob_write read;

    if (oob_unit_owes(context, device, &read) && begin_access(context))
        oob_send_read_served(context, device, read.reg, read.value);
}

static void settle(struct oob_context *context) {
    for (unsigned device = 0; device < context->machine->bus.devices; device++)
        oob_exchange_settle(context, device);
}

void oob_exchange_settle_all(struct oob_machine *machine) {
    oob_context_each(machine, settle);
}

void oob_exchange_done(struct oob_context *context, unsigned device) {
    struct oob_machine *machine = context->machine;

    oob_exchange_settle(context, device);
    if (oob_link_up(machine) && machine->stream.tx_len)
        oob_link_flush(machine); /* so the server prints this output while the guest makes more */
}

bool oob_exchange_post(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value) {
    return begin_access(context) && oob_send_posted(context, vcpu, port, value) && oob_link_up(context->machine);
}

/* The whole part of 4 * log2(ns / 1000), for ns of at least 1000. There is no floating point here, so the power of
 * two is found first, and then its fourths. */
static unsigned quarter_octaves(uint64_t ns) {
    enum { FRACTION_BITS = 31 };
    static const uint32_t fourths[] = {2553802834u, 3037000500u,
                                       3611622603u}; /* 2^31 times 2^(1/4), 2^(1/2), 2^(3/4) */
    unsigned octave, quarter = 0;
    uint64_t mantissa;

    if (ns > UINT32_MAX) /* more than four seconds: the last counter counts all of these */
        ns = UINT32_MAX;
    octave = 63 - (unsigned)__builtin_clzll(ns / 1000);
    mantissa = ((ns << FRACTION_BITS) / 1000) >> octave;
    while (quarter < 3 && mantissa >= fourths[quarter])
        quarter++;
    return 4 * octave + quarter;
}

void oob_exchange_count(uint64_t stat[OOB_STATS_MAX], uint64_t ns) {
    enum { BUCKETS = 64 };
    unsigned bucket = ns > 1000 ? quarter_octaves(ns) : 0;

    stat[OOB_STAT_READ_NS] += ns;
    stat[OOB_STAT_LATENCY + (bucket < BUCKETS ? bucket : BUCKETS - 1)]++;
}

enum oob_outcome oob_exchange_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size,
                                     bool write, uint32_t *value) {
    struct oob_machine *machine = context->machine;
    uint64_t start = oob_now_ns();
    enum oob_outcome outcome;

    settle(context);
    if (!begin_access(context) || !oob_send_access(context, vcpu, port, size, write, machine->link.seq + 1, *value))
        return OOB_UNANSWERED;
    oob_link_expect(machine);
    if (!oob_link_flush(machine))
        return OOB_UNANSWERED;
    outcome = oob_link_await(context, start);
    if (outcome != OOB_ANSWERED)
        return outcome;
    oob_exchange_count(machine->stat, oob_now_ns() - start);
    if (!write)
        *value = machine->link.answer;
    return OOB_ANSWERED;
}
