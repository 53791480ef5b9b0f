/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "detour.h"

#include <stddef.h>

#include "cpu.h"
#include "host.h"
#include "inject.h"
#include "ioperm.h"
#include "marks.h"
#include "string_io.h"
#include "svm.h"
#include "vcpu.h"
#include "vmcb.h"

/* Nearly every L1 intercepts POST_CODE_PORT. Xen lets its guests use that port and port 0xed, but not SPARE_PORT,
 * which means no more. At NOTHING_PORT there is no device, not even in L0's machine. */
enum { POST_CODE_PORT = 0x80, SPARE_PORT = 0x84, NOTHING_PORT = 0xec, NOTHING_BITS = 0xf << NOTHING_PORT % 8 };

/* Two maps decide whether the CPU executes a port access: L1's, which usually sends every access to L1 before
 * anything else is checked (AMD APM vol. 2, 15.10.2), and the one in L2's TSS, which applies to code without I/O
 * privilege. Both are opened for NOTHING_PORT while an access is executed there. */
enum { MAP_OF_L1, MAP_OF_TSS, MAPS };

/* Bits of a map that are cleared while accesses of ours are executed: vCPUs may share one. */
static struct opening {
    uint64_t at; /* the physical address of the byte */
    uint8_t bits;
    unsigned users;
} openings[OOB_VCPUS_MAX * MAPS];
static struct opening *opened_by[OOB_VCPUS_MAX][MAPS];

static uint8_t map_read(uint64_t at) {
    uint8_t bits;

    oob_phys_read(&oob_l1, at, &bits, sizeof bits);
    return bits;
}

static void map_write(uint64_t at, uint8_t bits) {
    oob_phys_write(&oob_l1, at, &bits, sizeof bits);
}

static struct opening *opening_at(uint64_t at) {
    struct opening *unused = NULL;

    for (size_t i = 0; i < sizeof openings / sizeof *openings; i++) {
        if (openings[i].users && openings[i].at == at)
            return &openings[i];
        if (!openings[i].users)
            unused = &openings[i];
    }
    /* There is one: a vCPU has two at most, and this one has none of this kind. */
    *unused = (struct opening){.at = at};
    return unused;
}

static void open_map(unsigned vcpu, int map, uint64_t at) {
    struct opening *opening = opening_at(at);
    uint8_t bits = map_read(at);

    opened_by[vcpu][map] = opening;
    opening->users++;
    opening->bits |= bits & NOTHING_BITS;
    if (bits & NOTHING_BITS)
        map_write(at, bits & (uint8_t)~NOTHING_BITS);
}

static void close_map(unsigned vcpu, int map) {
    struct opening *opening = opened_by[vcpu][map];

    opened_by[vcpu][map] = NULL;
    if (opening && --opening->users == 0 && opening->bits)
        map_write(opening->at, map_read(opening->at) | opening->bits);
}

void oob_detour_close_maps(unsigned vcpu) {
    for (int map = 0; map < MAPS; map++)
        close_map(vcpu, map);
}

/* QEMU brings RIP up to date where a block begins, and at some instructions in it; a block lies in one page. */
uint64_t oob_next_rip(unsigned vcpu, union oob_io_site site) {
    uint64_t rip = oob_reg_read(&oob_l1, vcpu, OOB_REG_RIP);

    return rip + ((site.offset - rip) & 0xfff) + site.length;
}

/* Makes the CPU execute the instruction with another port, and with nothing in RAX. L2 gets its own registers back
 * before its next instruction, or when the instruction faults, or at the next VMRUN if that goes on behind the
 * instruction or, with `again`, at it. */
static void substitute(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port, bool again) {
    oob_tcg(l2)->detour.active = true;
    oob_tcg(l2)->detour.next = oob_next_rip(vcpu, site);
    oob_tcg(l2)->detour.at = oob_tcg(l2)->detour.next - site.length;
    oob_tcg(l2)->detour.again = again;
    oob_tcg(l2)->detour.unseen = false;
    oob_tcg(l2)->string = (struct oob_string){.active = false};
    oob_tcg(l2)->detour.rax = oob_reg_read(&oob_l1, vcpu, OOB_REG_RAX);
    oob_tcg(l2)->detour.rdx = oob_reg_read(&oob_l1, vcpu, OOB_REG_RDX);
    oob_reg_write(&oob_l1, vcpu, OOB_REG_RDX, (oob_tcg(l2)->detour.rdx & ~0xffffull) | port);
    oob_reg_write(&oob_l1, vcpu, OOB_REG_RAX, oob_tcg(l2)->detour.rax & ~0xffffffffull);
    oob_mark_passing(vcpu, true);
}

bool oob_detour_take(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site) {
    uint64_t tss;

    if (!oob_ioperm_allows(vcpu, l2, NOTHING_PORT, oob_io_size(site))) {
        if (!oob_ioperm_tss_byte(vcpu, l2, NOTHING_PORT, &tss))
            return false;
        open_map(vcpu, MAP_OF_TSS, tss);
    }
    if (!opened_by[vcpu][MAP_OF_L1]) /* until the next exit: a guest that prints makes thousands of accesses */
        open_map(vcpu, MAP_OF_L1,
                 (oob_phys_read_u64(&oob_l1, l2->block + VMCB_IOPM_BASE) & ~0xfffull) + NOTHING_PORT / 8);
    substitute(vcpu, l2, site, NOTHING_PORT, false);
    return true;
}

/* Does L1 let L2 use these ports without an exit? L1's permission map says so. */
static bool is_open(const struct oob_l2_vcpu *l2, uint16_t port, unsigned size) {
    uint64_t map = oob_phys_read_u64(&oob_l1, l2->block + VMCB_IOPM_BASE) & ~0xfffull;
    unsigned bits = map_read(map + port / 8) | (unsigned)map_read(map + port / 8 + 1) << 8;

    return !(bits >> port % 8 & ((1u << size) - 1));
}

static bool is_intercepted(const struct oob_l2_vcpu *l2, uint16_t port, unsigned size) {
    uint32_t intercepts = oob_phys_read_u32(&oob_l1, l2->block + VMCB_INTERCEPTS_3);

    return (intercepts & VMCB_INTERCEPT_INTR) && (intercepts & VMCB_INTERCEPT_IOIO) && !is_open(l2, port, size);
}

/* L1 may have a device at the spare port, or may ask an emulator for one. So L1 is told of a physical interrupt
 * instead of an access to that port. Such an exit loses the trap of a single step, so there is none while L2 is
 * single-stepped. */
static bool exit_at_spare_port(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site) {
    unsigned size = oob_io_size(site);

    if ((oob_reg_read(&oob_l1, vcpu, OOB_REG_EFLAGS) & RFLAGS_TF) || !is_intercepted(l2, SPARE_PORT, size) ||
        !oob_ioperm_allows(vcpu, l2, SPARE_PORT, size))
        return false;
    substitute(vcpu, l2, site, SPARE_PORT, false);
    oob_tcg(l2)->detour.unseen = true;
    return true;
}

static bool exit_at_post_code_port(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site) {
    if (!oob_ioperm_allows(vcpu, l2, POST_CODE_PORT, oob_io_size(site)))
        return false;
    substitute(vcpu, l2, site, POST_CODE_PORT, false);
    return true;
}

bool oob_detour_exit(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site) {
    bool open;

    if (!site.out || !oob_inject_wanted(l2))
        return false;
    open = is_open(l2, POST_CODE_PORT, oob_io_size(site));
    if (!(open ? exit_at_spare_port : exit_at_post_code_port)(vcpu, l2, site))
        return false;
    oob_l1.stat[OOB_STAT_FORCED]++;
    return true;
}

bool oob_detour_exit_unseen(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port) {
    if (!is_intercepted(l2, port, oob_io_size(site)))
        return false;
    substitute(vcpu, l2, site, POST_CODE_PORT, false);
    oob_tcg(l2)->detour.unseen = true;
    return true;
}

void oob_detour_deny(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site) {
    substitute(vcpu, l2, site, POST_CODE_PORT, true);
}

void oob_detour_end(unsigned vcpu, struct oob_l2_vcpu *l2) {
    oob_mark_passing(vcpu, false);
    close_map(vcpu, MAP_OF_TSS);
    if (!l2 || !oob_tcg(l2)->detour.active)
        return;
    oob_tcg(l2)->detour.active = false;
    oob_string_end(vcpu, l2);
    oob_reg_write(&oob_l1, vcpu, OOB_REG_RDX, oob_tcg(l2)->detour.rdx);
    oob_reg_write(&oob_l1, vcpu, OOB_REG_RAX, oob_tcg(l2)->detour.rax);
}

/* After #VMEXIT the CPU's RAX is L1's own, and L2's RAX is in the VMCB. */
static void put_into_vmcb(unsigned vcpu, struct oob_l2_vcpu *l2) {
    oob_tcg(l2)->detour.active = false;
    oob_string_end(vcpu, l2);
    oob_reg_write(&oob_l1, vcpu, OOB_REG_RDX, oob_tcg(l2)->detour.rdx);
    oob_phys_write_u64(&oob_l1, l2->block + VMCB_RAX, oob_tcg(l2)->detour.rax);
}

/* L2 has executed the instruction, as far as L1 can see, and was interrupted behind it. */
static void show_an_interrupt(unsigned vcpu, struct oob_l2_vcpu *l2) {
    put_into_vmcb(vcpu, l2);
    oob_svm.show_interrupt(&oob_l1, l2->block, oob_tcg(l2)->detour.next);
}

/* When does L2 get its own registers back already at the exit? When the instruction has faulted, because L1 may need
 * the registers to handle the fault, and when L2 is no longer at the instruction or right behind it. */
uint64_t oob_detour_at_exit(unsigned vcpu, struct oob_l2_vcpu *l2, uint64_t code) {
    bool faulted = code == VMEXIT_NPF || (code >= VMEXIT_EXCEPTION && code <= VMEXIT_EXCEPTION_LAST);
    uint64_t rip;

    if (!oob_tcg(l2)->detour.active)
        return code;
    if (oob_tcg(l2)->detour.unseen && code == VMEXIT_IOIO) {
        show_an_interrupt(vcpu, l2);
        return VMEXIT_INTR;
    }
    rip = oob_phys_read_u64(&oob_l1, l2->block + VMCB_RIP);
    if (faulted || oob_tcg(l2)->string.active || (rip != oob_tcg(l2)->detour.at && rip != oob_tcg(l2)->detour.next))
        put_into_vmcb(vcpu, l2);
    return code;
}

/* If L1 resumes L2 at another place, it has set L2's registers itself, so they are left as they are. */
void oob_detour_at_vmrun(unsigned vcpu, struct oob_l2_vcpu *l2) {
    uint64_t rip;

    if (!oob_tcg(l2)->detour.active)
        return;
    rip = oob_phys_read_u64(&oob_l1, l2->block + VMCB_RIP);
    if (rip == oob_tcg(l2)->detour.next || (oob_tcg(l2)->detour.again && rip == oob_tcg(l2)->detour.at))
        put_into_vmcb(vcpu, l2);
    oob_tcg(l2)->detour.active = false;
}
