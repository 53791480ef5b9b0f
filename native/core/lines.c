/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "lines.h"

#include "machine.h"

static void drive_as_said(struct oob_line *line) {
    line->level = line->said;
    line->pulse = line->said_pulse;
}

void oob_lines_said(struct oob_context *context, const struct oob_irq *irq, bool drives) {
    for (unsigned i = 0; i < context->machine->bus.ranges; i++) {
        if (context->machine->bus.range[i].line != irq->line)
            continue;
        context->line[i].said = irq->mode != OOB_IRQ_LOW;
        context->line[i].said_pulse = irq->mode == OOB_IRQ_PULSE;
        if (drives)
            drive_as_said(&context->line[i]);
    }
}

void oob_lines_return(struct oob_context *context) {
    for (unsigned i = 0; i < context->machine->bus.ranges; i++) {
        context->published[i].valid = 0;
        drive_as_said(&context->line[i]);
    }
}

void oob_lines_orphan(struct oob_context *context) {
    for (unsigned i = 0; i < context->machine->bus.ranges; i++) {
        struct oob_line *line = &context->line[i];

        context->published[i].valid = 0;
        /* A byte that was on its way may have been the one whose THRE the guest waits for. */
        if (context->uart[i].ier & UART_IER_THRI)
            context->uart[i].thre_pending = true;
        line->level = oob_uart_idle_irq(&context->uart[i]);
        line->pulse = line->in_service = line->looked = false;
    }
}
