/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "uart_ahead.h"

enum {
    IIR_FIFO = 0xc0,
    IIR_LINE_STATUS = 0x06,
    IIR_MODEM_STATUS = 0x00,
    IIR_PENDING = 0x0f,
    LSR_OVERRUN = 0x02,
    LSR_OF_CHARACTER = 0x1c, /* PE, FE, BI: of the character that is read next */
    LSR_FIFO_ERROR = 0x80,
    MSR_DELTAS = 0x0f,
    STATUS_VALID = 0xbc, /* RBR and IER are in an image also where the divisor is read instead (DLAB); MSR: below */
};

static bool is_older(uint32_t accesses, uint32_t than) {
    return (int32_t)(accesses - than) < 0;
}

static unsigned trigger_level(const struct oob_uart *uart) {
    static const uint8_t level[] = {1, 4, 8, 14};

    return uart->fcr & UART_FCR_ENABLE ? level[uart->fcr >> 6] : 1;
}

/* What does the receiver ask for when it holds so many characters? A timeout, which comes when time passes, is not
 * considered here. */
static uint8_t receiver_by_level(const struct oob_uart *uart, unsigned held) {
    return held && held >= trigger_level(uart) ? UART_RX_DATA : UART_RX_NOTHING;
}

/* What does the receiver ask for, by this image? The image's IIR shows it only if the receiver's interrupt is
 * enabled, and if no error of the line comes before it. */
static uint8_t receiver_of(const struct oob_uart *uart, const struct oob_image *image) {
    uint8_t pending = image->value[UART_FCR] & IIR_PENDING;

    if (!(image->value[UART_LSR] & UART_LSR_DR))
        return UART_RX_NOTHING;
    if (pending == UART_RX_DATA || pending == UART_RX_TIMEOUT)
        return pending;
    if (!(uart->fcr & UART_FCR_ENABLE))
        return UART_RX_DATA;
    if (!(image->value[UART_IER] & UART_IER_RDI) || pending == IIR_LINE_STATUS)
        return UART_RX_UNKNOWN;
    return UART_RX_NOTHING;
}

/* Ends the errors that reading LSR has shown to the guest. */
static void forget_errors(struct oob_uart_ahead *ahead, uint32_t of_character) {
    uint32_t at = of_character - ahead->number;
    bool more = false;

    for (unsigned i = 0; i < ahead->count; i++)
        ahead->image[i].lsr &= (uint8_t)~LSR_OVERRUN;
    if (at >= ahead->count)
        return;
    for (unsigned i = at + 1; i < ahead->count; i++)
        more |= ahead->image[i].lsr & LSR_OF_CHARACTER;
    ahead->image[at].lsr &= (uint8_t) ~(LSR_OF_CHARACTER | (more ? 0 : LSR_FIFO_ERROR));
}

static void copy_images(struct oob_uart *uart, const struct oob_publish *publish, unsigned skip) {
    struct oob_uart_ahead *ahead = &uart->ahead;

    ahead->number = publish->number + skip;
    ahead->count = (uint8_t)(publish->count - skip);
    for (unsigned i = 0; i < ahead->count; i++) {
        const struct oob_image *image = &publish->image[skip + i];

        ahead->image[i] = (struct oob_uart_image){
            .rbr = image->value[UART_THR],
            .lsr = image->value[UART_LSR],
            .receiver = skip + i ? receiver_by_level(uart, ahead->count - 1u - i) : receiver_of(uart, image),
        };
    }
}

/* Takes over the modem's lines as the far side drives them. In loopback the guest's MSR shows its own outputs, so MSR
 * is not valid in the image, but the image has the lines of the far side all the same. Why? When loopback ends, MSR
 * must show those lines, and which of them have changed. */
static void copy_modem(struct oob_uart *uart, const struct oob_publish *publish) {
    struct oob_uart_ahead *ahead = &uart->ahead;
    uint8_t msr = publish->image[0].value[UART_MSR];

    if (is_older(publish->accesses, ahead->modem_from))
        return;
    ahead->inputs = msr & (uint8_t)~MSR_DELTAS;
    ahead->msr = oob_uart_modem_inputs(uart, ahead->inputs) | ((msr | ahead->msr) & MSR_DELTAS);
}

/* Another server numbers its images in its own way. The characters that the server before it has handed over are
 * still the guest's, and come before those of the new server, which publishes again as soon as it is told of the last
 * reading. No server measures the receiver's timeout for the old characters any more. So the receiver asks the guest
 * to look at them now. */
static void keep_of_another(struct oob_uart *uart) {
    struct oob_uart_ahead *ahead = &uart->ahead;

    ahead->numbered = false;
    if (ahead->image[0].receiver == UART_RX_NOTHING)
        ahead->image[0].receiver = UART_RX_TIMEOUT;
}

void oob_uart_publish(struct oob_uart *uart, const struct oob_publish *publish) {
    struct oob_uart_ahead *ahead = &uart->ahead;
    uint32_t skip = ahead->number - publish->number;

    if ((publish->image[0].valid & STATUS_VALID) != STATUS_VALID || is_older(publish->accesses, ahead->from))
        return;
    copy_modem(uart, publish);
    if (!ahead->numbered || skip >= publish->count) {
        if (ahead->count > 1) {
            keep_of_another(uart);
            return;
        }
        skip = 0; /* the first one; or more was emptied, by FCR, than was known here */
    }
    ahead->numbered = true;
    copy_images(uart, publish, skip);
    if (is_older(publish->accesses, ahead->errors_from))
        forget_errors(ahead, ahead->errors_of);
}

/* Bits 3 to 0 of IIR (PC16550D, table 4), when the receiver asks for `receiver`. Returns -1 when IIR is unknown,
 * because it depends on the receiver and nobody knows what the receiver asks for. */
static int pending(const struct oob_uart *uart, uint8_t receiver) {
    const struct oob_uart_ahead *ahead = &uart->ahead;

    if ((uart->ier & UART_IER_RLSI) && ahead->count && (ahead->image[0].lsr & UART_LSR_ERRORS))
        return IIR_LINE_STATUS;
    if ((uart->ier & UART_IER_RDI) && receiver == UART_RX_UNKNOWN)
        return -1;
    if ((uart->ier & UART_IER_RDI) && receiver != UART_RX_NOTHING)
        return receiver;
    if (oob_uart_thre(uart))
        return UART_IIR_THRE;
    if ((uart->ier & UART_IER_MSI) && (ahead->msr & MSR_DELTAS))
        return IIR_MODEM_STATUS;
    return UART_IIR_NONE;
}

/* Bits 3 to 0 of IIR by what was published. Returns -1 when only the server knows them. */
static int known_pending(const struct oob_uart *uart) {
    const struct oob_uart_ahead *ahead = &uart->ahead;

    if (!(uart->ier & 0x0f))
        return UART_IIR_NONE;
    return ahead->count ? pending(uart, ahead->image[0].receiver) : -1;
}

/* Bits 3 to 0 of IIR while there is no server to ask. If nobody knows what the receiver asks for, it is taken to ask
 * for attention. Otherwise the guest might wait for ever for an interrupt of the characters that it has. */
static int idle_pending(const struct oob_uart *uart) {
    const struct oob_uart_ahead *ahead = &uart->ahead;
    uint8_t receiver = ahead->count ? ahead->image[0].receiver : UART_RX_NOTHING;

    return pending(uart, receiver == UART_RX_UNKNOWN ? UART_RX_TIMEOUT : receiver);
}

int oob_uart_irq(const struct oob_uart *uart) {
    int known = known_pending(uart);

    if (!(uart->mcr & UART_MCR_OUT2))
        return 0;
    if (oob_uart_thre(uart))
        return 1; /* whatever else may be pending */
    return known < 0 ? -1 : known != UART_IIR_NONE;
}

bool oob_uart_idle_irq(const struct oob_uart *uart) {
    return (uart->mcr & UART_MCR_OUT2) && idle_pending(uart) != UART_IIR_NONE;
}

bool oob_uart_only_thre(const struct oob_uart *uart) {
    bool modem = (uart->ier & UART_IER_MSI) && (uart->ahead.msr & MSR_DELTAS);

    return (uart->mcr & UART_MCR_OUT2) && known_pending(uart) == UART_IIR_THRE && !modem;
}

static enum oob_uart_told read_iir(struct oob_uart *uart, int is_pending, uint8_t *value) {
    if (is_pending < 0)
        return OOB_UART_UNKNOWN;
    *value = (uint8_t)(is_pending | (uart->fcr & UART_FCR_ENABLE ? IIR_FIFO : 0));
    if (is_pending != UART_IIR_THRE)
        return OOB_UART_PLAIN;
    uart->thre_pending = false;
    return OOB_UART_EFFECT;
}

/* Why is the server never asked for RBR? Reading RBR takes a character away. If the answer came too late, that
 * character would be lost. */
static enum oob_uart_told read_rbr(struct oob_uart_ahead *ahead, uint8_t *value) {
    *value = ahead->count ? ahead->image[0].rbr : 0;
    if (ahead->count < 2)
        return OOB_UART_PLAIN;
    ahead->number++;
    memmove(ahead->image, ahead->image + 1, --ahead->count * sizeof *ahead->image);
    return OOB_UART_EFFECT;
}

static enum oob_uart_told read_lsr(struct oob_uart_ahead *ahead, uint8_t *value) {
    if (!ahead->count)
        return OOB_UART_UNKNOWN;
    *value = ahead->image[0].lsr;
    if (!(*value & UART_LSR_ERRORS))
        return OOB_UART_PLAIN;
    ahead->errors_of = ahead->number;
    ahead->errors_seen = true;
    forget_errors(ahead, ahead->errors_of);
    return OOB_UART_EFFECT;
}

static enum oob_uart_told read_msr(struct oob_uart_ahead *ahead, uint8_t *value) {
    *value = ahead->msr;
    ahead->msr &= (uint8_t)~MSR_DELTAS;
    return *value == ahead->msr ? OOB_UART_PLAIN : OOB_UART_EFFECT;
}

enum oob_uart_told oob_uart_read(struct oob_uart *uart, unsigned reg, uint8_t *value) {
    bool dlab = uart->lcr & UART_LCR_DLAB;

    *value = oob_uart_register(uart, reg);
    switch (reg) {
    case UART_THR: return dlab ? OOB_UART_PLAIN : read_rbr(&uart->ahead, value);
    case UART_FCR: return read_iir(uart, known_pending(uart), value);
    case UART_LSR: return read_lsr(&uart->ahead, value);
    case UART_MSR: return read_msr(&uart->ahead, value);
    default: return OOB_UART_PLAIN;
    }
}

uint8_t oob_uart_idle_read(struct oob_uart *uart, unsigned reg) {
    uint8_t value = 0;

    if (reg != UART_FCR) /* LSR */
        return UART_LSR_IDLE;
    read_iir(uart, idle_pending(uart), &value);
    return value;
}

bool oob_uart_saw_errors(const struct oob_uart *uart) {
    const struct oob_uart_ahead *ahead = &uart->ahead;

    return ahead->numbered && ahead->errors_seen && ahead->errors_of == ahead->number;
}

void oob_uart_empty(struct oob_uart *uart) {
    struct oob_uart_ahead *ahead = &uart->ahead;
    uint8_t overrun = 0; /* which LSR still shows: it is no character's */

    if (ahead->count) {
        ahead->number += ahead->count - 1u;
        overrun = ahead->image[0].lsr & LSR_OVERRUN;
    }
    ahead->count = 1;
    ahead->image[0] = (struct oob_uart_image){.lsr = UART_LSR_IDLE | overrun, .receiver = UART_RX_NOTHING};
}

void oob_uart_trigger(struct oob_uart *uart) {
    struct oob_uart_ahead *ahead = &uart->ahead;

    for (unsigned i = 0; i < ahead->count; i++)
        if (ahead->image[i].receiver != UART_RX_TIMEOUT && ahead->image[i].receiver != UART_RX_UNKNOWN)
            ahead->image[i].receiver = receiver_by_level(uart, ahead->count - 1u - i);
}

void oob_uart_ahead_from(struct oob_uart *uart, uint32_t accesses) {
    uart->ahead.from = uart->ahead.errors_from = uart->ahead.modem_from = accesses;
}

void oob_uart_ahead_reset(struct oob_uart *uart) {
    uart->ahead =
        (struct oob_uart_ahead){.from = uart->ahead.from, .msr = UART_MSR_CONNECTED, .inputs = UART_MSR_CONNECTED};
}
