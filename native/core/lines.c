/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lines.h"

#include "machine.h"
#include "platform.h"
#include "unit.h"

/* The bit of oob_line.drivers that says that the server drives the line. The bits below it are the devices'. */
enum { SERVER = 1 << 15 };

_Static_assert(OOB_DEVICES_MAX <= 15, "a bit for each device");

bool oob_line_level(const struct oob_line *line) {
    return line->drivers != 0;
}

/* The level of a device's line `n`: 0 or 1, or -1 when only the server knows it. While there is no server, the shadow
 * decides, so the level is always known. */
static int level_of(const struct oob_context *context, unsigned device, unsigned n) {
    return oob_unit_level(context, device, n, !oob_link_up(context->machine));
}

/* Of which devices on this line does only the server know whether they drive it? Returns a bit for each. */
static uint16_t servers(const struct oob_context *context, unsigned number) {
    const struct oob_bus *bus = &context->machine->bus;
    uint16_t found = 0;

    for (unsigned device = 0; device < bus->devices; device++)
        for (unsigned n = 0; n < bus->device[device].lines; n++)
            if (bus->device[device].line[n] == number && level_of(context, device, n) < 0)
                found |= (uint16_t)(1u << device);
    return found;
}

/* When the server said the level, it may not have known yet what the guest did last. A shadow knows that. So what the
 * server says counts only if there is a device on the line whose shadow does not know the level. */
void oob_lines_said(struct oob_context *context, const struct oob_irq *irq) {
    struct oob_line *line = &context->line[irq->line];
    uint16_t unknown = servers(context, irq->line);

    line->said = irq->mode != OOB_IRQ_LOW;
    if (!oob_link_up(context->machine) || !unknown)
        return;
    line->drivers &= (uint16_t) ~(SERVER | unknown);
    if (line->said)
        line->drivers |= SERVER;
    line->pulse = irq->mode == OOB_IRQ_PULSE;
}

void oob_lines_drive(struct oob_context *context, unsigned device) {
    const struct oob_device *of = &context->machine->bus.device[device];
    uint16_t bit = (uint16_t)(1u << device);

    for (unsigned n = 0; n < of->lines; n++) {
        struct oob_line *line = &context->line[of->line[n]];
        int level = level_of(context, device, n);

        if (level < 0)
            continue;
        line->drivers = level ? line->drivers | bit : line->drivers & (uint16_t)~bit;
        if (!servers(context, of->line[n]))
            line->drivers &= (uint16_t)~SERVER;
    }
}

void oob_lines_looked(struct oob_context *context, unsigned device, enum oob_look look) {
    const struct oob_device *of = &context->machine->bus.device[device];

    for (unsigned n = 0; look != OOB_LOOK_NONE && n < of->lines; n++) {
        struct oob_line *line = &context->line[of->line[n]];

        line->looked = true;
        line->in_service = look == OOB_LOOK_MORE;
        line->since_ns = oob_now_ns();
    }
}

void oob_lines_return(struct oob_context *context) {
    for (unsigned i = 0; i < OOB_ISA_LINES; i++)
        context->line[i].drivers = context->line[i].said ? SERVER : 0;
    for (unsigned device = 0; device < context->machine->bus.devices; device++)
        oob_lines_drive(context, device);
}

void oob_lines_orphan(struct oob_context *context) {
    for (unsigned i = 0; i < OOB_ISA_LINES; i++) {
        struct oob_line *line = &context->line[i];

        line->drivers = 0;
        line->pulse = line->in_service = false;
    }
    for (unsigned device = 0; device < context->machine->bus.devices; device++)
        oob_lines_drive(context, device);
}

bool oob_lines_high(const struct oob_context *context) {
    for (unsigned left = context->machine->bus.lines; left; left &= left - 1)
        if (context->line[__builtin_ctz(left)].drivers)
            return true;
    return false;
}

/* Does an interrupt go to this vCPU? Those of an 8259 go to the first vCPU. Those of an IOAPIC go where the line's
 * entry says (82093AA datasheet, 3.2.4; AMD APM vol. 2, 16.6.1). A logical destination is a set of bits, in the flat
 * model. As long as the guest has not written its LDR, we take the bit that Linux writes there. */
static bool is_destination(const struct oob_l2_vcpu *l2, const struct oob_route *route) {
    enum { BROADCAST = 0xff };
    unsigned logical = l2->logical_id ? l2->logical_id : 1u << (l2->apic_id & 7);

    if (!route->ioapic)
        return l2->index == 0;
    if (route->logical)
        return route->destination & logical;
    return route->destination == BROADCAST || route->destination == l2->apic_id;
}

/* Must an interrupt wait because the guest's task priority is as high as its own? An 8259's interrupt never waits for
 * that (AMD APM vol. 2, 16.6.4). */
static bool is_masked(const struct oob_route *route, int priority) {
    return route->ioapic && route->vector >> 4 <= priority;
}

static bool is_due(const struct oob_context *context, unsigned number, struct oob_route *route) {
    const struct oob_line *line = &context->line[number];

    if (!line->drivers || line->armed || !oob_irqchip_route(&context->chip, number, route))
        return false;
    return !line->in_service || oob_now_ns() - line->since_ns >= OOB_REPEAT_NS;
}

/* Can the interrupt of this device on line `number` wait? It can if that is so for each reason that the device has.
 */
static bool device_can_wait(const struct oob_context *context, unsigned device, unsigned number) {
    const struct oob_device *of = &context->machine->bus.device[device];

    for (unsigned n = 0; n < of->lines; n++)
        if (of->line[n] == number && !oob_unit_can_wait(context, device, n))
            return false;
    return true;
}

/* Can the line's interrupt wait? Only if each device that drives the line can wait. If the server drives the line, we
 * do not know for what, so the interrupt cannot wait. */
static bool can_wait(const struct oob_context *context, unsigned number) {
    const struct oob_line *line = &context->line[number];

    if (line->drivers & SERVER)
        return false;
    for (unsigned device = 0; device < context->machine->bus.devices; device++)
        if ((line->drivers >> device & 1) && !device_can_wait(context, device, number))
            return false;
    return true;
}

/* Is the line's interrupt to wait now? A guest that prints short lines wants an interrupt for each of them. One exit
 * for many such interrupts is enough, so after one was delivered the next ones wait for OOB_WAIT_NS. */
static bool waits(const struct oob_context *context, unsigned number) {
    const struct oob_line *line = &context->line[number];

    return line->waited_ns && oob_now_ns() - line->waited_ns < OOB_WAIT_NS && can_wait(context, number);
}

static int find(const struct oob_l2_vcpu *l2, int priority, bool urgent, struct oob_route *route) {
    for (unsigned left = l2->context->machine->bus.lines; left; left &= left - 1) {
        unsigned number = (unsigned)__builtin_ctz(left);

        if (is_due(l2->context, number, route) && is_destination(l2, route) && !is_masked(route, priority) &&
            !(urgent && waits(l2->context, number)))
            return (int)number;
    }
    return -1;
}

int oob_lines_due(const struct oob_l2_vcpu *l2, int priority, struct oob_route *route) {
    return find(l2, priority, false, route);
}

bool oob_lines_urgent(const struct oob_l2_vcpu *l2, int priority) {
    struct oob_route route;

    return find(l2, priority, true, &route) >= 0;
}

void oob_lines_arm(struct oob_l2_vcpu *l2, unsigned number) {
    l2->context->line[number].looked = false;
    l2->context->line[number].armed = true;
    l2->context->line[number].armed_could_wait = can_wait(l2->context, number);
    l2->armed = true;
    l2->armed_line = (uint8_t)number;
}

void oob_lines_disarm(struct oob_l2_vcpu *l2) {
    l2->armed = l2->context->line[l2->armed_line].armed = false;
}

void oob_lines_delivered(struct oob_l2_vcpu *l2) {
    struct oob_line *line = &l2->context->line[l2->armed_line];

    oob_lines_disarm(l2);
    if (line->armed_could_wait)
        line->waited_ns = oob_now_ns();
    if (line->pulse) {
        line->drivers = 0;
        line->pulse = false;
    }
    if (!line->looked) {
        line->in_service = true;
        line->since_ns = oob_now_ns();
    }
    l2->context->machine->stat[OOB_STAT_INJECTED]++;
}
