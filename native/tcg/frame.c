/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frame.h"

#include <string.h>

static size_t expected_length(uint8_t type) {
    switch (type) {
    case OOB_WELCOME: return sizeof(struct oob_welcome);
    case OOB_ANSWER: return sizeof(struct oob_answer);
    case OOB_IRQ: return sizeof(struct oob_irq);
    case OOB_ATTENTION: return sizeof(struct oob_attention);
    case OOB_PUBLISH: return sizeof(struct oob_publish);
    default: return 0;
    }
}

static const char *check_fields(const union oob_frame *f) {
    switch (f->h.type) {
    case OOB_WELCOME:
        if (f->welcome.magic != OOB_MAGIC)
            return "WELCOME without the magic number: this is no oobconsole server";
        if (f->welcome.version != OOB_VERSION)
            return "the server speaks another version of the protocol";
        return NULL;
    case OOB_IRQ: return f->irq.line > 15 || f->irq.mode > OOB_IRQ_PULSE ? "IRQ of no such line or mode" : NULL;
    case OOB_ATTENTION: return f->attention.attended > 1 ? "ATTENTION neither 0 nor 1" : NULL;
    default: return NULL;
    }
}

int oob_frame_parse(const uint8_t *data, size_t len, union oob_frame *frame, const char **why) {
    struct oob_header h;

    if (len < sizeof h)
        return 0;
    memcpy(&h, data, sizeof h);
    if (!expected_length(h.type)) {
        *why = "a frame type that a server does not send";
        return -1;
    }
    if (h.length != expected_length(h.type) || h.flags) {
        *why = "a frame of the wrong length or with flags";
        return -1;
    }
    if (len < h.length)
        return 0;
    memcpy(frame, data, h.length);
    *why = check_fields(frame);
    return *why ? -1 : h.length;
}
