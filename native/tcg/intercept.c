/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "intercept.h"

#include <string.h>
#include <sys/random.h>

#include "context.h"
#include "cpu.h"
#include "decode.h"
#include "inject.h"
#include "link.h"
#include "qemu_plugin_api.h"
#include "segment.h"
#include "timer.h"
#include "vmcb.h"
#include "walk.h"

#define EFER_SVME (1u << 12)

static struct vcpu_state {
    uint64_t vmcb, vmrun_pc, host_cr3;
    uint64_t nonce; /* stands in the VMCB's EXITCODE until a #VMEXIT writes the real one there */
    struct oob_l2_vcpu *l2;
} vcpus[OOB_VCPUS_MAX];

static uint64_t new_nonce(void) {
    static _Thread_local uint64_t state;

    if (!state && getrandom(&state, sizeof state, GRND_NONBLOCK) != sizeof state)
        state = oob_now_ns();
    /* xorshift64: never 0, and exit codes are small numbers or -1 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void restore_forced(unsigned vcpu, struct oob_l2_vcpu *l2) {
    if (!l2->forced)
        return;
    l2->forced = false;
    /* L1 that resumes the guest elsewhere has taken over its registers: they are not ours to mend. */
    if (oob_phys_read_u64(l2->vmcb + VMCB_RIP) != l2->forced_rip)
        return;
    oob_phys_write_u64(l2->vmcb + VMCB_RAX, l2->forced_rax);
    oob_reg_write(vcpu, OOB_REG_RDX, l2->forced_rdx);
}

void oob_on_vmrun(unsigned vcpu, uint64_t pc) {
    struct vcpu_state *state = &vcpus[vcpu];

    state->vmcb = oob_reg_read(vcpu, OOB_REG_RAX);
    state->vmrun_pc = pc;
    state->host_cr3 = oob_reg_read(vcpu, OOB_REG_CR3);
    state->nonce = new_nonce();
    oob_phys_write_u64(state->vmcb + VMCB_EXITCODE, state->nonce);
    pthread_mutex_lock(&oob_lock);
    oob_link_poll();
    state->l2 = oob_context_enter(state->vmcb);
    if (state->l2) {
        restore_forced(vcpu, state->l2);
        oob_inject_at_vmrun(state->l2);
    }
    pthread_mutex_unlock(&oob_lock);
    oob_mark_guest(vcpu, true);
}

void oob_on_exception(unsigned vcpu, uint64_t pc) {
    const struct vcpu_state *state = &vcpus[vcpu];

    if (oob_guest_mark(vcpu) && pc == state->vmrun_pc && oob_reg_read(vcpu, OOB_REG_CR3) == state->host_cr3)
        oob_mark_guest(vcpu, false);
}

static bool exited(const struct vcpu_state *state) {
    return oob_phys_read_u64(state->vmcb + VMCB_EXITCODE) != state->nonce;
}

bool oob_in_guest(unsigned vcpu) {
    /* A CPU that was reset or sent INIT left its guest without a #VMEXIT; no guest runs without SVME
     * (AMD APM vol. 2, 15.5.1). */
    return oob_guest_mark(vcpu) && !exited(&vcpus[vcpu]) && (oob_reg_read(vcpu, OOB_REG_EFER) & EFER_SVME);
}

/* The value that L2 was about to store into its IOAPIC when the nested page fault stopped it. */
static void learn_ioapic_write(unsigned vcpu, const struct oob_l2_vcpu *l2, uint64_t gpa) {
    uint64_t vmcb = l2->vmcb;
    struct oob_paging paging = oob_paging_saved(vmcb);
    uint64_t rip = oob_phys_read_u64(vmcb + VMCB_RIP);
    uint64_t base = paging.efer & (1u << 10) ? 0 : oob_phys_read_u64(vmcb + VMCB_CS_BASE);
    enum oob_mode mode = paging.efer & (1u << 10) ? OOB_MODE_64 : OOB_MODE_32;
    uint8_t bytes[OOB_INSN_MAX];
    size_t len = sizeof bytes;
    struct oob_mov_insn mov;
    uint32_t value;

    while (len && !oob_l2_read(&paging, base + rip, bytes, len))
        len--; /* the instruction may be the last before an unmapped page */
    if (!oob_decode_mov(bytes, len, mode, &mov) || !mov.store)
        return;
    if (mov.immediate)
        value = mov.value;
    else if (mov.reg == OOB_REG_RAX)
        value = (uint32_t)oob_phys_read_u64(vmcb + VMCB_RAX);
    else
        value = (uint32_t)oob_reg_read(vcpu, OOB_REG_RAX + mov.reg);
    oob_irqchip_mmio_write(&l2->context->chip, gpa, value);
}

void oob_on_exit(unsigned vcpu) {
    struct vcpu_state *state = &vcpus[vcpu];

    oob_mark_guest(vcpu, false);
    if (!state->l2 || !exited(state))
        return;
    pthread_mutex_lock(&oob_lock);
    oob_inject_at_exit(state->l2);
    if (oob_phys_read_u64(state->vmcb + VMCB_EXITCODE) == VMEXIT_NPF) {
        uint64_t gpa = oob_phys_read_u64(state->vmcb + VMCB_EXITINFO2);

        if ((gpa & ~0x1full) == OOB_IOAPIC_BASE)
            learn_ioapic_write(vcpu, state->l2, gpa);
    }
    pthread_mutex_unlock(&oob_lock);
}

/* An idle UART's answers, and an absent device's where there is none. */
static uint32_t serve_away(struct oob_context *context, unsigned range, uint16_t port, unsigned size) {
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        int r = oob_options_range(&oob_options, port + i);
        uint32_t byte = 0xff;

        if (r >= 0)
            byte = oob_uart_idle_read(&context->uart[r], (port + i - oob_options.range[r].first) & 7);
        value |= byte << (8 * i);
    }
    oob_stat[OOB_STAT_AWAY]++;
    context->line[range].level = oob_uart_idle_irq(&context->uart[range]);
    return value;
}

static bool read_published(struct oob_context *context, unsigned range, unsigned reg, uint32_t *value) {
    const struct oob_publication *p = &context->published[range];

    if (!oob_link_up() || !(p->valid & 1u << reg) || p->accesses != context->accesses)
        return false;
    *value = p->value[reg];
    oob_stat[OOB_STAT_PUBLISHED]++;
    return true;
}

/* A driver looks at IIR until it says that nothing is pending: an interrupt before that would find nothing. */
static void saw_iir(struct oob_line *line, uint32_t iir) {
    enum { IIR_NONE_PENDING = 0x01 };

    line->looked = true;
    line->in_service = !(iir & IIR_NONE_PENDING);
    line->since_ns = oob_now_ns();
}

static uint32_t serve_read(struct oob_context *context, unsigned vcpu, unsigned range, uint16_t port, unsigned size) {
    unsigned reg = port - oob_options.range[range].first;
    uint32_t value = 0;

    if (size != 1 || !read_published(context, range, reg, &value)) {
        oob_stat[OOB_STAT_READS]++;
        if (!oob_link_access(context, vcpu, port, size, false, &value))
            value = serve_away(context, range, port, size);
    }
    if (reg == UART_FCR) /* IIR, when read */
        saw_iir(&context->line[range], value);
    return value;
}

/* Byte by byte, as the bus would: what the native half must know of the registers. */
static bool observe_write(struct oob_context *context, uint16_t port, unsigned size, uint32_t value) {
    bool thr_alone = false;

    for (unsigned i = 0; i < size; i++) {
        int r = oob_options_range(&oob_options, port + i);
        bool line_byte;

        if (r < 0)
            continue;
        line_byte = oob_uart_observe(&context->uart[r], port + i - oob_options.range[r].first, value >> (8 * i));
        thr_alone = line_byte && size == 1;
        if (line_byte && !oob_link_up() && !oob_uart_keep(&context->uart[r], value >> (8 * i)))
            oob_stat[OOB_STAT_DROPPED]++;
    }
    return thr_alone;
}

static void serve_write(struct oob_context *context, unsigned vcpu, unsigned range, uint16_t port, unsigned size,
                        uint32_t value) {
    struct oob_uart *uart = &context->uart[range];
    bool thr = observe_write(context, port, size, value);
    bool served;

    oob_stat[OOB_STAT_WRITES]++;
    if (thr) {
        struct oob_publication *p = &context->published[range];

        p->valid &= p->after_thr;
        if (p->accesses == context->accesses)
            p->accesses++; /* what stays true after a byte to THR stays published */
        served = oob_link_post(context, vcpu, port, (uint8_t)value);
        /* The model transmits at once: it will raise THRE, and say so later. */
        if (served && oob_uart_idle_irq(uart))
            context->line[range].level = true;
    } else {
        served = oob_link_access(context, vcpu, port, size, true, &value);
        if (served)
            uart->thre_pending = false; /* the server's to know; the next byte to THR sets it again */
    }
    if (!served)
        serve_away(context, range, port, 0);
}

static uint32_t size_mask(unsigned size) {
    return size == 4 ? 0xffffffffu : (1u << (8 * size)) - 1;
}

/* L2 goes on at the next instruction, unless its interrupt needs a VMRUN to be injected at: then this
 * very `out` becomes one to a port that every L1 intercepts. */
static bool force_exit(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint64_t next) {
    enum { POST_CODE_PORT = 0x80 };

    if (!site.out || site.immediate || !oob_inject_wanted(l2))
        return false;
    l2->forced = true;
    l2->forced_rip = next;
    l2->forced_rax = oob_reg_read(vcpu, OOB_REG_RAX);
    l2->forced_rdx = oob_reg_read(vcpu, OOB_REG_RDX);
    oob_reg_write(vcpu, OOB_REG_RDX, (l2->forced_rdx & ~0xffffull) | POST_CODE_PORT);
    oob_reg_write(vcpu, OOB_REG_RAX, l2->forced_rax & ~0xffffffffull);
    oob_stat[OOB_STAT_FORCED]++;
    return true;
}

/* The 48 bits of a canonical address, extended again (AMD APM vol. 2, 5.3.1). */
static uint64_t next_rip(union oob_io_site site) {
    return (uint64_t)((int64_t)(site.next << 16) >> 16);
}

static void on_uart(unsigned vcpu, union oob_io_site site, unsigned range, uint16_t port) {
    struct oob_l2_vcpu *l2 = vcpus[vcpu].l2;
    uint64_t rax = oob_reg_read(vcpu, OOB_REG_RAX);
    uint64_t next = next_rip(site);
    uint32_t value = (uint32_t)rax;
    unsigned size = site.size;
    bool forced = false;

    if (!oob_guest_mark(vcpu) || !l2) {
        oob_stat[OOB_STAT_REFUSED]++; /* no believable guest: neither it nor L1 gets anything */
        value = 0xffffffff;
    } else {
        if (!oob_l2_io_allowed(vcpu, l2->vmcb, l2->context->ncr3, port, size))
            return; /* it will fault, as it does on any machine */
        if (size > 1 && oob_l2_mode(vcpu, l2->vmcb, l2->context->ncr3) == OOB_MODE_16)
            size = 6 - size; /* decoded as if for 32-bit code: 2 and 4 change places */
        pthread_mutex_lock(&oob_lock);
        if (site.out)
            serve_write(l2->context, l2->index, range, port, size, value & size_mask(size));
        else
            value = serve_read(l2->context, l2->index, range, port, size);
        forced = force_exit(vcpu, l2, site, next);
        pthread_mutex_unlock(&oob_lock);
    }
    if (forced)
        return;
    if (!site.out) /* a 32-bit result clears the upper half of RAX (AMD APM vol. 1, 3.1.2) */
        oob_reg_write(vcpu, OOB_REG_RAX,
                      size == 4 ? value : (rax & ~(uint64_t)size_mask(size)) | (value & size_mask(size)));
    qemu_plugin_set_pc(next);
}

static void on_pic(unsigned vcpu, union oob_io_site site, uint16_t port) {
    if (!site.out || !oob_guest_mark(vcpu) || !vcpus[vcpu].l2)
        return;
    pthread_mutex_lock(&oob_lock);
    oob_irqchip_out(&vcpus[vcpu].l2->context->chip, port, (uint8_t)oob_reg_read(vcpu, OOB_REG_RAX));
    pthread_mutex_unlock(&oob_lock);
}

void oob_on_io(unsigned vcpu, union oob_io_site site) {
    static const uint8_t pic_ports[] = {0x20, 0x21, 0xa0, 0xa1};
    uint16_t port = site.immediate ? pic_ports[site.pic_port] : (uint16_t)oob_reg_read(vcpu, OOB_REG_RDX);
    int range = oob_options_range(&oob_options, port);

    if (range >= 0 && !site.string)
        on_uart(vcpu, site, (unsigned)range, port);
    else if (oob_irqchip_is_pic_port(port))
        on_pic(vcpu, site, port);
}

void oob_on_rdtsc(unsigned vcpu) {
    if (!oob_guest_mark(vcpu) || !vcpus[vcpu].l2)
        return;
    oob_timer_saw_tsc(vcpus[vcpu].l2,
                      oob_reg_read(vcpu, OOB_REG_RDX) << 32 | (uint32_t)oob_reg_read(vcpu, OOB_REG_RAX));
}

void oob_on_wrmsr(unsigned vcpu) {
    uint64_t deadline;

    if (!oob_guest_mark(vcpu) || !vcpus[vcpu].l2 || (uint32_t)oob_reg_read(vcpu, OOB_REG_RCX) != OOB_MSR_TSC_DEADLINE)
        return;
    deadline = oob_reg_read(vcpu, OOB_REG_RDX) << 32 | (uint32_t)oob_reg_read(vcpu, OOB_REG_RAX);
    if (!oob_timer_clamp(vcpus[vcpu].l2, &deadline))
        return;
    oob_reg_write(vcpu, OOB_REG_RAX, (uint32_t)deadline);
    oob_reg_write(vcpu, OOB_REG_RDX, deadline >> 32);
}

void oob_context_irq(struct oob_context *context, unsigned isa_line, enum oob_irq_mode mode) {
    for (unsigned i = 0; i < oob_options.ranges; i++) {
        if (oob_options.range[i].line != isa_line)
            continue;
        context->line[i].level = mode != OOB_IRQ_LOW;
        context->line[i].pulse = mode == OOB_IRQ_PULSE;
    }
}

void oob_context_publish(struct oob_context *context, const struct oob_publish *publish) {
    int range = oob_options_range(&oob_options, publish->port);
    struct oob_publication *p;

    if (range < 0 || publish->port != oob_options.range[range].first)
        return;
    p = &context->published[range];
    p->valid = publish->valid;
    p->after_thr = publish->after_thr;
    p->accesses = publish->writes;
    memcpy(p->value, publish->value, sizeof p->value);
}

void oob_context_orphan(struct oob_context *context) {
    for (unsigned i = 0; i < oob_options.ranges; i++) {
        context->published[i].valid = 0;
        /* A byte that was on its way may have been the one whose THRE the guest waits for. */
        if (context->uart[i].ier & UART_IER_THRI)
            context->uart[i].thre_pending = true;
        context->line[i] = (struct oob_line){.level = oob_uart_idle_irq(&context->uart[i])};
    }
}
