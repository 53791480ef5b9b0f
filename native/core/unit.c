/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "unit.h"

#include "machine.h"

static const struct oob_device_ops *ops_of(const struct oob_context *context, unsigned device) {
    return context->machine->bus.device[device].ops;
}

static void *shadow_of(struct oob_context *context, unsigned device) {
    return context->unit[device].shadow;
}

/* The number of a register within its range, as publications count registers. */
static unsigned in_range(const struct oob_context *context, struct oob_target t) {
    return t.reg - context->machine->bus.range[t.range].base;
}

void oob_unit_init(struct oob_context *context, unsigned device) {
    oob_output_init(&context->unit[device].output);
    if (ops_of(context, device)->init)
        ops_of(context, device)->init(shadow_of(context, device));
}

void oob_unit_free(struct oob_context *context, unsigned device) {
    oob_output_reset(&context->unit[device].output, &context->machine->spares);
}

void oob_unit_restart(struct oob_context *context, unsigned device) {
    if (ops_of(context, device)->restart)
        ops_of(context, device)->restart(shadow_of(context, device));
}

void oob_unit_recall(struct oob_context *context, unsigned device, const void *remembered) {
    if (ops_of(context, device)->recall)
        ops_of(context, device)->recall(shadow_of(context, device), remembered);
}

bool oob_unit_awaits(const struct oob_context *context, struct oob_target t) {
    const struct oob_device_ops *ops = ops_of(context, t.device);

    return ops->awaits && ops->awaits(context->unit[t.device].shadow, t.reg);
}

bool oob_unit_write(struct oob_context *context, struct oob_target t, uint8_t value) {
    const struct oob_device_ops *ops = ops_of(context, t.device);

    return ops->write && ops->write(shadow_of(context, t.device), t.reg, value);
}

void oob_unit_written(struct oob_context *context, struct oob_target t, bool awaited, bool sent) {
    const struct oob_device_ops *ops = ops_of(context, t.device);

    if (ops->written)
        ops->written(shadow_of(context, t.device), t.reg, awaited, sent, context->accesses);
}

bool oob_unit_is_output(const struct oob_context *context, struct oob_target t) {
    return ops_of(context, t.device)->write && ops_of(context, t.device)->output_reg == t.reg;
}

enum oob_told oob_unit_read(struct oob_context *context, struct oob_target t, bool alone, uint8_t *value) {
    const struct oob_device_ops *ops = ops_of(context, t.device);

    if (ops->read)
        return ops->read(shadow_of(context, t.device), t.reg, value);
    if (alone)
        return OOB_TOLD_UNKNOWN;
    return oob_publication_read(&context->published[t.range], context->accesses, in_range(context, t), value);
}

uint8_t oob_unit_idle_read(struct oob_context *context, struct oob_target t) {
    const struct oob_device_ops *ops = ops_of(context, t.device);

    return ops->idle_read ? ops->idle_read(shadow_of(context, t.device), t.reg) : 0xff;
}

enum oob_look oob_unit_saw(struct oob_context *context, struct oob_target t, uint8_t value, bool asked) {
    const struct oob_device_ops *ops = ops_of(context, t.device);

    return ops->saw ? ops->saw(shadow_of(context, t.device), t.reg, value, asked) : OOB_LOOK_DONE;
}

void oob_unit_was_told(struct oob_context *context, struct oob_target t, bool told) {
    const struct oob_device_ops *ops = ops_of(context, t.device);

    if (ops->was_told)
        ops->was_told(shadow_of(context, t.device), t.reg, context->accesses + !told);
}

bool oob_unit_owes(struct oob_context *context, unsigned device, struct oob_write *read) {
    const struct oob_device_ops *ops = ops_of(context, device);

    return ops->owes && ops->owes(shadow_of(context, device), read);
}

bool oob_unit_is_drained(const struct oob_context *context, unsigned device) {
    const struct oob_device_ops *ops = ops_of(context, device);

    return !ops->is_drained || ops->is_drained(context->unit[device].shadow);
}

uint32_t oob_unit_number(const struct oob_context *context, unsigned device) {
    const struct oob_device_ops *ops = ops_of(context, device);

    return ops->number ? ops->number(context->unit[device].shadow) : 0;
}

bool oob_unit_publish(struct oob_context *context, struct oob_target t, const struct oob_publish *publish) {
    const struct oob_device_ops *ops = ops_of(context, t.device);

    if (ops->publish)
        return ops->publish(shadow_of(context, t.device), publish);
    oob_publication_take(&context->published[t.range], publish);
    return false;
}

void oob_unit_outdate(struct oob_context *context, unsigned device, uint32_t accesses) {
    const struct oob_bus *bus = &context->machine->bus;

    for (unsigned i = 0; i < bus->ranges; i++)
        if (bus->range[i].device == device)
            context->published[i].valid = 0;
    if (ops_of(context, device)->outdate)
        ops_of(context, device)->outdate(shadow_of(context, device), accesses);
}

int oob_unit_level(const struct oob_context *context, unsigned device, unsigned line, bool alone) {
    const struct oob_device_ops *ops = ops_of(context, device);

    if (ops->level)
        return ops->level(context->unit[device].shadow, line, alone);
    return alone ? 0 : -1;
}

bool oob_unit_can_wait(const struct oob_context *context, unsigned device, unsigned line) {
    const struct oob_device_ops *ops = ops_of(context, device);

    return ops->can_wait && ops->can_wait(context->unit[device].shadow, line);
}

size_t oob_unit_replay(const struct oob_context *context, unsigned device, struct oob_write writes[OOB_REPLAY_MAX]) {
    const struct oob_device_ops *ops = ops_of(context, device);

    return ops->replay ? ops->replay(context->unit[device].shadow, writes) : 0;
}

size_t oob_unit_around_output(const struct oob_context *context, unsigned device, bool behind,
                              struct oob_write writes[OOB_REPLAY_MAX]) {
    const struct oob_device_ops *ops = ops_of(context, device);

    return ops->around_output ? ops->around_output(context->unit[device].shadow, behind, writes) : 0;
}

size_t oob_unit_reads(struct oob_context *context, unsigned device, struct oob_write reads[OOB_REPLAY_MAX]) {
    const struct oob_device_ops *ops = ops_of(context, device);

    return ops->reads ? ops->reads(shadow_of(context, device), reads) : 0;
}

uint16_t oob_unit_output_port(const struct oob_context *context, unsigned device) {
    return oob_bus_port(&context->machine->bus, device, ops_of(context, device)->output_reg);
}
