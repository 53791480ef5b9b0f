/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "string_io.h"

#include "cpu.h"
#include "host.h"
#include "ioperm.h"
#include "serve.h"
#include "vcpu.h"
#include "vmcb.h"

/* How is a long REP kept interruptible? A REP prefix may ask for billions of turns, and QEMU looks for interrupts
 * when the low 16 bits of RCX become 0 (do_gen_rep). So RCX is set to a count that is TURNS_MAX turns above such a
 * value. */
enum { TURNS_MAX = 64, INTERRUPTIBLE = 0x10000 };

void oob_string_begin(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port) {
    unsigned address_size = 1u << site.address_log2;
    uint64_t mask = address_size == 8 ? UINT64_MAX : UINT32_MAX, rcx = oob_reg_read(&oob_l1, vcpu, OOB_REG_RCX),
             shown;

    oob_tcg(l2)->string =
        (struct oob_string){.active = true, .out = site.out, .size = (uint8_t)oob_io_size(site), .port = port};
    if (oob_ioperm_asks_tss(&oob_l1, vcpu)) {
        oob_tcg(l2)->string.tss = oob_phys_read_u64(&oob_l1, l2->block + VMCB_TR_BASE);
        oob_tcg(l2)->string.tss_size = oob_phys_read_u32(&oob_l1, l2->block + VMCB_TR_LIMIT);
    }
    if (!site.rep || address_size == 2 || (rcx & mask) <= TURNS_MAX) /* CX alone has no room for such a count */
        return;
    shown = (rcx & ~mask) | (INTERRUPTIBLE + TURNS_MAX);
    oob_tcg(l2)->string.behind = rcx - shown;
    oob_reg_write(&oob_l1, vcpu, OOB_REG_RCX, shown);
}

unsigned oob_string_element(struct oob_l2_vcpu *l2, uint64_t linear, uint32_t *value) {
    const struct oob_string s = oob_tcg(l2)->string; /* a copy: `l2` may have ended when the access is served */

    if (!s.active || linear - s.tss < s.tss_size)
        return 0;
    if (s.out) {
        oob_serve_write(l2->context, l2->index, s.port, s.size, *value);
        return 0;
    }
    *value = oob_serve_read(l2->context, l2->index, s.port, s.size);
    return s.size;
}

void oob_string_end(unsigned vcpu, const struct oob_l2_vcpu *l2) {
    if (oob_tcg(l2)->string.behind)
        oob_reg_write(&oob_l1, vcpu, OOB_REG_RCX,
                      oob_reg_read(&oob_l1, vcpu, OOB_REG_RCX) + oob_tcg(l2)->string.behind);
}
