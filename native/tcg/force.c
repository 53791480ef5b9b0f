/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "force.h"

#include "cpu.h"
#include "inject.h"
#include "segment.h"
#include "vmcb.h"

enum { POST_CODE_PORT = 0x80 };

/* QEMU brings RIP up to date where a block begins, and at some instructions in it; a block lies in one page. */
uint64_t oob_next_rip(unsigned vcpu, union oob_io_site site) {
    uint64_t rip = oob_reg_read(vcpu, OOB_REG_RIP);

    return rip + ((site.offset - rip) & 0xfff) + site.length;
}

/* Has the CPU execute the instruction with a port that every L1 intercepts and with nothing in RAX. L2 gets its own
 * registers back at the VMRUN that follows, when that goes on behind it, or, with `again`, at it; or when it faults.
 */
static void substitute(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, bool again) {
    l2->forced = true;
    l2->forced_rip = oob_next_rip(vcpu, site);
    l2->forced_again_rip = again ? l2->forced_rip - site.length : l2->forced_rip;
    l2->forced_rax = oob_reg_read(vcpu, OOB_REG_RAX);
    l2->forced_rdx = oob_reg_read(vcpu, OOB_REG_RDX);
    oob_reg_write(vcpu, OOB_REG_RDX, (l2->forced_rdx & ~0xffffull) | POST_CODE_PORT);
    oob_reg_write(vcpu, OOB_REG_RAX, l2->forced_rax & ~0xffffffffull);
}

void oob_force_denial(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site) {
    substitute(vcpu, l2, site, true);
}

/* Has the CPU execute a string instruction whose memory it cannot reach, so that it faults. L1's permission map is to
 * let it come that far: where every port is intercepted, L1 would be told of the port first (AMD APM vol.
 * 2, 15.10.2). Code that may not use the other port uses its own. */
void oob_force_fault(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site) {
    uint16_t port = POST_CODE_PORT;

    if (oob_l2_io_allowed(vcpu, l2->vmcb, l2->context->ncr3, POST_CODE_PORT, sizeof(uint32_t)))
        substitute(vcpu, l2, site, true);
    else
        port = (uint16_t)oob_reg_read(vcpu, OOB_REG_RDX);
    l2->iopm_at = (oob_phys_read_u64(l2->vmcb + VMCB_IOPM_BASE) & ~0xfffull) + port / 8;
    l2->iopm = oob_phys_read_u64(l2->iopm_at);
    oob_phys_write_u64(l2->iopm_at, l2->iopm & ~(0xfull << port % 8));
}

/* An interrupt that VMRUN has delivered stays pending as an exception of QEMU's (helper_vmrun, SVM_EVTINJ_TYPE_INTR),
 * until an exit or an exception of L2: to step over an instruction before that would deliver it once more. */
void oob_force_at_vmrun(struct oob_l2_vcpu *l2) {
    uint64_t event = oob_phys_read_u64(l2->vmcb + VMCB_EVENTINJ);

    l2->entered_by_irq = (event & VMCB_EVENTINJ_VALID) && !(event & VMCB_EVENTINJ_TYPE);
}

/* L2 goes on at the next instruction, unless its interrupt needs a VMRUN to be injected at, or we cannot step over
 * this one: then it becomes an exit. */
bool oob_force_exit(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site) {
    bool wanted = l2->entered_by_irq || (site.out && oob_inject_wanted(l2));

    if (!wanted || !oob_l2_io_allowed(vcpu, l2->vmcb, l2->context->ncr3, POST_CODE_PORT, 1u << site.size_log2))
        return false;
    substitute(vcpu, l2, site, false);
    oob_stat[OOB_STAT_FORCED]++;
    return true;
}

void oob_force_restore_map(struct oob_l2_vcpu *l2) {
    if (l2->iopm_at)
        oob_phys_write_u64(l2->iopm_at, l2->iopm);
    l2->iopm_at = 0;
}

void oob_force_restore(unsigned vcpu, struct oob_l2_vcpu *l2) {
    uint64_t rip;

    if (!l2->forced)
        return;
    rip = oob_phys_read_u64(l2->vmcb + VMCB_RIP);
    /* L1 that resumes the guest elsewhere has taken over its registers: they are not ours to mend. */
    if (rip == l2->forced_rip || rip == l2->forced_again_rip) {
        oob_reg_write(vcpu, OOB_REG_RDX, l2->forced_rdx);
        oob_phys_write_u64(l2->vmcb + VMCB_RAX, l2->forced_rax);
    }
    l2->forced = false;
}

void oob_force_faulted(unsigned vcpu, struct oob_l2_vcpu *l2) {
    l2->entered_by_irq = false;
    oob_force_restore_map(l2);
    if (!l2->forced)
        return;
    l2->forced = false;
    oob_reg_write(vcpu, OOB_REG_RDX, l2->forced_rdx);
    oob_reg_write(vcpu, OOB_REG_RAX, l2->forced_rax);
}
