/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "force.h"

#include <stddef.h>

#include "cpu.h"
#include "inject.h"
#include "segment.h"
#include "vmcb.h"

/* Every L1 intercepts the one; at the other there is nothing, in L0's machine either. */
enum { POST_CODE_PORT = 0x80, NOTHING_PORT = 0xec };

/* Bits of L1's I/O permission maps that are cleared while accesses of ours are executed: vCPUs may share a map. */
static struct opening {
    uint64_t at; /* physical address; two bytes hold an access's bits */
    uint16_t bits;
    unsigned users;
} openings[OOB_VCPUS_MAX];
static struct opening *opened_by[OOB_VCPUS_MAX];

static uint16_t map_read(uint64_t at) {
    uint16_t bits;

    oob_phys_read(at, &bits, sizeof bits);
    return bits;
}

static void map_write(uint64_t at, uint16_t bits) {
    oob_phys_write(at, &bits, sizeof bits);
}

static struct opening *opening_at(uint64_t at) {
    struct opening *unused = NULL;

    for (size_t i = 0; i < OOB_VCPUS_MAX; i++) {
        if (openings[i].users && openings[i].at == at)
            return &openings[i];
        if (!openings[i].users)
            unused = &openings[i];
    }
    *unused = (struct opening){.at = at}; /* there is one: a vCPU has one at most, and this one has none */
    return unused;
}

/* Where every port is intercepted, L1 would be told of an access before anything else (AMD APM vol. 2, 15.10.2). */
static void open_map(unsigned vcpu, const struct oob_l2_vcpu *l2, uint16_t port) {
    uint16_t wanted = (uint16_t)(0xfu << port % 8), bits;
    struct opening *opening;

    oob_force_close_map(vcpu);
    opening = opening_at((oob_phys_read_u64(l2->vmcb + VMCB_IOPM_BASE) & ~0xfffull) + port / 8);
    opening->users++;
    opened_by[vcpu] = opening;
    oob_mark_passing(vcpu, true);
    bits = map_read(opening->at);
    opening->bits |= bits & wanted;
    if (bits & wanted)
        map_write(opening->at, (uint16_t)(bits & ~wanted));
}

void oob_force_close_map(unsigned vcpu) {
    struct opening *opening = opened_by[vcpu];

    opened_by[vcpu] = NULL;
    if (opening && --opening->users == 0 && opening->bits)
        map_write(opening->at, map_read(opening->at) | opening->bits);
}

/* QEMU brings RIP up to date where a block begins, and at some instructions in it; a block lies in one page. */
uint64_t oob_next_rip(unsigned vcpu, union oob_io_site site) {
    uint64_t rip = oob_reg_read(vcpu, OOB_REG_RIP);

    return rip + ((site.offset - rip) & 0xfff) + site.length;
}

/* Has the CPU execute the instruction with another port and with nothing in RAX. L2 gets its own registers back
 * before its next instruction; or at the VMRUN that follows, when that goes on behind it, or, with `again`, at it; or
 * when it faults. */
static void substitute(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port, bool again) {
    l2->forced = true;
    l2->forced_next = oob_next_rip(vcpu, site);
    l2->forced_at = l2->forced_next - site.length;
    l2->forced_again = again;
    l2->forced_rax = oob_reg_read(vcpu, OOB_REG_RAX);
    l2->forced_rdx = oob_reg_read(vcpu, OOB_REG_RDX);
    oob_reg_write(vcpu, OOB_REG_RDX, (l2->forced_rdx & ~0xffffull) | port);
    oob_reg_write(vcpu, OOB_REG_RAX, l2->forced_rax & ~0xffffffffull);
    oob_mark_passing(vcpu, true);
}

bool oob_force_pass(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, unsigned size) {
    if (!oob_l2_io_allowed(vcpu, l2->vmcb, l2->context->ncr3, NOTHING_PORT, size))
        return false;
    open_map(vcpu, l2, NOTHING_PORT);
    substitute(vcpu, l2, site, NOTHING_PORT, false);
    return true;
}

bool oob_force_exit(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, unsigned size) {
    if (!site.out || !oob_inject_wanted(l2) ||
        !oob_l2_io_allowed(vcpu, l2->vmcb, l2->context->ncr3, POST_CODE_PORT, size))
        return false;
    substitute(vcpu, l2, site, POST_CODE_PORT, false);
    oob_stat[OOB_STAT_FORCED]++;
    return true;
}

void oob_force_denial(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site) {
    substitute(vcpu, l2, site, POST_CODE_PORT, true);
}

/* Code that may not use the other port uses its own. */
void oob_force_fault(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site) {
    uint16_t port = NOTHING_PORT;

    if (oob_l2_io_allowed(vcpu, l2->vmcb, l2->context->ncr3, NOTHING_PORT, sizeof(uint32_t)))
        substitute(vcpu, l2, site, NOTHING_PORT, true);
    else
        port = (uint16_t)oob_reg_read(vcpu, OOB_REG_RDX);
    open_map(vcpu, l2, port);
}

void oob_force_landed(unsigned vcpu, struct oob_l2_vcpu *l2) {
    oob_mark_passing(vcpu, false);
    oob_force_close_map(vcpu);
    if (!l2 || !l2->forced)
        return;
    l2->forced = false;
    oob_reg_write(vcpu, OOB_REG_RDX, l2->forced_rdx);
    oob_reg_write(vcpu, OOB_REG_RAX, l2->forced_rax);
}

/* After #VMEXIT RAX is L1's own, L2's is in the VMCB. */
static void put_into_vmcb(unsigned vcpu, struct oob_l2_vcpu *l2) {
    l2->forced = false;
    oob_reg_write(vcpu, OOB_REG_RDX, l2->forced_rdx);
    oob_phys_write_u64(l2->vmcb + VMCB_RAX, l2->forced_rax);
}

/* A fault's handler in L1 may need the registers; and behind the access an interrupt may have come first. */
void oob_force_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, uint64_t code) {
    bool faulted = code == VMEXIT_NPF || (code >= VMEXIT_EXCEPTION && code <= VMEXIT_EXCEPTION_LAST);
    uint64_t rip;

    if (!l2->forced)
        return;
    rip = oob_phys_read_u64(l2->vmcb + VMCB_RIP);
    if (faulted || (rip != l2->forced_at && rip != l2->forced_next))
        put_into_vmcb(vcpu, l2);
}

/* L1 that resumes the guest elsewhere has taken over its registers: they are not ours to mend. */
void oob_force_at_vmrun(unsigned vcpu, struct oob_l2_vcpu *l2) {
    uint64_t rip;

    if (!l2->forced)
        return;
    rip = oob_phys_read_u64(l2->vmcb + VMCB_RIP);
    if (rip == l2->forced_next || (l2->forced_again && rip == l2->forced_at))
        put_into_vmcb(vcpu, l2);
    l2->forced = false;
}
