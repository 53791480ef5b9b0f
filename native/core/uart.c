/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "uart.h"

#include "uart_ahead.h"

enum {
    FCR_RESET_RX = 0x02,
    FCR_RESET_TX = 0x04,
    FCR_KEPT = 0xc9, /* the reset bits clear themselves */
    MSR_TERI = 0x04,
    MSR_RI = 0x40,
};

_Static_assert(sizeof(struct oob_uart) <= sizeof((struct oob_unit *)0)->shadow, "a shadow has room for it");

/* After reset: 9600 baud, as the model has it. */
static const struct oob_uart fresh = {
    .dll = 0x0c,
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

static bool write(void *shadow, unsigned reg, uint8_t value) {
    struct oob_uart *uart = shadow;
    bool dlab = uart->lcr & UART_LCR_DLAB;

    switch (reg) {
    case UART_THR:
        if (dlab) {
            uart->dll = value;
            return false;
        }
        uart->thre_pending = true;
        if (uart->burst < OOB_UART_FIFO)
            uart->burst++;
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

static void init(void *shadow) {
    *(struct oob_uart *)shadow = fresh;
}

static void restart(void *shadow) {
    struct oob_uart *uart = shadow;

    oob_uart_copy_registers(uart, &fresh);
    uart->thre_owed = false;
    uart->burst = 0;
    oob_uart_ahead_reset(uart);
}

static void recall(void *shadow, const void *remembered) {
    *(struct oob_uart *)shadow = fresh;
    oob_uart_copy_registers(shadow, remembered);
}

static bool awaits(const void *shadow, unsigned reg) {
    return oob_uart_is_looped(shadow, reg);
}

/* What the server published before it has served this write does not know of the write. So it is out of date, as far
 * as the write has changed what a publication shows: MCR changes the modem's lines, and FCR changes the receiver. */
static void written(void *shadow, unsigned reg, bool awaited, bool sent, uint32_t accesses) {
    struct oob_uart_ahead *ahead = &((struct oob_uart *)shadow)->ahead;

    if (reg == UART_MCR)
        ahead->modem_from = accesses + !sent;
    if (reg == UART_FCR || awaited)
        ahead->from = sent ? accesses : accesses + OOB_NOTHING_COUNTS;
}

/* Why is the server told later that the guest has read from IIR that THR is empty? A guest that prints reads that for
 * each FIFO that it fills, and then fills the next one. Only the last of these readings matters to the server. */
static enum oob_told read(void *shadow, unsigned reg, uint8_t *value) {
    struct oob_uart *uart = shadow;

    switch (oob_uart_read(uart, reg, value)) {
    case OOB_UART_UNKNOWN: return OOB_TOLD_UNKNOWN;
    case OOB_UART_PLAIN: return OOB_TOLD_PLAIN;
    default: break;
    }
    if (reg != UART_FCR) /* IIR, when read */
        return OOB_TOLD_EFFECT;
    uart->thre_owed = true;
    return OOB_TOLD_LATER;
}

static uint8_t idle_read(void *shadow, unsigned reg) {
    return oob_uart_idle_read(shadow, reg);
}

/* A driver reads IIR until IIR says that nothing is pending. An interrupt before that would find nothing to do. */
static enum oob_look saw(void *shadow, unsigned reg, uint8_t value, bool asked) {
    if (reg != UART_FCR)
        return OOB_LOOK_NONE;
    if ((value & 0xf) == UART_IIR_THRE)
        ((struct oob_uart *)shadow)->burst = 0;
    if (asked && (value & 0xf) == UART_IIR_THRE)
        ((struct oob_uart *)shadow)->thre_pending = false;
    return value & UART_IIR_NONE ? OOB_LOOK_DONE : OOB_LOOK_MORE;
}

/* What the server published before it was told of this reading does not know of it, and is out of date in that part.
 */
static void was_told(void *shadow, unsigned reg, uint32_t accesses) {
    struct oob_uart_ahead *ahead = &((struct oob_uart *)shadow)->ahead;

    if (reg == UART_LSR)
        ahead->errors_from = accesses;
    if (reg == UART_MSR)
        ahead->modem_from = accesses;
}

static bool owes(void *shadow, struct oob_write *what) {
    struct oob_uart *uart = shadow;
    bool owed = uart->thre_owed;

    uart->thre_owed = false; /* a server that is not there learns it when it is back */
    *what = (struct oob_write){UART_FCR, UART_IIR_THRE};
    return owed;
}

static bool is_drained(const void *shadow) {
    return ((const struct oob_uart *)shadow)->ahead.count == 1;
}

static uint32_t number(const void *shadow) {
    return ((const struct oob_uart *)shadow)->ahead.number;
}

static bool publish(void *shadow, const struct oob_publish *news) {
    struct oob_uart *uart = shadow;

    oob_uart_publish(uart, news);
    return uart->ahead.count > 1;
}

static void outdate(void *shadow, uint32_t accesses) {
    oob_uart_ahead_from(shadow, accesses);
}

static int level(const void *shadow, unsigned n, bool alone) {
    int known = oob_uart_irq(shadow);

    (void)n;
    return known < 0 && alone ? oob_uart_idle_irq(shadow) : known;
}

/* May the interrupt wait? It may if THR is empty again, nothing else is pending, and the driver had not filled the
 * FIFO. Such a driver had no more to print, and gathers more while it waits, as it does on a real line, which takes
 * 87 us for each character. A driver that has filled the FIFO has more to print already, and must not wait. */
static bool can_wait(const void *shadow, unsigned n) {
    const struct oob_uart *uart = shadow;

    (void)n;
    return (uart->fcr & UART_FCR_ENABLE) && uart->burst && uart->burst < OOB_UART_FIFO && oob_uart_only_thre(uart);
}

static size_t replay(const void *shadow, struct oob_write writes[OOB_REPLAY_MAX]) {
    return oob_uart_replay(shadow, writes);
}

static size_t around_output(const void *shadow, bool behind, struct oob_write writes[OOB_REPLAY_MAX]) {
    return oob_uart_around_output(shadow, behind, writes);
}

/* What has the guest read while the server was late or away? That THR is empty, how the modem's lines have changed,
 * some characters, and perhaps the errors of the character that is next. */
static size_t reads(void *shadow, struct oob_write what[OOB_REPLAY_MAX]) {
    struct oob_uart *uart = shadow;
    size_t n = 0;

    uart->thre_owed = false;
    if (!uart->thre_pending)
        what[n++] = (struct oob_write){UART_FCR, UART_IIR_THRE};
    what[n++] = (struct oob_write){UART_MSR, ~uart->ahead.msr & 0x0f};
    if (uart->ahead.numbered)
        what[n++] = (struct oob_write){UART_THR, 0};
    if (oob_uart_saw_errors(uart))
        what[n++] = (struct oob_write){UART_LSR, UART_LSR_ERRORS};
    return n;
}

const struct oob_device_ops oob_uart_shadow = {
    .init = init,
    .restart = restart,
    .recall = recall,
    .awaits = awaits,
    .write = write,
    .written = written,
    .read = read,
    .idle_read = idle_read,
    .saw = saw,
    .was_told = was_told,
    .owes = owes,
    .is_drained = is_drained,
    .number = number,
    .publish = publish,
    .outdate = outdate,
    .level = level,
    .can_wait = can_wait,
    .replay = replay,
    .around_output = around_output,
    .reads = reads,
    .output_reg = UART_THR,
};
