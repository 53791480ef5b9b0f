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
        return "its WELCOME has more ranges of ports than this version allows";
    for (unsigned i = 0; i < OOB_RANGES_MAX; i++)
        if (i < w->ranges ? !is_range(&w->range[i]) : !is_nothing(&w->range[i]))
            return "its WELCOME has a range without ports or without access widths, or fields of a range that it "
                   "does not count";
    return NULL;
}

static const char *check_welcome(const struct oob_welcome *w) {
    if (w->magic != OOB_MAGIC)
        return "its WELCOME has not the magic number: what listens at the socket is no oobconsole server";
    if (w->version != OOB_VERSION)
        return "its WELCOME names another version of the protocol than this native half speaks";
    return w->reserved ? "its WELCOME has bits set that are reserved" : check_ranges(w);
}

static const char *check_irq(const struct oob_irq *irq) {
    if (irq->line > 15 || irq->mode > OOB_IRQ_PULSE)
        return "an IRQ frame names an interrupt line above 15, or a mode that does not exist";
    return irq->reserved ? "an IRQ frame has bits set that are reserved" : NULL;
}

static const char *check_publish(const struct oob_publish *publish) {
    size_t images = (publish->h.length - offsetof(struct oob_publish, image)) / sizeof(struct oob_image);

    if (publish->count != images)
        return "a PUBLISH frame has another number of images than it says";
    return publish->reserved ? "a PUBLISH frame has bits set that are reserved" : NULL;
}

static const char *check_attention(const struct oob_attention *attention) {
    if (attention->attended > 1)
        return "an ATTENTION frame says neither 0 (nobody is attached) nor 1 (somebody is)";
    return attention->reserved ? "an ATTENTION frame has bits set that are reserved" : NULL;
}

static const char *check_resume(const struct oob_resume *resume) {
    return resume->reserved || resume->reserved2 ? "a RESUME frame has bits set that are reserved" : NULL;
}

/* WELCOME and READY are about the whole machine. All other frames are about one guest, that is, about a context. */
static const char *check_fields(const union oob_frame *f) {
    bool of_all = f->h.type == OOB_WELCOME || f->h.type == OOB_READY;

    if (of_all != !f->h.context)
        return of_all ? "a WELCOME or READY frame names a guest" : "a frame about a guest does not say which guest";
    switch (f->h.type) {
    case OOB_WELCOME: return check_welcome(&f->welcome);
    case OOB_IRQ: return check_irq(&f->irq);
    case OOB_ATTENTION: return check_attention(&f->attention);
    case OOB_PUBLISH: return check_publish(&f->publish);
    case OOB_RESUME: return check_resume(&f->resume);
    default: return NULL;
    }
}

int oob_frame_parse(const uint8_t *data, size_t len, union oob_frame *frame, const char **why) {
    struct oob_header h;

    if (len < sizeof h)
        return 0;
    memcpy(&h, data, sizeof h);
    if (!shortest_length(h.type)) {
        *why = "a frame has a type that no server may send";
        return -1;
    }
    if (!is_length(&h) || h.flags) {
        *why =
            h.flags ? "a frame has flags set, and none are defined" : "a frame has not the length that its type has";
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
