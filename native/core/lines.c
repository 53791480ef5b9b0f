/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lines.h"

#include "machine.h"
#include "uart_ahead.h"

void oob_lines_drive(struct oob_context *context, unsigned range) {
    struct oob_line *line = &context->line[range];
    int level = oob_uart_irq(&context->uart[range]);

    if (level >= 0)
        line->level = level;
    else if (!oob_link_up(context->machine))
        line->level = oob_uart_idle_irq(&context->uart[range]);
}

/* What the server says may be from before what the guest has done since: the shadow knows better, if it knows. */
void oob_lines_said(struct oob_context *context, const struct oob_irq *irq) {
    for (unsigned i = 0; i < context->machine->bus.ranges; i++) {
        struct oob_line *line = &context->line[i];

        if (context->machine->bus.range[i].line != irq->line)
            continue;
        line->said = irq->mode != OOB_IRQ_LOW;
        if (!oob_link_up(context->machine) || oob_uart_irq(&context->uart[i]) >= 0)
            continue;
        line->level = line->said;
        line->pulse = irq->mode == OOB_IRQ_PULSE;
    }
}

void oob_lines_return(struct oob_context *context) {
    for (unsigned i = 0; i < context->machine->bus.ranges; i++) {
        context->line[i].level = context->line[i].said;
        oob_lines_drive(context, i);
    }
}

void oob_lines_orphan(struct oob_context *context) {
    for (unsigned i = 0; i < context->machine->bus.ranges; i++) {
        struct oob_line *line = &context->line[i];

        line->level = oob_uart_idle_irq(&context->uart[i]);
        line->pulse = line->in_service = line->looked = false;
    }
}
