/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "frame.h"

/* The shortest frame of a type, in bytes. All types but PUBLISH have this length always. 0 when a server may not
 * send that type. */
static size_t shortest_length(uint8_t type) {
    switch (type) {
    case OOB_WELCOME: return sizeof(struct oob_welcome);
    case OOB_ANSWER: return sizeof(struct oob_answer);
    case OOB_IRQ: return sizeof(struct oob_irq);
    case OOB_ATTENTION: return sizeof(struct oob_attention);
    case OOB_PUBLISH: return offsetof(struct oob_publish, image) + sizeof(struct oob_image);
    case OOB_RESUME: return sizeof(struct oob_resume);
    case OOB_READY: return sizeof(struct oob_header);
    default: return 0;
    }
}

static bool is_length(const struct oob_header *h) {
    if (h->type != OOB_PUBLISH)
        return h->length == shortest_length(h->type);
    return h->length >= shortest_length(h->type) && h->length <= sizeof(struct oob_publish) &&
           (h->length - offsetof(struct oob_publish, image)) % sizeof(struct oob_image) == 0;
}

static bool is_range(const struct oob_port_range *range) {
    return range->length && range->first + range->length <= 0x10000 && range->widths && range->widths < 8;
}

static bool is_nothing(const struct oob_port_range *range) {
    return !(range->first | range->length | range->lines | range->widths | range->posted);
}

static const char *check_ranges(const struct oob_welcome *w) {
    if (w->ranges > OOB_RANGES_MAX)
        return "WELCOME with too many ranges";
    for (unsigned i = 0; i < OOB_RANGES_MAX; i++)
        if (i < w->ranges ? !is_range(&w->range[i]) : !is_nothing(&w->range[i]))
            return "WELCOME with a range that cannot be";
    return NULL;
}

static const char *check_welcome(const struct oob_welcome *w) {
    if (w->magic != OOB_MAGIC)
        return "WELCOME without the magic number: this is no oobconsole server";
    if (w->version != OOB_VERSION)
        return "the server speaks another version of the protocol";
    return w->reserved ? "WELCOME with reserved bits" : check_ranges(w);
}

static const char *check_irq(const struct oob_irq *irq) {
    if (irq->line > 15 || irq->mode > OOB_IRQ_PULSE)
        return "IRQ of no such line or mode";
    return irq->reserved ? "IRQ with reserved bits" : NULL;
}

static const char *check_publish(const struct oob_publish *publish) {
    size_t images = (publish->h.length - offsetof(struct oob_publish, image)) / sizeof(struct oob_image);

    if (publish->count != images)
        return "PUBLISH that has not as many images as it says";
    return publish->reserved ? "PUBLISH with reserved bits" : NULL;
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
    case OOB_PUBLISH: return check_publish(&f->publish);
    case OOB_RESUME: return f->resume.reserved || f->resume.reserved2 ? "RESUME with reserved bits" : NULL;
    default: return NULL;
    }
}

int oob_frame_parse(const uint8_t *data, size_t len, union oob_frame *frame, const char **why) {
    struct oob_header h;

    if (len < sizeof h)
        return 0;
    memcpy(&h, data, sizeof h);
    if (!shortest_length(h.type)) {
        *why = "a frame type that a server does not send";
        return -1;
    }
    if (!is_length(&h) || h.flags) {
        *why = "a frame of the wrong length or with flags";
        return -1;
    }
    if (len < h.length)
        return 0;
    memcpy(frame, data, h.length);
    *why = check_fields(frame);
    return *why ? -1 : h.length;
}

uint16_t oob_frame_version(const uint8_t *data, size_t len) {
    struct oob_welcome w;

    if (len < offsetof(struct oob_welcome, ranges))
        return 0;
    memcpy(&w, data, offsetof(struct oob_welcome, ranges));
    return w.h.type == OOB_WELCOME && w.magic == OOB_MAGIC ? w.version : 0;
}
