/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the native half itself knows of a guest's UART: the registers as last written, to hand them to
 * a server that has just started, and an idle 16550 that stands in while there is no server. Pure.
 */
#ifndef OOB_UART_SHADOW_H
#define OOB_UART_SHADOW_H

#include "types.h"

#include "oob_wire.h"
#include "spares.h"

enum { OOB_KEEP_MAX = OOB_SPARE_BYTES, OOB_REPLAY_MAX = 10 };

enum uart_reg { UART_THR, UART_IER, UART_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };

enum {
    UART_IER_THRI = 0x02,
    UART_LCR_DLAB = 0x80,
    UART_MCR_OUT2 = 0x08,
    UART_MCR_LOOP = 0x10,
    UART_IIR_NONE = 0x01,
    UART_IIR_THRE = 0x02,
    UART_LSR_IDLE = 0x60, /* THRE and TEMT */
    UART_LSR_DR = 0x01,
    UART_LSR_ERRORS = 0x1e, /* OE, PE, FE, BI: reading LSR ends them */
};

struct oob_uart {
    uint8_t dll, dlm, ier, fcr, lcr, mcr, scr;
    bool thre_pending;
    uint8_t
        *kept; /* the last OOB_KEEP_MAX bytes put on the line, by offset; taken from the spares when first needed */
    size_t kept_len;      /* how many of them there are */
    uint64_t printed;     /* bytes put on the line since the context began: the offset of the next one */
    uint64_t sent;        /* up to this offset, they are on their way, or were told as lost, on this connection */
    uint64_t served;      /* up to this offset, a server has said that it has them, or they were told as lost */
    uint64_t server_base; /* the offset at which the present server's own count began */
    uint64_t received; /* that count, as it said when we connected, or as it will be when it has served all that was
                        * sent; OOB_UNKNOWN: it knows nothing of them */
    bool input_known;  /* input_next is a number of the present server's */
    uint8_t input_len;
    uint8_t
        input[OOB_INPUT_MAX]; /* what the guest will read from RBR: the server has told us before it told the guest */
    uint32_t input_next;      /* the number of the first of these, or of the one that comes next */
    uint8_t owed;             /* errors that LSR has told of, and that the guest has not seen */
    uint32_t owed_at;         /* the number of the character that was the first one then */
};

#define OOB_UNKNOWN UINT64_MAX

/* Follows a write, whoever serves it. True when it puts a byte on the line. */
bool oob_uart_observe(struct oob_uart *uart, unsigned reg, uint8_t value);

/* Is the interrupt of an empty THR enabled, and pending? */
bool oob_uart_thre(const struct oob_uart *uart);

/* Serves the guest alone. */
uint8_t oob_uart_idle_read(struct oob_uart *uart, unsigned reg);
bool oob_uart_idle_irq(const struct oob_uart *uart);

/* Remembers a byte that observe() said goes on the line. False when one that no server has was given up for it. */
bool oob_uart_print(struct oob_uart *uart, struct oob_spares *spares, uint8_t value);
/* The server has served all but the last `outstanding` bytes. */
void oob_uart_acknowledge(struct oob_uart *uart, uint64_t outstanding);
/* Where a server that has just connected, and has said what it `received`, is to go on; `lost`: how many bytes before
 * that are gone for good. */
uint64_t oob_uart_resume(struct oob_uart *uart, uint64_t *lost);
/* Up to `max` bytes from `offset` on. */
size_t oob_uart_output(const struct oob_uart *uart, uint64_t offset, uint8_t *data, size_t max);

/* What is in the server's receiver. What the guest has taken meanwhile is not there any more. */
void oob_uart_input(struct oob_uart *uart, uint32_t number, const uint8_t *data, size_t len);
/* The guest reads RBR. False when nothing is there for it. */
bool oob_uart_take(struct oob_uart *uart, uint8_t *value);

/* The server's LSR was read, and the guest did not get the answer: errors are the guest's to see all the same. */
void oob_uart_owe(struct oob_uart *uart, uint8_t lsr);
/* What the guest reads from LSR, of which the server says `lsr` now. */
uint8_t oob_uart_lsr(struct oob_uart *uart, uint8_t lsr);

/* As after a reset of the guest; what it has printed stays. */
void oob_uart_restart(struct oob_uart *uart);
/* Its registers, without the output. */
struct oob_uart oob_uart_registers(const struct oob_uart *uart);

/* The writes that bring a fresh 16550 to the guest's last known registers. Returns how many. */
struct oob_uart_write {
    uint8_t reg, value;
};
size_t oob_uart_replay(const struct oob_uart *uart, struct oob_uart_write writes[OOB_REPLAY_MAX]);

/* As it begins. */
void oob_uart_init(struct oob_uart *uart);
/* As it begins, and what it has kept is given back. */
void oob_uart_reset(struct oob_uart *uart, struct oob_spares *spares);

#endif
