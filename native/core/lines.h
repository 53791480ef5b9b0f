/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt lines into an L2: who drives them, and which interrupt is due. Two devices on one line are one line:
 * it is high while either drives it, and it interrupts once. Call with the machine's lock held.
 */
#ifndef OOB_LINES_H
#define OOB_LINES_H

#include "context.h"

/* A guest that does not look after an interrupt gets the next one after this long, in ns. */
#define OOB_REPEAT_NS 10000000ull

/* How long after the last one an interrupt that can wait is not worth an exit, in ns. */
#define OOB_WAIT_NS 1000000ull

/* Is it high? */
bool oob_line_level(const struct oob_line *line);

/* The server drives a line, where it alone knows the level. */
void oob_lines_said(struct oob_context *context, const struct oob_irq *irq);
/* The shadow of a device has changed: it drives the device's lines, unless only the server knows their level. */
void oob_lines_drive(struct oob_context *context, unsigned device);
/* The handler of a device's interrupt was at work. */
void oob_lines_looked(struct oob_context *context, unsigned device, enum oob_look look);
/* The server went away, or is late: what stands in for the devices drives the lines now. */
void oob_lines_orphan(struct oob_context *context);
/* The server, which was late or away, drives the lines again. */
void oob_lines_return(struct oob_context *context);

/* The line whose interrupt is due on this vCPU, and where it goes; or -1. `priority`: the guest's task priority, by
 * sixteens of vectors, at and below which an IOAPIC's interrupts wait; -1: none waits. */
int oob_lines_due(const struct oob_l2_vcpu *l2, int priority, struct oob_route *route);
/* Is one due on this vCPU that is worth an exit of its own? What can wait is, once in OOB_WAIT_NS; between, the next
 * exit that the guest makes anyway brings it. */
bool oob_lines_urgent(const struct oob_l2_vcpu *l2, int priority);
/* Could one be due on any vCPU? Quicker than to find out. */
bool oob_lines_high(const struct oob_context *context);
/* An interrupt is on its way into the vCPU; it came there; or it is to be tried again. */
void oob_lines_arm(struct oob_l2_vcpu *l2, unsigned line);
void oob_lines_delivered(struct oob_l2_vcpu *l2);
void oob_lines_disarm(struct oob_l2_vcpu *l2);

#endif
