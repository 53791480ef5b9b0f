/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "uart_shadow.h"

#include "uart_ahead.h"

enum {
    FCR_RESET_RX = 0x02,
    FCR_RESET_TX = 0x04,
    FCR_KEPT = 0xc9, /* the reset bits clear themselves */
    MSR_TERI = 0x04,
    MSR_RI = 0x40,
};

/* After reset, before anything was printed: 9600 baud, as the model has it. */
static const struct oob_uart fresh = {
    .dll = 0x0c,
    .received = OOB_UNKNOWN,
    .ahead = {.msr = UART_MSR_CONNECTED, .inputs = UART_MSR_CONNECTED},
};

static void write_ier(struct oob_uart *uart, uint8_t value) {
    if ((value ^ uart->ier) & UART_IER_THRI) /* THR is always empty: enabling its interrupt asks for it at once */
        uart->thre_pending = value & UART_IER_THRI;
    uart->ier = value & 0x0f;
}

static void write_fcr(struct oob_uart *uart, uint8_t value) {
    if ((value ^ uart->fcr) & UART_FCR_ENABLE)
        value |= FCR_RESET_RX | FCR_RESET_TX;
    uart->fcr = value & FCR_KEPT;
    if (value & FCR_RESET_TX)
        uart->thre_pending = true;
    if (value & FCR_RESET_RX)
        oob_uart_empty(uart);
    else
        oob_uart_trigger(uart);
}

/* In loopback the modem's outputs are its inputs: MSR tells which of them have changed (PC16550D, 8.6). */
static void write_mcr(struct oob_uart *uart, uint8_t value) {
    struct oob_uart_ahead *ahead = &uart->ahead;
    uint8_t before = ahead->msr & 0xf0, after, changed;

    uart->mcr = value & 0x1f;
    after = oob_uart_modem_inputs(uart, ahead->inputs);
    changed = (uint8_t)((before ^ after) >> 4);
    if (after & MSR_RI)
        changed &= (uint8_t)~MSR_TERI; /* the trailing edge of RI alone counts */
    ahead->msr = after | (ahead->msr & 0x0f) | changed;
}

bool oob_uart_observe(struct oob_uart *uart, unsigned reg, uint8_t value) {
    bool dlab = uart->lcr & UART_LCR_DLAB;

    switch (reg) {
    case UART_THR:
        if (dlab) {
            uart->dll = value;
            return false;
        }
        uart->thre_pending = true;
        uart->thre_owed = false; /* whoever is told of the byte believes that it is pending again, anyway */
        return !(uart->mcr & UART_MCR_LOOP);
    case UART_IER:
        if (dlab)
            uart->dlm = value;
        else
            write_ier(uart, value);
        return false;
    case UART_FCR: write_fcr(uart, value); return false;
    case UART_LCR: uart->lcr = value; return false;
    case UART_MCR: write_mcr(uart, value); return false;
    case UART_SCR: uart->scr = value; return false;
    default: return false;
    }
}

bool oob_uart_is_looped(const struct oob_uart *uart, unsigned reg) {
    return reg == UART_THR && (uart->mcr & UART_MCR_LOOP) && !(uart->lcr & UART_LCR_DLAB);
}

uint8_t oob_uart_modem_inputs(const struct oob_uart *uart, uint8_t inputs) {
    uint8_t mcr = uart->mcr;

    if (!(mcr & UART_MCR_LOOP))
        return inputs;
    return (uint8_t)((mcr & 0x0c) << 4 | (mcr & 0x01) << 5 | (mcr & 0x02) << 3);
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

bool oob_uart_print(struct oob_uart *uart, struct oob_spares *spares, uint8_t value) {
    if (!uart->kept)
        uart->kept = oob_spares_take(spares);
    uart->printed++;
    if (!uart->kept)
        return false;
    uart->kept[(uart->printed - 1) % OOB_KEEP_MAX] = value;
    if (uart->kept_len < OOB_KEEP_MAX) {
        uart->kept_len++;
        return true;
    }
    return uart->printed - uart->kept_len <= uart->served; /* the newest tell what went wrong: the oldest went */
}

void oob_uart_acknowledge(struct oob_uart *uart, uint64_t outstanding) {
    uint64_t served = outstanding < uart->sent ? uart->sent - outstanding : 0;

    if (served > uart->served)
        uart->served = served;
}

uint64_t oob_uart_resume(struct oob_uart *uart, uint64_t *lost) {
    uint64_t oldest = uart->printed - uart->kept_len, from = uart->served;

    if (uart->received != OOB_UNKNOWN)
        from = uart->server_base + uart->received;
    if (from > uart->printed)
        from = uart->printed;
    *lost = oldest > from ? oldest - from : 0;
    if (uart->received == OOB_UNKNOWN) {
        uart->server_base = oldest - *lost;
        from = oldest; /* a new server gets all there is */
    }
    if (uart->served < oldest)
        uart->served = oldest;
    return from > oldest ? from : oldest;
}

size_t oob_uart_output(const struct oob_uart *uart, uint64_t offset, uint8_t *data, size_t max) {
    size_t n = 0;

    while (n < max && offset < uart->printed)
        data[n++] = uart->kept[offset++ % OOB_KEEP_MAX];
    return n;
}

size_t oob_uart_replay(const struct oob_uart *uart, struct oob_uart_write writes[OOB_REPLAY_MAX]) {
    size_t n = 0;

    writes[n++] = (struct oob_uart_write){UART_LCR, uart->lcr | UART_LCR_DLAB};
    writes[n++] = (struct oob_uart_write){UART_THR, uart->dll};
    writes[n++] = (struct oob_uart_write){UART_IER, uart->dlm};
    writes[n++] = (struct oob_uart_write){UART_LCR, uart->lcr & (uint8_t)~UART_LCR_DLAB};
    writes[n++] = (struct oob_uart_write){UART_FCR, uart->fcr};
    writes[n++] = (struct oob_uart_write){UART_MCR, uart->mcr};
    writes[n++] = (struct oob_uart_write){UART_SCR, uart->scr};
    if (oob_uart_thre(uart)) /* enabling its interrupt again is what makes it pending there, too */
        writes[n++] = (struct oob_uart_write){UART_IER, uart->ier & (uint8_t)~UART_IER_THRI};
    writes[n++] = (struct oob_uart_write){UART_IER, uart->ier};
    writes[n++] = (struct oob_uart_write){UART_LCR, uart->lcr};
    return n;
}

void oob_uart_init(struct oob_uart *uart) {
    *uart = fresh;
}

void oob_uart_reset(struct oob_uart *uart, struct oob_spares *spares) {
    oob_spares_give(spares, uart->kept);
    *uart = fresh;
}

static void copy_registers(struct oob_uart *to, const struct oob_uart *from) {
    to->dll = from->dll;
    to->dlm = from->dlm;
    to->ier = from->ier;
    to->fcr = from->fcr;
    to->lcr = from->lcr;
    to->mcr = from->mcr;
    to->scr = from->scr;
    to->thre_pending = from->thre_pending;
}

void oob_uart_restart(struct oob_uart *uart) {
    copy_registers(uart, &fresh);
    uart->thre_owed = false;
    oob_uart_ahead_reset(uart);
}

struct oob_uart oob_uart_registers(const struct oob_uart *uart) {
    struct oob_uart registers = fresh;

    copy_registers(&registers, uart);
    return registers;
}
