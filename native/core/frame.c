/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frame.h"

static size_t expected_length(uint8_t type) {
    switch (type) {
    case OOB_WELCOME: return sizeof(struct oob_welcome);
    case OOB_ANSWER: return sizeof(struct oob_answer);
    case OOB_IRQ: return sizeof(struct oob_irq);
    case OOB_ATTENTION: return sizeof(struct oob_attention);
    case OOB_PUBLISH: return sizeof(struct oob_publish);
    case OOB_RESUME: return sizeof(struct oob_resume);
    case OOB_READY: return sizeof(struct oob_header);
    case OOB_INPUT: return sizeof(struct oob_input);
    default: return 0;
    }
}

static const char *check_welcome(const struct oob_welcome *w) {
    if (w->magic != OOB_MAGIC)
        return "WELCOME without the magic number: this is no oobconsole server";
    if (w->version != OOB_VERSION)
        return "the server speaks another version of the protocol";
    return w->reserved || w->reserved2 ? "WELCOME with reserved bits" : NULL;
}

static const char *check_irq(const struct oob_irq *irq) {
    if (irq->line > 15 || irq->mode > OOB_IRQ_PULSE)
        return "IRQ of no such line or mode";
    return irq->reserved ? "IRQ with reserved bits" : NULL;
}

static const char *check_input(const struct oob_input *input) {
    bool rest = false;

    if (!input->count || input->count > OOB_INPUT_MAX)
        return "INPUT of no characters, or of too many";
    for (unsigned i = input->count; i < OOB_INPUT_MAX; i++)
        rest |= input->data[i];
    return input->reserved || rest ? "INPUT with reserved bits" : NULL;
}

static const char *check_fields(const union oob_frame *f) {
    bool of_all = f->h.type == OOB_WELCOME || f->h.type == OOB_READY;

    if (of_all != !f->h.context)
        return "a frame of context 0 that is about one, or the reverse";
    switch (f->h.type) {
    case OOB_WELCOME: return check_welcome(&f->welcome);
    case OOB_IRQ: return check_irq(&f->irq);
    case OOB_ATTENTION:
        return f->attention.attended > 1 || f->attention.reserved ? "ATTENTION neither 0 nor 1" : NULL;
    case OOB_INPUT: return check_input(&f->input);
    case OOB_RESUME: return f->resume.reserved || f->resume.reserved2 ? "RESUME with reserved bits" : NULL;
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
