/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The interrupt lines into an L2: who drives them. Call with the machine's lock held. */
#ifndef OOB_LINES_H
#define OOB_LINES_H

#include "context.h"

/* The shadow of a range has changed: it drives the line, unless what its receiver asks for is unknown. */
void oob_lines_drive(struct oob_context *context, unsigned range);
/* The server drives a line, where it alone knows the level. */
void oob_lines_said(struct oob_context *context, const struct oob_irq *irq);
/* The server went away, or is late: the idle UART drives the lines now. */
void oob_lines_orphan(struct oob_context *context);
/* The server, which was late or away, drives the lines again. */
void oob_lines_return(struct oob_context *context);

#endif
