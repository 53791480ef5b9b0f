/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt lines into an L2: who drives them, and which interrupt is due. Two devices on one line are one line:
 * it is high while either drives it, and it interrupts once. Call with the machine's lock held.
 */
#ifndef OOB_LINES_H
#define OOB_LINES_H

#include "context.h"

/* If a guest's handler does not look at the device after an interrupt, the guest is interrupted again after this
 * time, in ns. */
#define OOB_REPEAT_NS 10000000ull

/* How long after the last one an interrupt that can wait is not worth an exit, in ns. */
#define OOB_WAIT_NS 1000000ull

/* Is the line high? */
bool oob_line_level(const struct oob_line *line);

/* The server has said the level of a line. It counts where only the server knows the level. */
void oob_lines_said(struct oob_context *context, const struct oob_irq *irq);
/* The shadow of a device has changed: it drives the device's lines, unless only the server knows their level. */
void oob_lines_drive(struct oob_context *context, unsigned device);
/* The guest has read a register of a device. `look` says what that reveals about its interrupt handler. */
void oob_lines_looked(struct oob_context *context, unsigned device, enum oob_look look);
/* The server went away, or is late: the shadows drive all lines from now on. */
void oob_lines_orphan(struct oob_context *context);
/* The server was late or away and is back: it drives lines again. */
void oob_lines_return(struct oob_context *context);

/* Returns the line whose interrupt is due on this vCPU, and where it goes, or -1 when none is due. `priority` is the
 * guest's task priority, a vector divided by 16: interrupts of an IOAPIC wait that are not above it. -1: none
 * waits. */
int oob_lines_due(const struct oob_l2_vcpu *l2, int priority, struct oob_route *route);
/* Is one due on this vCPU that is worth an exit of its own? What can wait is, once in OOB_WAIT_NS; between, the next
 * exit that the guest makes anyway brings it. */
bool oob_lines_urgent(const struct oob_l2_vcpu *l2, int priority);
/* Could an interrupt be due on any vCPU? This is quicker to answer than oob_lines_due(). */
bool oob_lines_high(const struct oob_context *context);
/* An interrupt was put into the vCPU's block (virt.h); it was delivered to the guest; or it was not, and must be
 * tried again. */
void oob_lines_arm(struct oob_l2_vcpu *l2, unsigned line);
void oob_lines_delivered(struct oob_l2_vcpu *l2);
void oob_lines_disarm(struct oob_l2_vcpu *l2);

#endif
