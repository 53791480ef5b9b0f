/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "uart_shadow.h"

uint8_t oob_uart_modem_inputs(const struct oob_uart *uart, uint8_t inputs) {
    uint8_t mcr = uart->mcr;

    if (!(mcr & UART_MCR_LOOP))
        return inputs;
    return (uint8_t)((mcr & 0x0c) << 4 | (mcr & 0x01) << 5 | (mcr & 0x02) << 3);
}

bool oob_uart_is_looped(const struct oob_uart *uart, unsigned reg) {
    return reg == UART_THR && (uart->mcr & UART_MCR_LOOP) && !(uart->lcr & UART_LCR_DLAB);
}

bool oob_uart_thre(const struct oob_uart *uart) {
    return (uart->ier & UART_IER_THRI) && uart->thre_pending;
}

uint8_t oob_uart_register(const struct oob_uart *uart, unsigned reg) {
    bool dlab = uart->lcr & UART_LCR_DLAB;

    switch (reg) {
    case UART_THR: return uart->dll;
    case UART_IER: return dlab ? uart->dlm : uart->ier;
    case UART_LCR: return uart->lcr;
    case UART_MCR: return uart->mcr;
    default: return uart->scr;
    }
}

void oob_uart_copy_registers(struct oob_uart *to, const struct oob_uart *from) {
    to->dll = from->dll;
    to->dlm = from->dlm;
    to->ier = from->ier;
    to->fcr = from->fcr;
    to->lcr = from->lcr;
    to->mcr = from->mcr;
    to->scr = from->scr;
    to->thre_pending = from->thre_pending;
}

size_t oob_uart_replay(const struct oob_uart *uart, struct oob_write writes[OOB_REPLAY_MAX]) {
    size_t n = 0;

    writes[n++] = (struct oob_write){UART_LCR, uart->lcr | UART_LCR_DLAB};
    writes[n++] = (struct oob_write){UART_THR, uart->dll};
    writes[n++] = (struct oob_write){UART_IER, uart->dlm};
    writes[n++] = (struct oob_write){UART_LCR, uart->lcr & (uint8_t)~UART_LCR_DLAB};
    writes[n++] = (struct oob_write){UART_FCR, uart->fcr};
    writes[n++] = (struct oob_write){UART_MCR, uart->mcr};
    writes[n++] = (struct oob_write){UART_SCR, uart->scr};
    if (oob_uart_thre(uart)) /* enabling its interrupt again is what makes it pending there, too */
        writes[n++] = (struct oob_write){UART_IER, uart->ier & (uint8_t)~UART_IER_THRI};
    writes[n++] = (struct oob_write){UART_IER, uart->ier};
    writes[n++] = (struct oob_write){UART_LCR, uart->lcr};
    return n;
}

/* Output is sent again at a time at which the guest may have set DLAB or loopback. A byte for THR would then go into
 * the divisor or into the receiver. So both are switched off before the output, and set as the guest has them behind
 * it. */
size_t oob_uart_around_output(const struct oob_uart *uart, bool behind, struct oob_write writes[OOB_REPLAY_MAX]) {
    uint8_t lcr = uart->lcr & (uint8_t)~UART_LCR_DLAB, mcr = uart->mcr & (uint8_t)~UART_MCR_LOOP;

    if (lcr == uart->lcr && mcr == uart->mcr)
        return 0;
    writes[0] = (struct oob_write){UART_LCR, behind ? uart->lcr : lcr};
    writes[1] = (struct oob_write){UART_MCR, behind ? uart->mcr : mcr};
    return 2;
}
