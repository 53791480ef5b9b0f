/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "resync.h"

#include "lines.h"
#include "machine.h"
#include "platform.h"
#include "unit.h"

bool oob_resync_introduce(struct oob_context *context) {
    if (!context->announced)
        context->synced = oob_send_appeared(context);
    return context->announced;
}

void oob_resync_hold(struct oob_context *context) {
    for (unsigned i = 0; context->synced && i < context->machine->bus.devices; i++)
        oob_output_hold(&context->unit[i].output);
}

static void announce(struct oob_context *context) {
    context->announced = context->synced = false;
    context->gone_at = 0;
    for (unsigned i = 0; i < context->machine->bus.devices; i++) {
        context->unit[i].output.received = OOB_UNKNOWN;
        oob_unit_outdate(context, i, context->touched ? OOB_NOTHING_COUNTS : 0); /* until the server is told more */
    }
    for (unsigned i = 0; i < OOB_ISA_LINES; i++)
        context->line[i].said = false;
    /* Only guests that some server knows already are announced now. The others wait until the server has been told
     * which of the known ones are gone, because it gives the names of these to guests that come after them. There is
     * room for all announcements: OOB_TX_MAX. */
    if (context->known)
        oob_send_appeared(context);
}

/* Settles from which byte on the server gets the guest's output. A server that knows nothing of the guest gets all
 * that is kept. */
static void settle(struct oob_context *context) {
    for (unsigned i = 0; i < context->machine->bus.devices; i++) {
        struct oob_output *output = &context->unit[i].output;
        uint64_t lost, at = oob_output_resume(output, &lost);

        output->sent = at - lost;
        oob_output_hold(output);
    }
    context->synced = true;
}

static bool send_writes(struct oob_context *context, unsigned device, const struct oob_write *writes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint16_t port = oob_bus_port(&context->machine->bus, device, writes[i].reg);

        if (!oob_send_block(context, port, &writes[i].value, 1))
            return false;
    }
    return true;
}

static bool replay_registers(struct oob_context *context, unsigned device) {
    struct oob_write writes[OOB_REPLAY_MAX];

    return send_writes(context, device, writes, oob_unit_replay(context, device, writes));
}

/* How many bytes of output are sent at a time. They lie on the stack, and a kernel's stack is small. */
enum { SEND_MAX = 1024 };

static bool send_output(struct oob_context *context, unsigned device) {
    uint16_t port = oob_unit_output_port(context, device);
    struct oob_output *output = &context->unit[device].output;
    uint64_t lost, at = oob_output_resume(output, &lost);
    uint8_t data[SEND_MAX];
    size_t n;

    output->sent = at - lost;
    if (lost && !oob_send_gap(context, port, lost))
        return false;
    output->sent = at;
    for (; (n = oob_output_read(output, output->sent, data, sizeof data)) > 0; output->sent += n)
        if (!oob_send_block(context, port, data, n))
            return false;
    return true;
}

static bool has_output(struct oob_output *output) {
    uint64_t lost, at = oob_output_resume(output, &lost);

    return at - lost < output->printed;
}

static bool resync_output(struct oob_context *context, unsigned device) {
    struct oob_write before[OOB_REPLAY_MAX], behind[OOB_REPLAY_MAX];
    size_t n = oob_unit_around_output(context, device, false, before);
    size_t m = oob_unit_around_output(context, device, true, behind);

    return send_writes(context, device, before, n) && send_output(context, device) &&
           send_writes(context, device, behind, m);
}

/* Tells the server what the guest has read while the server was late or away. */
static bool resync_reads(struct oob_context *context, unsigned device) {
    struct oob_write reads[OOB_REPLAY_MAX];
    size_t n = oob_unit_reads(context, device, reads);

    for (size_t i = 0; i < n; i++)
        if (!oob_send_read_served(context, device, reads[i].reg, reads[i].value))
            return false;
    return true;
}

static bool resync_device(struct oob_context *context, unsigned device) {
    if (!replay_registers(context, device) || !resync_output(context, device) || !resync_reads(context, device))
        return false;
    oob_unit_outdate(context, device, context->accesses);
    return true;
}

static void resync(struct oob_context *context) {
    if (!context->touched || context->departed || !oob_link_up(context->machine) ||
        (!context->announced && !oob_send_appeared(context)))
        return;
    if (!context->synced)
        settle(context);
    oob_lines_return(context);
    for (unsigned i = 0; i < context->machine->bus.devices; i++)
        if (!resync_device(context, i))
            return;
    oob_link_flush_soon(context->machine);
}

/* Sends the output of a guest that is gone, as far as the server does not have it, and then says that the guest is
 * gone. Returns false when the server is late again or away. This function must be called again then. */
static bool depart(struct oob_context *departed) {
    if (!departed->announced && !oob_send_appeared(departed))
        return false;
    if (!departed->synced)
        settle(departed);
    for (unsigned i = 0; i < departed->machine->bus.devices; i++)
        if (has_output(&departed->unit[i].output) && !(replay_registers(departed, i) && resync_output(departed, i)))
            return false;
    return oob_send_gone(departed, departed->departed);
}

/* The guest that departed first. Without `said`, only guests count of whose end the server was not told yet. NULL
 * when there is none. */
static struct oob_context *first_departed(struct oob_machine *machine, bool said) {
    struct oob_context *all = machine->contexts.context, *first = NULL;

    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        if (all[i].number && all[i].departed && (said || !all[i].gone_at) &&
            (!first || all[i].number < first->number))
            first = &all[i];
    return first;
}

/* Tells the server of the guests that have ended, in the order in which they began. */
static void tell_of_departed(struct oob_machine *machine) {
    struct oob_context *departed;

    while ((departed = first_departed(machine, false)) && depart(departed))
        machine->resync.parting = true;
}

/* How many bytes of a guest's output are kept that no server has, as far as is known. */
static uint64_t unserved(const struct oob_context *context) {
    uint64_t all = 0;

    for (unsigned i = 0; i < context->machine->bus.devices; i++)
        all += oob_output_unserved(&context->unit[i].output);
    return all;
}

/* A server that is late is told when it is back, and is told of no guest that begins later before that. A server
 * that connects anew would take a guest that is not announced for gone, but the guest's last output would be lost.
 * So the context is kept as long as there is such output. */
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

    if (departed->gone_at) /* its end, and all its output before that, are already among the bytes to be sent */
        return;
    machine->stat[OOB_STAT_DROPPED] += lost;
    if (lost && !machine->resync.gave_up)
        oob_log(machine, "too many guests ended without a server: the last output of the first ones is lost", NULL);
    machine->resync.gave_up |= lost != 0;
    if (departed->announced) /* with a new connection the server sees by itself which guests are gone */
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
    tell_of_departed(machine); /* before the server hears of the guests that came after them */
    oob_context_each(machine, resync);
}

/* Ends a departed context when the host has taken the frame that tells of its end. Until then the context is kept:
 * if the link breaks first, the server is told again. */
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
    memset(context->line, 0, sizeof context->line);
    for (unsigned i = 0; i < context->machine->bus.devices; i++)
        oob_unit_outdate(context, i, context->accesses + OOB_NOTHING_COUNTS); /* until the server is told more */
    if (!oob_link_up(context->machine) || !oob_resync_introduce(context))
        return;
    for (unsigned i = 0; i < context->machine->bus.devices; i++) {
        if (!replay_registers(context, i))
            return;
        oob_unit_outdate(context, i, context->accesses);
    }
    oob_link_flush_soon(context->machine);
}
