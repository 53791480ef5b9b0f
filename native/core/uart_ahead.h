/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest will read from its 16550, ahead: the server publishes what only it knows (what was received, and which
 * interrupt that is), the shadow's registers are known anyway. Both together answer every read that has an answer.
 * Pure.
 *
 * A publication was made when the server had served so many accesses of the guest. The guest may have done more since
 * then: each function that takes `accesses` is told how many are sent, or, of a publication, were served.
 */
#ifndef OOB_UART_AHEAD_H
#define OOB_UART_AHEAD_H

#include "uart_shadow.h"

enum oob_uart_told {
    OOB_UART_UNKNOWN, /* nobody but the server knows what the guest reads */
    OOB_UART_PLAIN,   /* ... and reading it changes nothing */
    OOB_UART_EFFECT,  /* reading it has changed the shadow, and the server is to be told */
};

/* Takes over what the server has published of this UART. */
void oob_uart_publish(struct oob_uart *uart, const struct oob_publish *publish);

/* The guest reads register `reg`. */
enum oob_uart_told oob_uart_read(struct oob_uart *uart, unsigned reg, uint8_t *value);
/* The guest reads what is unknown, and there is nobody to ask: as from an idle UART that still has what it has. */
uint8_t oob_uart_idle_read(struct oob_uart *uart, unsigned reg);

/* The level of the interrupt line: 0 or 1; -1 when it is unknown. */
int oob_uart_irq(const struct oob_uart *uart);
/* ... where unknown means that there is nobody to ask. */
bool oob_uart_idle_irq(const struct oob_uart *uart);

/* Does the UART interrupt because THR is empty, and for nothing else? False when that is unknown. */
bool oob_uart_only_thre(const struct oob_uart *uart);

/* Has the guest seen the errors of the character that it reads next? */
bool oob_uart_saw_errors(const struct oob_uart *uart);

/* The guest has emptied its receiver, by FCR. */
void oob_uart_empty(struct oob_uart *uart);
/* The guest has set another trigger level of its receiver, by FCR. */
void oob_uart_trigger(struct oob_uart *uart);

/* What was published before the server has served `accesses` is of no use any more. */
void oob_uart_ahead_from(struct oob_uart *uart, uint32_t accesses);
/* The guest was reset, or nothing is known for another reason. */
void oob_uart_ahead_reset(struct oob_uart *uart);

#endif
