/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "output.h"

void oob_output_init(struct oob_output *output) {
    *output = (struct oob_output){.received = OOB_UNKNOWN};
}

void oob_output_reset(struct oob_output *output, struct oob_spares *spares) {
    oob_spares_give(spares, output->kept);
    oob_output_init(output);
}

bool oob_output_print(struct oob_output *output, struct oob_spares *spares, uint8_t value) {
    if (!output->kept)
        output->kept = oob_spares_take(spares);
    output->printed++;
    if (!output->kept)
        return false;
    output->kept[(output->printed - 1) % OOB_KEEP_MAX] = value;
    if (output->kept_len < OOB_KEEP_MAX) {
        output->kept_len++;
        return true;
    }
    return output->printed - output->kept_len <=
           output->served; /* the oldest byte went, because the newest ones tell what went wrong */
}

void oob_output_acknowledge(struct oob_output *output, uint64_t outstanding) {
    uint64_t served = outstanding < output->sent ? output->sent - outstanding : 0;

    if (served > output->served)
        output->served = served;
}

void oob_output_hold(struct oob_output *output) {
    output->received = output->sent - output->server_base;
}

uint64_t oob_output_resume(struct oob_output *output, uint64_t *lost) {
    uint64_t oldest = output->printed - output->kept_len, from = output->served;

    if (output->received != OOB_UNKNOWN)
        from = output->server_base + output->received;
    if (from > output->printed)
        from = output->printed;
    *lost = oldest > from ? oldest - from : 0;
    if (output->received == OOB_UNKNOWN) {
        output->server_base = oldest - *lost;
        from = oldest; /* a new server gets all that is kept */
    }
    if (output->served < oldest)
        output->served = oldest;
    return from > oldest ? from : oldest;
}

size_t oob_output_read(const struct oob_output *output, uint64_t offset, uint8_t *data, size_t max) {
    size_t n = 0;

    while (n < max && offset < output->printed)
        data[n++] = output->kept[offset++ % OOB_KEEP_MAX];
    return n;
}

uint64_t oob_output_unserved(const struct oob_output *output) {
    uint64_t left = output->printed - output->served;

    return left < output->kept_len ? left : output->kept_len;
}
