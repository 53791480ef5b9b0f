/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "intercept.h"

#include "context.h"
#include "cpu.h"
#include "host.h"
#include "decode.h"
#include "detour.h"
#include "hide.h"
#include "inject.h"
#include "learn.h"
#include "link.h"
#include "marks.h"
#include "qemu_plugin_api.h"
#include "ioperm.h"
#include "serve.h"
#include "string_io.h"
#include "svm.h"
#include "timer.h"
#include "vcpu.h"
#include "vmcb.h"
#include "paging.h"
#include "xen.h"

#define EFER_LMA (1u << 10)
#define EFER_SVME (1u << 12)
#define EFER_KNOWN 0xffffffffull

/* Two witnesses tell L1 from L2 after a VMRUN:
 *
 * `marker` stands in reserved bits of L1's EFER while VMRUN executes. #VMEXIT brings it back with the rest of L1's
 * state, and no guest can have it: VMRUN does not enter one with reserved bits set, and WRMSR does not set them
 * (AMD APM vol. 2, 15.5.1). Where it stands, L1 runs.
 *
 * `nonce` stands in the VMCB's EXITCODE until #VMEXIT writes the real one there. Where it does not stand, no access
 * is served. */
static struct vcpu_state {
    uint64_t vmcb, marker, nonce;
    struct oob_l2_vcpu *l2; /* NULL: one that cannot be told for certain */
    uint64_t tag;           /* of `l2` at VMRUN */
} vcpus[OOB_VCPUS_MAX];

static uint64_t exit_code(const struct vcpu_state *state) {
    return oob_phys_read_u64(&oob_l1, state->vmcb + VMCB_EXITCODE);
}

/* The guest that this vCPU entered last, or NULL: another vCPU's VMRUN may have ended its context meanwhile. */
static struct oob_l2_vcpu *entered(unsigned vcpu) {
    const struct vcpu_state *state = &vcpus[vcpu];

    if (!oob_guest_mark(vcpu) || !state->l2 || state->l2->block != state->vmcb || state->l2->tag != state->tag)
        return NULL;
    return state->l2;
}

/* Does EFER hold the number that proves that this vCPU runs L1? */
static bool is_hosts(unsigned vcpu, uint64_t efer) {
    return (efer & ~EFER_KNOWN) == vcpus[vcpu].marker;
}

/* The guest that runs on this vCPU, or NULL when there is none to be believed. No guest is entered without SVME. */
static struct oob_l2_vcpu *running(unsigned vcpu) {
    uint64_t efer = oob_reg_read(&oob_l1, vcpu, OOB_REG_EFER);

    if (exit_code(&vcpus[vcpu]) != vcpus[vcpu].nonce || !(efer & EFER_SVME) || is_hosts(vcpu, efer))
        return NULL;
    return entered(vcpu);
}

bool oob_in_guest(unsigned vcpu) {
    return oob_guest_mark(vcpu) && !is_hosts(vcpu, oob_reg_read(&oob_l1, vcpu, OOB_REG_EFER));
}

bool oob_in_doubt(unsigned vcpu) {
    bool doubt;

    oob_lock();
    doubt = !running(vcpu);
    oob_unlock();
    return doubt;
}

static uint64_t new_secret(void) {
    static _Thread_local uint64_t state;

    if (!state)
        state = oob_random();
    /* xorshift64: never 0, and exit codes are small numbers or -1 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void mark_host(unsigned vcpu, uint64_t marker) {
    oob_reg_write(&oob_l1, vcpu, OOB_REG_EFER, (oob_reg_read(&oob_l1, vcpu, OOB_REG_EFER) & EFER_KNOWN) | marker);
}

static struct oob_tables tables_of_l1(unsigned vcpu) {
    return oob_tables_of(oob_reg_read(&oob_l1, vcpu, OOB_REG_CR4), oob_reg_read(&oob_l1, vcpu, OOB_REG_EFER));
}

void oob_on_vmrun(unsigned vcpu, bool certain) {
    struct vcpu_state *state = &vcpus[vcpu];

    state->vmcb = oob_reg_read(&oob_l1, vcpu, OOB_REG_RAX);
    state->nonce = new_secret();
    state->marker = (new_secret() | 1) << 32;
    mark_host(vcpu, state->marker);
    oob_phys_write_u64(&oob_l1, state->vmcb + VMCB_EXITCODE, state->nonce);
    oob_lock();
    oob_link_poll(&oob_l1);
    oob_context_tick(&oob_l1);
    oob_detour_close_maps(vcpu); /* of a CPU that was reset in the middle, without a #VMEXIT */
    state->l2 = certain ? oob_context_enter(&oob_l1, state->vmcb) : NULL;
    if (state->l2) {
        state->tag = state->l2->tag;
        state->l2->context->nested = tables_of_l1(vcpu);
        oob_learn_at_entry(vcpu, state->l2);
        oob_hide_restore(vcpu, state->l2);
        oob_xen_put_back(state->l2);
        oob_detour_at_vmrun(vcpu, state->l2);
        oob_inject_at_vmrun(state->l2);
    }
    oob_unlock();
    oob_mark_guest(vcpu, true);
}

void oob_on_landing(unsigned vcpu) {
    oob_lock();
    oob_detour_end(vcpu, entered(vcpu));
    oob_unlock();
}

/* A CPU that was sent INIT left its guest without a #VMEXIT, and it is L1 that goes on there, without SVME. It may
 * set that again: it is not to be taken for the guest then. */
void oob_on_doubtful(unsigned vcpu) {
    uint64_t efer = oob_reg_read(&oob_l1, vcpu, OOB_REG_EFER);

    if (is_hosts(vcpu, efer))
        oob_on_exit(vcpu);
    else if (!(efer & EFER_SVME))
        vcpus[vcpu].l2 = NULL;
}

void oob_on_exception(unsigned vcpu) {
    if (oob_in_guest(vcpu) && oob_passing_mark(vcpu))
        oob_on_landing(vcpu); /* an access that was not ours to serve did fault, or the next instruction */
}

void oob_on_l1_wrmsr(void) {
    oob_lock();
    oob_context_tick(&oob_l1);
    oob_unlock();
}

void oob_on_reset_vector(unsigned vcpu) {
    if (oob_reg_read(&oob_l1, vcpu, OOB_REG_EFER) & EFER_SVME)
        return; /* an L2's */
    oob_lock();
    oob_context_reset_all(&oob_l1);
    oob_unlock();
}

/* L2 has made a hypercall. Only those of 64-bit kernels are handled; Xen refuses hypercalls of a guest's processes.
 * After #VMEXIT, L2's RAX is in the VMCB. */
static void on_hypercall(unsigned vcpu, struct oob_l2_vcpu *l2) {
    struct oob_xen_call call = {
        .number = oob_phys_read_u64(&oob_l1, l2->block + VMCB_RAX),
        .command = oob_reg_read(&oob_l1, vcpu, OOB_REG_RDI),
        .vcpu = oob_reg_read(&oob_l1, vcpu, OOB_REG_RSI),
        .argument = oob_reg_read(&oob_l1, vcpu, OOB_REG_RDX),
    };
    uint8_t cpl;

    oob_phys_read(&oob_l1, l2->block + VMCB_CPL, &cpl, sizeof cpl);
    if (cpl == 0 && (oob_phys_read_u64(&oob_l1, l2->block + VMCB_EFER) & EFER_LMA))
        oob_xen_on_call(l2, &call);
}

void oob_on_exit(unsigned vcpu) {
    const struct vcpu_state *state = &vcpus[vcpu];
    uint64_t code = exit_code(state);
    struct oob_exit seen; /* the exit as L1 sees it */
    struct oob_l2_vcpu *l2;

    mark_host(vcpu, 0);
    oob_mark_passing(vcpu, false);
    oob_lock();
    l2 = entered(vcpu);
    oob_detour_close_maps(vcpu);
    if (l2 && code != state->nonce) {
        code = oob_inject_at_exit(l2, code);
        code = oob_detour_at_exit(vcpu, l2, code);
        oob_inject_at_halt(l2, code);
        if (code == VMEXIT_VMMCALL)
            on_hypercall(vcpu, l2);
        seen = oob_svm.exit(&oob_l1, l2->block);
        if (seen.kind == OOB_EXIT_HALT)
            oob_xen_on_halt(l2);
        oob_learn_at_exit(vcpu, l2, &seen);
        if (!oob_options.show_registers)
            oob_hide_at_exit(vcpu, l2, &seen);
    }
    oob_unlock();
    oob_mark_guest(vcpu, false);
}

static uint32_t size_mask(unsigned size) {
    return size == 4 ? 0xffffffffu : (1u << (8 * size)) - 1;
}

/* A 32-bit result clears the upper half of RAX, a smaller one leaves the rest (AMD APM vol. 1, 3.1.2). */
static uint64_t with_result(uint64_t rax, unsigned size, uint32_t value) {
    return size == 4 ? value : (rax & ~(uint64_t)size_mask(size)) | (value & size_mask(size));
}

/* Serves an IN or OUT, which moves AL, AX or EAX. True when the instruction must be stepped over. */
static bool register_io(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port) {
    unsigned size = oob_io_size(site);
    uint64_t rax = oob_reg_read(&oob_l1, vcpu, OOB_REG_RAX);

    if (site.out)
        oob_serve_write(l2->context, l2->index, port, size, (uint32_t)rax & size_mask(size));
    else
        oob_reg_write(&oob_l1, vcpu, OOB_REG_RAX,
                      with_result(rax, size, oob_serve_read(l2->context, l2->index, port, size)));
    if (entered(vcpu) != l2)
        return true; /* L1 has given the guest's VMCB to another guest, while this vCPU waited for the server */
    if (site.immediate)
        return !oob_detour_exit_unseen(vcpu, l2, site, port);
    return !oob_detour_exit(vcpu, l2, site) && !oob_detour_take(vcpu, l2, site);
}

/* Refuses an access: it is not certain that a guest made it, or the access cannot be hidden from L1. A read gives
 * ones; a write is dropped. */
static void refuse(unsigned vcpu, union oob_io_site site) {
    oob_l1.stat[OOB_STAT_REFUSED]++;
    if (!site.out && !site.string)
        oob_reg_write(&oob_l1, vcpu, OOB_REG_RAX,
                      with_result(oob_reg_read(&oob_l1, vcpu, OOB_REG_RAX), oob_io_size(site), 0xffffffff));
}

static bool string_io(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port) {
    if (!oob_detour_take(vcpu, l2, site)) {
        refuse(vcpu, site);
        return true;
    }
    oob_string_begin(vcpu, l2, site, port);
    return false;
}

/* True when the instruction must be stepped over; else the CPU is to execute it. */
static bool on_ours(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port) {
    unsigned size = oob_io_size(site);

    if (!l2) {
        refuse(vcpu, site);
        return true;
    }
    if (!oob_bus_touched(&oob_l1.bus, port, size))
        return false;
    l2->context->last_access_ns = oob_now_ns();
    if (!oob_ioperm_allows(vcpu, l2, port, size)) {
        /* It will fault, as it does on any machine; if L1 has seen to it that it does not, L1 gets nothing. */
        oob_detour_deny(vcpu, l2, site);
        return false;
    }
    return site.string ? string_io(vcpu, l2, site, port) : register_io(vcpu, l2, site, port);
}

void oob_on_io(unsigned vcpu, union oob_io_site site) {
    uint16_t port = site.immediate ? site.port : (uint16_t)oob_reg_read(&oob_l1, vcpu, OOB_REG_RDX);
    bool ours = oob_bus_touched(&oob_l1.bus, port, sizeof(uint32_t)), step = false;
    struct oob_l2_vcpu *l2;

    if (!ours && !(site.out && oob_irqchip_is_pic_port(port)))
        return;
    oob_lock();
    if (ours)
        oob_link_turn(&oob_l1);
    l2 = running(vcpu);
    if (ours)
        step = on_ours(vcpu, l2, site, port);
    else if (l2)
        oob_irqchip_out(&l2->context->chip, port, (uint8_t)oob_reg_read(&oob_l1, vcpu, OOB_REG_RAX));
    oob_unlock();
    if (step)
        qemu_plugin_set_pc(oob_next_rip(vcpu, site));
}

unsigned oob_on_string_element(unsigned vcpu, uint64_t linear, uint32_t *value) {
    struct oob_l2_vcpu *l2;
    unsigned size = 0;

    oob_lock();
    oob_link_turn(&oob_l1);
    l2 = entered(vcpu);
    if (l2 && oob_tcg(l2)->detour.active)
        size = oob_string_element(l2, linear, value);
    oob_unlock();
    return size;
}

static uint64_t edx_eax(unsigned vcpu) {
    return oob_reg_read(&oob_l1, vcpu, OOB_REG_RDX) << 32 | (uint32_t)oob_reg_read(&oob_l1, vcpu, OOB_REG_RAX);
}

void oob_on_rdtsc(unsigned vcpu) {
    struct oob_l2_vcpu *l2;

    oob_lock();
    l2 = running(vcpu);
    if (l2)
        oob_timer_saw_tsc(l2, edx_eax(vcpu));
    oob_unlock();
}

void oob_on_wrmsr(unsigned vcpu) {
    struct oob_l2_vcpu *l2;
    uint64_t deadline;

    if ((uint32_t)oob_reg_read(&oob_l1, vcpu, OOB_REG_RCX) != OOB_MSR_TSC_DEADLINE)
        return;
    deadline = edx_eax(vcpu);
    oob_lock();
    l2 = running(vcpu);
    if (l2 && oob_timer_clamp(l2, &deadline)) {
        oob_reg_write(&oob_l1, vcpu, OOB_REG_RAX, (uint32_t)deadline);
        oob_reg_write(&oob_l1, vcpu, OOB_REG_RDX, deadline >> 32);
    }
    oob_unlock();
}
