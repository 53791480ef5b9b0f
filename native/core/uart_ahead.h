/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What will a guest read from its 16550? The server publishes what only it knows: the characters that were received,
 * and which interrupt they cause. The shadow knows the other registers. Both together can answer nearly every read.
 * Pure.
 *
 * The server makes a publication when it has served a certain number of the guest's accesses. The guest may have
 * made more accesses since then. `accesses` is how many were sent or, for a publication, how many were served.
 */
#ifndef OOB_UART_AHEAD_H
#define OOB_UART_AHEAD_H

#include "uart_shadow.h"

enum oob_uart_told {
    OOB_UART_UNKNOWN, /* only the server knows what the guest reads */
    OOB_UART_PLAIN,   /* the value is known, and reading it has no effect */
    OOB_UART_EFFECT,  /* the value is known, reading it has changed the shadow, and the server must be told */
};

/* Takes over what the server has published of this UART. */
void oob_uart_publish(struct oob_uart *uart, const struct oob_publish *publish);

/* The guest reads register `reg`. */
enum oob_uart_told oob_uart_read(struct oob_uart *uart, unsigned reg, uint8_t *value);
/* The guest reads register `reg`, whose value is unknown, while there is no server to ask. Returns the value that an
 * idle UART would give that keeps the characters it has. */
uint8_t oob_uart_idle_read(struct oob_uart *uart, unsigned reg);

/* The level of the interrupt line: 0 or 1, or -1 when only the server knows it. */
int oob_uart_irq(const struct oob_uart *uart);
/* The level of the interrupt line while there is no server to ask. */
bool oob_uart_idle_irq(const struct oob_uart *uart);

/* Does the UART interrupt because THR is empty, and for nothing else? False when that is unknown. */
bool oob_uart_only_thre(const struct oob_uart *uart);

/* Has the guest read from LSR the errors of the character that it reads next? */
bool oob_uart_saw_errors(const struct oob_uart *uart);

/* The guest has emptied its receiver, by FCR. */
void oob_uart_empty(struct oob_uart *uart);
/* The guest has set another trigger level of its receiver, by FCR. */
void oob_uart_trigger(struct oob_uart *uart);

/* Publications that the server made before it had served `accesses` accesses are out of date. */
void oob_uart_ahead_from(struct oob_uart *uart, uint32_t accesses);
/* Forgets what was published: the guest was reset, or nothing is known for another reason. */
void oob_uart_ahead_reset(struct oob_uart *uart);

#endif
