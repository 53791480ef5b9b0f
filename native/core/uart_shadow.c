/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "uart_shadow.h"

enum {
    IIR_FIFO = 0xc0,
    FCR_ENABLE = 0x01,
    FCR_CLEAR_RX = 0x02,
    FCR_KEPT = 0xc9,      /* the reset bits clear themselves */
    MSR_CONNECTED = 0xb0, /* CTS, DSR and DCD of a terminal that is there */
};

/* After reset, before anything was printed: 9600 baud, as the model has it. */
static const struct oob_uart fresh = {.dll = 0x0c, .received = OOB_UNKNOWN};

bool oob_uart_observe(struct oob_uart *uart, unsigned reg, uint8_t value) {
    bool dlab = uart->lcr & UART_LCR_DLAB;

    switch (reg) {
    case UART_THR:
        if (dlab) {
            uart->dll = value;
            return false;
        }
        uart->thre_pending = true;
        return !(uart->mcr & UART_MCR_LOOP);
    case UART_IER:
        if (dlab) {
            uart->dlm = value;
        } else {
            if (value & ~uart->ier & UART_IER_THRI)
                uart->thre_pending = true;
            uart->ier = value & 0x0f;
        }
        return false;
    case UART_FCR:
        if ((value & FCR_CLEAR_RX) || ((value ^ uart->fcr) & FCR_ENABLE))
            uart->input_len = 0;
        uart->fcr = value & FCR_KEPT;
        return false;
    case UART_LCR: uart->lcr = value; return false;
    case UART_MCR: uart->mcr = value & 0x1f; return false;
    case UART_SCR: uart->scr = value; return false;
    default: return false;
    }
}

static uint8_t idle_msr(uint8_t mcr) {
    if (!(mcr & UART_MCR_LOOP))
        return MSR_CONNECTED;
    return (uint8_t)((mcr & 0x0c) << 4 | (mcr & 0x01) << 5 | (mcr & 0x02) << 3);
}

bool oob_uart_thre(const struct oob_uart *uart) {
    return (uart->ier & UART_IER_THRI) && uart->thre_pending;
}

uint8_t oob_uart_idle_read(struct oob_uart *uart, unsigned reg) {
    bool dlab = uart->lcr & UART_LCR_DLAB;
    uint8_t fifo = uart->fcr & FCR_ENABLE ? IIR_FIFO : 0;

    switch (reg) {
    case UART_THR: return dlab ? uart->dll : 0;
    case UART_IER: return dlab ? uart->dlm : uart->ier;
    case UART_FCR: /* IIR when read */
        if (!oob_uart_thre(uart))
            return fifo | UART_IIR_NONE;
        uart->thre_pending = false;
        return fifo | UART_IIR_THRE;
    case UART_LCR: return uart->lcr;
    case UART_MCR: return uart->mcr;
    case UART_LSR: return UART_LSR_IDLE;
    case UART_MSR: return idle_msr(uart->mcr);
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

void oob_uart_input(struct oob_uart *uart, uint32_t number, const uint8_t *data, size_t len) {
    uint32_t taken = uart->input_next - number;

    /* The first ones; or the guest has cleared some away; or another server counts: it begins anywhere, and what the
     * guest may have taken without that it knows is not more than a receiver holds. */
    if (!uart->input_known || taken > OOB_INPUT_MAX) {
        uart->input_known = true;
        uart->input_next = number;
        taken = 0;
    }
    uart->input_len = (uint8_t)(taken < len ? len - taken : 0);
    memcpy(uart->input, data + len - uart->input_len, uart->input_len);
}

bool oob_uart_take(struct oob_uart *uart, uint8_t *value) {
    if (!uart->input_len)
        return false;
    *value = uart->input[0];
    memmove(uart->input, uart->input + 1, --uart->input_len);
    uart->input_next++;
    return true;
}

void oob_uart_owe(struct oob_uart *uart, uint8_t lsr) {
    if (!(lsr & UART_LSR_ERRORS))
        return;
    uart->owed |= lsr & UART_LSR_ERRORS;
    uart->owed_at = uart->input_next;
}

uint8_t oob_uart_lsr(struct oob_uart *uart, uint8_t lsr) {
    if (uart->owed && uart->owed_at != uart->input_next)
        uart->owed = 0; /* the character was read, or cleared away, without them */
    if (!(lsr & UART_LSR_DR))
        return lsr;
    lsr |= uart->owed;
    uart->owed = 0;
    return lsr;
}

bool oob_uart_idle_irq(const struct oob_uart *uart) {
    return (uart->mcr & UART_MCR_OUT2) && oob_uart_thre(uart);
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
}

struct oob_uart oob_uart_registers(const struct oob_uart *uart) {
    struct oob_uart registers = fresh;

    copy_registers(&registers, uart);
    return registers;
}
