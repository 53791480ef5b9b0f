/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "serve.h"

#include "exchange.h"
#include "lines.h"
#include "machine.h"
#include "platform.h"
#include "unit.h"

/* How often we look for new publications of the server while the guest reads. */
enum { POLL_NS = 1000000 };

static struct oob_target target_of(const struct oob_context *context, uint32_t port) {
    return oob_bus_target(&context->machine->bus, port);
}

/* Why poll here? A guest that only reads its registers makes us send nothing, so we would not hear of its input. */
static void poll_sometimes(struct oob_machine *machine) {
    if (oob_now_ns() - oob_link_polled_ns(machine) > POLL_NS)
        oob_link_poll(machine);
}

/* Tells the server what the guest has read from a register that has an effect when it is read. A read that the
 * server may not need to hear of is told later; of several such reads only the last one is told. */
static void tell(struct oob_context *context, struct oob_target t, uint8_t value, enum oob_told told) {
    if (told == OOB_TOLD_LATER)
        oob_link_flush_soon(context->machine);
    else if (told == OOB_TOLD_EFFECT)
        oob_unit_was_told(context, t, oob_exchange_read_served(context, t.device, t.reg, value));
}

/* Asks the server for a register that only it knows. If the server is not there, the shadow answers. */
static enum oob_outcome ask(struct oob_context *context, unsigned index, struct oob_target t, uint16_t port,
                            uint8_t *value) {
    struct oob_machine *machine = context->machine;
    uint32_t answer = 0xff;
    enum oob_outcome outcome;

    machine->stat[OOB_STAT_READS]++;
    outcome = oob_exchange_access(context, index, port, 1, false, &answer);
    *value = (uint8_t)answer;
    if (outcome != OOB_ANSWERED)
        machine->stat[OOB_STAT_AWAY]++;
    if (outcome == OOB_UNANSWERED)
        *value = oob_unit_idle_read(context, t);
    return outcome;
}

/* The guest has read a value, from the shadow or from the server. */
static void note_read(struct oob_context *context, struct oob_target t, uint8_t value, enum oob_told told,
                      bool asked) {
    enum oob_look look;

    tell(context, t, value, told);
    look = oob_unit_saw(context, t, value, asked);
    oob_lines_looked(context, t.device, look);
    if (look == OOB_LOOK_DONE)
        oob_exchange_done(context, t.device); /* the guest's driver will do something else now */
    oob_lines_drive(context, t.device);
}

/* Returns false when the context has ended meanwhile, and must not be used. */
static bool read_byte(struct oob_context *context, unsigned index, uint16_t port, uint8_t *value) {
    struct oob_target t = target_of(context, port);
    enum oob_outcome outcome = OOB_UNANSWERED;
    enum oob_told told;
    bool alone;

    *value = 0xff;
    if (t.range < 0)
        return true;
    poll_sometimes(context->machine);
    alone = !oob_link_up(context->machine);
    told = oob_unit_read(context, t, alone, value);
    if (told == OOB_TOLD_UNKNOWN)
        outcome = ask(context, index, t, port, value);
    else
        context->machine->stat[alone ? OOB_STAT_AWAY : OOB_STAT_PUBLISHED]++;
    if (outcome == OOB_ENDED)
        return false;
    note_read(context, t, *value, told, outcome == OOB_ANSWERED);
    return true;
}

/* Does the device at the port take an access of `width` bytes whole? Such a device has no shadow. */
static bool takes(const struct oob_machine *machine, uint32_t port, unsigned width) {
    struct oob_target t = oob_bus_target(&machine->bus, port);

    return t.range >= 0 && (machine->link.widths[t.range] >> width / 2 & 1) &&
           port + width - 1 <= machine->bus.range[t.range].last;
}

/* How many bytes of an access of `size` bytes at `port`, from byte `at` on, reach a device together? Most devices are
 * on a bus of eight bits, which makes one access for each byte of a wider one. */
static unsigned width_of(const struct oob_context *context, uint16_t port, unsigned size, unsigned at) {
    for (unsigned width = size; width > 1; width /= 2)
        if (at % width == 0 && takes(context->machine, (uint32_t)port + at, width))
            return width;
    return 1;
}

/* Reads 2 or 4 bytes from a device that takes such accesses. Returns false when the context has ended meanwhile. */
static bool read_wide(struct oob_context *context, unsigned index, uint16_t port, unsigned width, uint32_t *value) {
    struct oob_machine *machine = context->machine;
    enum oob_outcome outcome;

    *value = UINT32_MAX >> (32 - 8 * width);
    machine->stat[OOB_STAT_READS]++;
    outcome = oob_exchange_access(context, index, port, width, false, value);
    if (outcome != OOB_ANSWERED)
        machine->stat[OOB_STAT_AWAY]++;
    if (outcome == OOB_ENDED)
        return false;
    note_read(context, target_of(context, port), (uint8_t)*value, OOB_TOLD_UNKNOWN, outcome == OOB_ANSWERED);
    return true;
}

static bool read_part(struct oob_context *context, unsigned index, uint16_t port, unsigned width, uint32_t *value) {
    uint8_t byte;

    if (width > 1)
        return read_wide(context, index, port, width, value);
    if (!read_byte(context, index, port, &byte))
        return false;
    *value = byte;
    return true;
}

uint32_t oob_serve_read(struct oob_context *context, unsigned index, uint16_t port, unsigned size) {
    uint32_t value = 0, part;
    unsigned width;

    oob_link_look(context->machine);
    for (unsigned i = 0; i < size; i += width) {
        width = width_of(context, port, size, i);
        if (!read_part(context, index, (uint16_t)(port + i), width, &part))
            return UINT32_MAX;
        value |= part << (8 * i);
    }
    return value;
}

/* Sends a write. The guest does not wait if the shadow knows the effects of the write, and the server has said that
 * it needs no answer. */
static enum oob_outcome send_write(struct oob_context *context, unsigned index, struct oob_target t, uint16_t port,
                                   bool awaited, uint8_t value) {
    const struct oob_machine *machine = context->machine;
    uint32_t wide = value;

    if (!awaited && (machine->link.posted[t.range] >> (t.reg - machine->bus.range[t.range].base) & 1))
        return oob_exchange_post(context, index, port, value) ? OOB_ANSWERED : OOB_UNANSWERED;
    return oob_exchange_access(context, index, port, 1, true, &wide);
}

static void print(struct oob_context *context, unsigned device, uint8_t value) {
    struct oob_machine *machine = context->machine;

    if (!oob_output_print(&context->unit[device].output, &machine->spares, value))
        machine->stat[OOB_STAT_DROPPED]++;
    if (oob_spares_low(&machine->spares))
        oob_link_flush_soon(machine);
}

/* Returns false when the context has ended meanwhile, and must not be used. */
static bool write_byte(struct oob_context *context, unsigned index, uint16_t port, uint8_t value) {
    struct oob_machine *machine = context->machine;
    struct oob_target t = target_of(context, port);
    enum oob_outcome outcome;
    bool awaited;

    if (t.range < 0)
        return true;
    awaited = oob_unit_awaits(context, t);
    if (!oob_unit_is_output(context,
                            t)) /* a read that is owed is told before this write, but output may make it needless */
        oob_exchange_settle(context, t.device);
    if (oob_unit_write(context, t, value))
        print(context, t.device, value);
    outcome = send_write(context, index, t, port, awaited, value);
    if (outcome != OOB_ANSWERED)
        machine->stat[OOB_STAT_AWAY]++;
    if (outcome == OOB_ENDED)
        return false;
    oob_unit_written(context, t, awaited, outcome == OOB_ANSWERED);
    oob_lines_drive(context, t.device);
    return true;
}

/* Writes 2 or 4 bytes to a device that takes such accesses. Returns false when the context has ended meanwhile. */
static bool write_wide(struct oob_context *context, unsigned index, uint16_t port, unsigned width, uint32_t value) {
    uint32_t part = value & UINT32_MAX >> (32 - 8 * width);
    enum oob_outcome outcome = oob_exchange_access(context, index, port, width, true, &part);

    if (outcome != OOB_ANSWERED)
        context->machine->stat[OOB_STAT_AWAY]++;
    if (outcome == OOB_ENDED)
        return false;
    oob_lines_drive(context, target_of(context, port).device);
    return true;
}

static bool write_part(struct oob_context *context, unsigned index, uint16_t port, unsigned width, uint32_t value) {
    if (width > 1)
        return write_wide(context, index, port, width, value);
    return write_byte(context, index, port, (uint8_t)value);
}

void oob_serve_write(struct oob_context *context, unsigned index, uint16_t port, unsigned size, uint32_t value) {
    unsigned width;

    oob_link_look(context->machine);
    context->machine->stat[OOB_STAT_WRITES]++;
    for (unsigned i = 0; i < size; i += width) {
        width = width_of(context, port, size, i);
        if (!write_part(context, index, (uint16_t)(port + i), width, value >> (8 * i)))
            return;
    }
}

static void serve_publish(struct oob_context *context, const struct oob_publish *publish) {
    struct oob_target t = target_of(context, publish->port);

    if (t.range < 0 || publish->port != context->machine->bus.range[t.range].first)
        return;
    oob_output_acknowledge(&context->unit[t.device].output, (uint32_t)(context->accesses - publish->accesses));
    if (oob_unit_publish(context, t, publish))
        context->last_input_ns = oob_now_ns();
    oob_lines_drive(context, t.device);
}

static void serve_resume(struct oob_context *context, const struct oob_resume *resume) {
    struct oob_target t = target_of(context, resume->port);

    if (t.range >= 0)
        context->unit[t.device].output.received = resume->received;
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
