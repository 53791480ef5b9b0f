/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What core.py asks of core's structures: the rest it calls by itself. */
#include "ioperm.h"
#include "lines.h"
#include "machine.h"
#include "paging.h"
#include "ranges.h"
#include "serve.h"
#include "timer.h"

/* The first port of the range that WELCOME has and we have not; -1: there is none. */
int core_missing(const struct oob_machine *machine, const struct oob_welcome *welcome) {
    const struct oob_port_range *missing = oob_ranges_missing(&machine->bus, welcome);

    return missing ? missing->first : -1;
}

void core_say_ranges(const struct oob_machine *machine, struct oob_hello *hello) {
    oob_ranges_say(&machine->bus, hello);
}

uint32_t core_context(const struct oob_l2_vcpu *l2) {
    return l2->context->number;
}

unsigned core_index(const struct oob_l2_vcpu *l2) {
    return l2->index;
}

uint64_t core_vmcb(const struct oob_l2_vcpu *l2) {
    return l2->block;
}

void core_hide(struct oob_l2_vcpu *l2, uint64_t rip, uint64_t rbx) {
    l2->hidden = (struct oob_hidden){.which = 1 << OOB_REG_RBX, .rip = rip, .reg = {[OOB_REG_RBX] = rbx}};
}

uint64_t core_hidden_rbx(const struct oob_l2_vcpu *l2) {
    return l2->hidden.which ? l2->hidden.reg[OOB_REG_RBX] : 0;
}

void core_set_apic(struct oob_l2_vcpu *l2, uint32_t apic_id, uint8_t logical_id) {
    l2->apic_id = apic_id;
    l2->logical_id = logical_id;
}

void core_attend(struct oob_l2_vcpu *l2, bool attended, uint64_t input_ns, uint64_t access_ns) {
    l2->context->attended = attended;
    l2->context->last_input_ns = input_ns;
    l2->context->last_access_ns = access_ns;
}

unsigned core_live(struct oob_machine *machine) {
    unsigned live = 0;

    for (size_t i = 0; i < OOB_CONTEXTS_MAX; i++)
        live += machine->contexts.context[i].number && !machine->contexts.context[i].departed;
    return live;
}

/* An interrupt of the line: -1, or vector and line. */
int core_due(const struct oob_l2_vcpu *l2, int priority) {
    struct oob_route route;
    int line = oob_lines_high(l2->context) ? oob_lines_due(l2, priority, &route) : -1;

    return line < 0 ? line : line << 8 | route.vector;
}

void core_out(struct oob_l2_vcpu *l2, uint16_t port, uint8_t value) {
    oob_irqchip_out(&l2->context->chip, port, value);
}

void core_mmio(struct oob_l2_vcpu *l2, uint64_t gpa, uint32_t value) {
    oob_irqchip_mmio_write(&l2->context->chip, gpa, value);
}

/* Where a line goes: -1, or bits as in struct oob_route. */
int core_route(const struct oob_l2_vcpu *l2, unsigned line) {
    struct oob_route route;

    if (!oob_irqchip_route(&l2->context->chip, line, &route))
        return -1;
    return route.vector | route.ioapic << 8 | route.logical << 9 | route.destination << 16;
}

/* The server drives the line high. */
void core_raise(struct oob_l2_vcpu *l2, unsigned line) {
    l2->context->line[line].drivers = 1;
}

bool core_level(const struct oob_l2_vcpu *l2, unsigned line) {
    return oob_line_level(&l2->context->line[line]);
}

uint32_t core_read(struct oob_l2_vcpu *l2, uint16_t port, unsigned size) {
    return oob_serve_read(l2->context, l2->index, port, size);
}

void core_write(struct oob_l2_vcpu *l2, uint16_t port, unsigned size, uint32_t value) {
    oob_serve_write(l2->context, l2->index, port, size, value);
}

/* The nested table's levels; with PSE, if it has two. */
void core_nest(struct oob_l2_vcpu *l2, unsigned levels) {
    l2->context->nested = (struct oob_tables){.levels = (uint8_t)levels, .pse = levels == OOB_LEGACY_LEVELS};
}

bool core_linear(const struct oob_l2_vcpu *l2, unsigned vcpu, uint64_t linear, uint8_t *data, size_t len) {
    struct oob_paging paging = oob_paging_live(l2->context, vcpu);

    return oob_paging_read(&paging, linear, data, len);
}

bool core_saved(const struct oob_l2_vcpu *l2, uint64_t linear, uint8_t *data, size_t len) {
    struct oob_paging paging = oob_paging_saved(l2->context, l2->block);

    return oob_paging_read(&paging, linear, data, len);
}

uint64_t core_writable(const struct oob_l2_vcpu *l2, unsigned vcpu, uint64_t linear) {
    struct oob_paging paging = oob_paging_live(l2->context, vcpu);
    uint64_t at;

    return oob_paging_writable(&paging, linear, &at) ? at : UINT64_MAX;
}
