/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "send.h"

#include "machine.h"
#include "unit.h"

/* A posted byte waits, a millisecond at most, until so many bytes share its frame. */
enum { FLUSH_BYTES = 512 };

static uint8_t *reserve(struct oob_machine *machine, size_t len) {
    uint8_t *at = oob_stream_reserve(machine, len);

    if (!at && oob_link_flush(machine))
        at = oob_stream_reserve(machine, len);
    machine->stream.block_at = machine->stream.read_at = SIZE_MAX;
    return at;
}

static bool append(struct oob_machine *machine, const void *frame, size_t len) {
    uint8_t *at = reserve(machine, len);

    if (at)
        memcpy(at, frame, len);
    return at;
}

static struct oob_header header(uint8_t type, size_t length, uint32_t context) {
    return (struct oob_header){.length = (uint16_t)length, .type = type, .context = context};
}

/* An access of the guest's own is sent behind all that the guest has printed before. So all output counts as sent. */
static void count_access(struct oob_context *context) {
    context->accesses++;
    for (unsigned i = 0; i < context->machine->bus.devices; i++)
        context->unit[i].output.sent = context->unit[i].output.printed;
}

bool oob_send_access(struct oob_context *context, unsigned vcpu, uint16_t port, unsigned size, bool write,
                     uint32_t seq, uint32_t value) {
    struct oob_access f = {
        .h = header(OOB_ACCESS, sizeof f, context->number),
        .seq = seq,
        .port = port,
        .size = (uint8_t)size,
        .direction = write ? OOB_WRITE : OOB_READ,
        .value = write ? value : 0,
        .vcpu = (uint16_t)vcpu,
    };

    if (!append(context->machine, &f, sizeof f))
        return false;
    count_access(context);
    return true;
}

/* Adds a byte to the POSTED frame at the end of the unsent bytes, if there is one for the same context and port.
 * Returns how many bytes of output that frame has then, or 0 when there is no such frame. */
static unsigned join_block(const struct oob_context *context, uint16_t port, uint8_t value) {
    struct oob_stream *stream = &context->machine->stream;
    struct oob_posted last;
    uint8_t *at;

    if (stream->block_at == SIZE_MAX)
        return 0;
    memcpy(&last, stream->tx + stream->block_at, sizeof last);
    if (last.h.context != context->number || last.port != port || last.count == OOB_POSTED_MAX)
        return 0;
    at = oob_stream_reserve(context->machine, 1);
    if (!at)
        return 0;
    *at = value;
    last.count++;
    last.h.length++;
    memcpy(stream->tx + stream->block_at, &last, sizeof last);
    return last.count;
}

static bool begin_block(const struct oob_context *context, unsigned vcpu, uint16_t port, const uint8_t *data,
                        size_t len) {
    struct oob_posted f = {
        .h = header(OOB_POSTED, sizeof f + len, context->number),
        .port = port,
        .count = (uint16_t)len,
        .vcpu = (uint16_t)vcpu,
    };
    struct oob_stream *stream = &context->machine->stream;
    uint8_t *at = reserve(context->machine, sizeof f + len);

    if (!at)
        return false;
    memcpy(at, &f, sizeof f);
    memcpy(at + sizeof f, data, len);
    stream->block_at = (size_t)(at - stream->tx);
    return true;
}

bool oob_send_posted(struct oob_context *context, unsigned vcpu, uint16_t port, uint8_t value) {
    unsigned joined = join_block(context, port, value);

    if (!joined && !begin_block(context, vcpu, port, &value, 1))
        return false;
    count_access(context);
    if (!joined)
        oob_link_flush_soon(context->machine);
    else if (joined >= FLUSH_BYTES)
        oob_link_flush(context->machine);
    return true;
}

bool oob_send_block(struct oob_context *context, uint16_t port, const uint8_t *data, size_t len) {
    if (!begin_block(context, 0, port, data, len))
        return false;
    context->accesses += (uint32_t)len;
    return true;
}

/* If the unsent bytes end with a READ_SERVED frame for the same register, replaces that frame by `next`: the guest
 * has read the same base register again. */
static bool join_read(struct oob_context *context, const struct oob_read_served *next) {
    struct oob_stream *stream = &context->machine->stream;
    struct oob_read_served last;

    if (stream->read_at == SIZE_MAX)
        return false;
    memcpy(&last, stream->tx + stream->read_at, sizeof last);
    if (last.h.context != next->h.context || last.port != next->port)
        return false;
    memcpy(stream->tx + stream->read_at, next, sizeof *next);
    return true;
}

bool oob_send_read_served(struct oob_context *context, unsigned device, unsigned reg, uint8_t value) {
    struct oob_stream *stream = &context->machine->stream;
    struct oob_read_served f = {
        .h = header(OOB_READ_SERVED, sizeof f, context->number),
        .port = oob_bus_port(&context->machine->bus, device, reg),
        .value = value,
        .number = oob_unit_number(context, device),
    };
    bool base = reg == 0;
    uint8_t *at;

    if (base && join_read(context, &f))
        return true;
    at = reserve(context->machine, sizeof f);
    if (!at)
        return false;
    memcpy(at, &f, sizeof f);
    if (base)
        stream->read_at = (size_t)(at - stream->tx);
    context->accesses++;
    return true;
}

bool oob_send_gap(struct oob_context *context, uint16_t port, uint64_t lost) {
    struct oob_gap f = {.h = header(OOB_GAP, sizeof f, context->number), .port = port, .lost = lost};

    return append(context->machine, &f, sizeof f);
}

bool oob_send_appeared(struct oob_context *context) {
    struct oob_context_appeared f = {
        .h = header(OOB_CONTEXT_APPEARED, sizeof f, context->number),
        .vmcb = context->first_block,
        .ncr3 = context->root,
    };

    if (!append(context->machine, &f, sizeof f))
        return false;
    context->announced = context->known = true;
    context->accesses = 0;
    return true;
}

bool oob_send_gone(struct oob_context *context, enum oob_gone_reason reason) {
    struct oob_context_gone f = {.h = header(OOB_CONTEXT_GONE, sizeof f, context->number), .reason = reason};
    size_t unsent;

    if (!append(context->machine, &f, sizeof f))
        return false;
    oob_stream_unsent(context->machine, &unsent);
    context->gone_at = oob_stream_passed(context->machine) + unsent;
    return true;
}

bool oob_send_announced(struct oob_machine *machine) {
    struct oob_header f = header(OOB_ANNOUNCED, sizeof f, 0);

    return append(machine, &f, sizeof f);
}

void oob_send_stats(struct oob_machine *machine) {
    struct oob_stats f = {.h = header(OOB_STATS, sizeof f, 0), .count = OOB_STAT_COUNT};
    uint64_t *reported = machine->sender.reported;

    if (memcmp(machine->stat, reported, sizeof machine->stat) == 0)
        return;
    memcpy(f.counter, machine->stat, sizeof f.counter);
    if (append(machine, &f, sizeof f))
        memcpy(reported, machine->stat, sizeof machine->stat);
}
