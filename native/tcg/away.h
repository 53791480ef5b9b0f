/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the native half itself knows of a guest's UART: the registers as last written, to hand them to
 * a server that has just started, and an idle 16550 that stands in while there is no server. Pure.
 */
#ifndef OOB_AWAY_H
#define OOB_AWAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { OOB_KEEP_MAX = 65536, OOB_REPLAY_MAX = 10 };

enum uart_reg { UART_THR, UART_IER, UART_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };

enum {
    UART_IER_THRI = 0x02,
    UART_LCR_DLAB = 0x80,
    UART_MCR_OUT2 = 0x08,
    UART_MCR_LOOP = 0x10,
};

struct oob_uart {
    uint8_t dll, dlm, ier, fcr, lcr, mcr, scr;
    bool thre_pending;
    uint8_t *kept; /* ring of OOB_KEEP_MAX bytes, allocated when first needed */
    size_t kept_at, kept_len;
    uint64_t lost;
};

/* Follows a write, whoever serves it. True when it puts a byte on the line. */
bool oob_uart_observe(struct oob_uart *uart, unsigned reg, uint8_t value);

/* Serves the guest alone. `keep` takes what observe() said goes on the line. */
uint8_t oob_uart_idle_read(struct oob_uart *uart, unsigned reg);
bool oob_uart_keep(struct oob_uart *uart, uint8_t value); /* false: a byte was lost for it */
bool oob_uart_idle_irq(const struct oob_uart *uart);

/* The writes that bring a fresh 16550 to the guest's last known registers. Returns how many. */
struct oob_uart_write {
    uint8_t reg, value;
};
size_t oob_uart_replay(const struct oob_uart *uart, struct oob_uart_write writes[OOB_REPLAY_MAX]);

/* Takes up to `max` of the oldest kept bytes. */
size_t oob_uart_take_kept(struct oob_uart *uart, uint8_t *data, size_t max);
void oob_uart_reset(struct oob_uart *uart);

#endif
