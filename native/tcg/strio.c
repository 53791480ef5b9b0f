/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "strio.h"

#include "cpu.h"
#include "segment.h"
#include "serve.h"
#include "walk.h"

/* How many elements go before interrupts get their chance again: a REP prefix may ask for billions. */
enum { ELEMENTS_MAX = 64 };

#define EFLAGS_DF (1u << 10)

struct string_io {
    struct oob_l2_vcpu *l2;
    struct oob_paging paging;
    struct oob_segment segment;
    uint64_t mask;   /* of addresses and counts, by address size */
    uint64_t linear; /* ... and of what they make with the segment's base */
    uint16_t port;
    unsigned size;
    bool out;
};

static uint64_t address_mask(unsigned address_size) {
    return address_size == 8 ? UINT64_MAX : (1ull << (8 * address_size)) - 1;
}

/* Writing 32 bits of a register clears its upper half, writing 16 leaves the rest (AMD APM vol. 1, 3.1.2). */
static void set_part(unsigned vcpu, enum oob_reg reg, uint64_t mask, uint64_t value) {
    uint64_t kept = mask == 0xffff ? oob_reg_read(vcpu, reg) & ~mask : 0;

    oob_reg_write(vcpu, reg, kept | (value & mask));
}

/* False, and nothing moved, when the element's memory cannot be reached. */
static bool move_element(const struct string_io *s, uint64_t offset) {
    uint64_t linear = (s->segment.base + offset) & s->linear;
    uint32_t value = 0;

    if (offset > s->segment.limit || s->size - 1 > s->segment.limit - offset)
        return false;
    if (s->out ? !oob_l2_read(&s->paging, linear, &value, s->size) : !oob_l2_writable(&s->paging, linear, s->size))
        return false;
    if (s->out) {
        oob_serve_write(s->l2->context, s->l2->index, s->port, s->size, value);
        return true;
    }
    value = oob_serve_read(s->l2->context, s->l2->index, s->port, s->size);
    return oob_l2_write(&s->paging, linear, &value, s->size);
}

static bool prepare(struct string_io *s, unsigned vcpu, union oob_io_site site, enum oob_mode mode) {
    enum { SEGMENT_ES = 0 };
    uint64_t vmcb = s->l2->vmcb, ncr3 = s->l2->context->ncr3;

    s->out = site.out;
    s->mask = address_mask(oob_address_size(site.address, mode));
    s->linear = mode == OOB_MODE_64 ? UINT64_MAX : 0xffffffff;
    s->paging = oob_paging_live(vcpu, ncr3);
    s->paging.user = oob_l2_cpl(vcpu) == 3;
    return oob_l2_segment(vcpu, vmcb, ncr3, site.out ? site.segment : SEGMENT_ES, !site.out, &s->segment);
}

bool oob_string_io(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port, enum oob_mode mode,
                   unsigned size, uint64_t *pc) {
    struct string_io s = {.l2 = l2, .port = port, .size = size};
    enum oob_reg pointer = site.out ? OOB_REG_RSI : OOB_REG_RDI;
    uint64_t at = oob_reg_read(vcpu, pointer), count = 1, done = 0;
    uint64_t step = oob_reg_read(vcpu, OOB_REG_EFLAGS) & EFLAGS_DF ? -(uint64_t)size : size;

    if (!prepare(&s, vcpu, site, mode))
        return false;
    if (site.rep)
        count = oob_reg_read(vcpu, OOB_REG_RCX) & s.mask;
    while (done < count && done < ELEMENTS_MAX && move_element(&s, at & s.mask)) {
        at += step;
        done++;
    }
    if (done) {
        set_part(vcpu, pointer, s.mask, at);
        if (site.rep)
            set_part(vcpu, OOB_REG_RCX, s.mask, count - done);
    }
    *pc = oob_next_rip(site) - (done == count ? 0 : site.length);
    return done || !count;
}
