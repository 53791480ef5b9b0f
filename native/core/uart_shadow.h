/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the native half itself knows of a guest's UART: the registers as last written, to hand them to a server that
 * has just started, and the output that a server may not have. What the guest reads: uart_ahead.h. Pure.
 */
#ifndef OOB_UART_SHADOW_H
#define OOB_UART_SHADOW_H

#include "types.h"

#include "oob_wire.h"
#include "spares.h"

enum { OOB_KEEP_MAX = OOB_SPARE_BYTES, OOB_REPLAY_MAX = 10 };

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
    uint8_t count;        /* images that the guest has not read yet; 0: nothing is known of the receiver */
    uint8_t msr, inputs;  /* `inputs`: MSR without loopback */
    uint32_t number;      /* of image[0] */
    uint32_t from;        /* what the server published before it had served so many accesses is out of date */
    uint32_t errors_from; /* ... shows errors that the guest has seen, of the character of that number */
    uint32_t errors_of;   /* that number */
    uint32_t modem_from;  /* ... shows an MSR that the guest has changed, or read */
    struct oob_uart_image image[OOB_IMAGES_MAX];
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
    bool thre_owed;    /* the guest has read from IIR that THR is empty, and the server is still to be told */
    struct oob_uart_ahead ahead;
};

#define OOB_UNKNOWN UINT64_MAX

/* Follows a write, whoever serves it. True when it puts a byte on the line. */
bool oob_uart_observe(struct oob_uart *uart, unsigned reg, uint8_t value);
/* Would a write to THR, now, be input of the guest's own (loopback)? */
bool oob_uart_is_looped(const struct oob_uart *uart, unsigned reg);

/* Is the interrupt of an empty THR enabled, and pending? */
bool oob_uart_thre(const struct oob_uart *uart);
/* What the guest reads from one of the registers that only it changes. */
uint8_t oob_uart_register(const struct oob_uart *uart, unsigned reg);
/* Bits 7 to 4 of MSR, where `inputs` come from the far side: in loopback, the outputs are there instead. */
uint8_t oob_uart_modem_inputs(const struct oob_uart *uart, uint8_t inputs);

/* Remembers a byte that observe() said goes on the line. False when one that no server has was given up for it. */
bool oob_uart_print(struct oob_uart *uart, struct oob_spares *spares, uint8_t value);
/* The server has served all but the last `outstanding` bytes. */
void oob_uart_acknowledge(struct oob_uart *uart, uint64_t outstanding);
/* Where a server that has just connected, and has said what it `received`, is to go on; `lost`: how many bytes before
 * that are gone for good. */
uint64_t oob_uart_resume(struct oob_uart *uart, uint64_t *lost);
/* Up to `max` bytes from `offset` on. */
size_t oob_uart_output(const struct oob_uart *uart, uint64_t offset, uint8_t *data, size_t max);

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
