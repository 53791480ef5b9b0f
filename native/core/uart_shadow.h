/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shadow of a 16550 (uart.h): its registers as the guest has written them last, to hand them to a server that has
 * just started. What the guest reads: uart_ahead.h. Pure.
 */
#ifndef OOB_UART_SHADOW_H
#define OOB_UART_SHADOW_H

#include "device.h"

enum uart_reg { UART_THR, UART_IER, UART_FCR, UART_LCR, UART_MCR, UART_LSR, UART_MSR, UART_SCR };

enum {
    UART_IER_RDI = 0x01,
    UART_IER_THRI = 0x02,
    UART_IER_RLSI = 0x04,
    UART_IER_MSI = 0x08,
    UART_FCR_ENABLE = 0x01,
    UART_MSR_CONNECTED = 0xb0, /* CTS, DSR and DCD of a terminal that is there: so it is until the server says else */
    UART_LCR_DLAB = 0x80,
    UART_MCR_OUT2 = 0x08,
    UART_MCR_LOOP = 0x10,
    UART_IIR_NONE = 0x01,
    UART_IIR_THRE = 0x02,
    UART_LSR_IDLE = 0x60, /* THRE and TEMT */
    UART_LSR_DR = 0x01,
    UART_LSR_ERRORS = 0x1e, /* OE, PE, FE, BI: reading LSR ends them */
};

/* What the receiver's interrupt would be, as IIR shows it. */
enum uart_receiver { UART_RX_NOTHING = 0, UART_RX_DATA = 0x04, UART_RX_TIMEOUT = 0x0c, UART_RX_UNKNOWN = 0xff };

/* What the guest reads until it reads RBR, and what the receiver asks for meanwhile. */
struct oob_uart_image {
    uint8_t rbr, lsr, receiver;
};

/* What the server has published (uart_ahead.h). */
struct oob_uart_ahead {
    bool numbered;        /* `number` is one of the present server's */
    bool errors_seen;     /* `errors_of` is of a character whose errors the guest has seen */
    uint8_t count;        /* images that the guest has not read yet; 0: nothing is known of the receiver */
    uint8_t msr, inputs;  /* `inputs`: MSR without loopback */
    uint32_t number;      /* of image[0] */
    uint32_t from;        /* what the server published before it had served so many accesses is out of date */
    uint32_t errors_from; /* what the server published before it had served so many accesses may show errors of the
                             character `errors_of` again, though the guest has seen them */
    uint32_t errors_of;   /* the number of the image with that character */
    uint32_t modem_from; /* what the server published before it had served so many accesses has an MSR from before the
                            guest changed or read it */
    struct oob_uart_image image[OOB_IMAGES_MAX];
};

struct oob_uart {
    uint8_t dll, dlm, ier, fcr, lcr, mcr, scr;
    bool thre_pending;
    uint8_t burst; /* how many bytes the guest has written to THR since it last read from IIR that THR is empty; it is
                      never more than OOB_UART_FIFO */
    bool thre_owed; /* the guest has read from IIR that THR is empty, and the server must still be told that */
    struct oob_uart_ahead ahead;
};

/* Would a byte that the guest writes to THR now become its own input? That is so in loopback. */
bool oob_uart_is_looped(const struct oob_uart *uart, unsigned reg);

/* Is the interrupt of an empty THR enabled, and pending? */
bool oob_uart_thre(const struct oob_uart *uart);
/* What the guest reads from one of the registers that only it changes. */
uint8_t oob_uart_register(const struct oob_uart *uart, unsigned reg);
/* Bits 7 to 4 of MSR, when the far side drives `inputs`. In loopback MSR shows the guest's own outputs instead. */
uint8_t oob_uart_modem_inputs(const struct oob_uart *uart, uint8_t inputs);

/* Takes over the registers of another UART, and nothing else of it. */
void oob_uart_copy_registers(struct oob_uart *to, const struct oob_uart *from);
/* Operations of the shadow: oob_device_ops.replay and oob_device_ops.around_output. */
size_t oob_uart_replay(const struct oob_uart *uart, struct oob_write writes[OOB_REPLAY_MAX]);
size_t oob_uart_around_output(const struct oob_uart *uart, bool behind, struct oob_write writes[OOB_REPLAY_MAX]);

enum { OOB_UART_FIFO = 16 /* characters */ };

#endif
