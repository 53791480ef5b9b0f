/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interceptor's native half for stock QEMU with TCG. QEMU runs L1, and L1 runs L2. This plugin takes chosen port
 * I/O of L2 before L1 is told.
 *
 * How does it know whose code runs? QEMU translates a block of code for one CPU mode. A block that was translated in
 * an SVM guest never runs outside of one, because HF_GUEST is part of a block's identity. So it is decided once,
 * when the block is translated: blocks of L2 get callbacks at their port I/O; blocks of L1 get none, except for
 * their first instruction, which clears the guest mark that VMRUN has set.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connector.h"
#include "context.h"
#include "cpu.h"
#include "host.h"
#include "decode.h"
#include "intercept.h"
#include "link.h"
#include "marks.h"
#include "qemu_plugin_api.h"
#include "svm.h"

OOB_EXPORT int qemu_plugin_version = OOB_PLUGIN_API;
OOB_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

static _Thread_local int this_vcpu = -1;

/* The addresses behind an RDTSC. RDTSC ends a block, so the time stamp is looked at when the block behind it begins.
 * The table forgets old addresses when it is full; at worst we miss a time stamp. */
static uint64_t after_rdtsc[1024];
enum { RDTSC_SAMPLED = 32 }; /* we look at one time stamp of so many, because guests read it all the time */

/* Where every x86 CPU begins; the linear and the physical address are the same (AMD APM vol. 2, 14.1.5). */
#define OOB_RESET_VECTOR 0xfffffff0u

_Static_assert(sizeof(union oob_io_site) == sizeof(void *), "an I/O site fits into a callback's argument");

static void die(const char *why, const char *detail) {
    fprintf(stderr, "oob_tcg: %s%s%s\n", why, detail ? ": " : "", detail ? detail : "");
    exit(EXIT_FAILURE);
}

static void vmrun_cb(unsigned vcpu, void *certain) {
    oob_on_vmrun(vcpu, certain != NULL);
}

static void l1_wrmsr_cb(unsigned vcpu, void *unused) {
    (void)vcpu, (void)unused;
    oob_on_l1_wrmsr();
}

/* Ends QEMU if it cannot disassemble: a QEMU built without Capstone gives ".byte 0xea ..." or nothing. */
static void require_disassembler(struct qemu_plugin_insn *insn) {
    char *disassembly = qemu_plugin_insn_disas(insn);

    if (!g_ascii_islower(*disassembly))
        die("this QEMU cannot disassemble: it must have been built with Capstone, as Debian's is", NULL);
    g_free(disassembly);
}

static void reset_vector_cb(unsigned vcpu, void *unused) {
    (void)unused;
    oob_on_reset_vector(vcpu);
}

static void exit_cb(unsigned vcpu, void *unused) {
    (void)unused;
    oob_on_exit(vcpu);
}

static void doubtful_cb(unsigned vcpu, void *unused) {
    (void)unused;
    oob_on_doubtful(vcpu);
}

static void io_cb(unsigned vcpu, void *packed) {
    oob_on_io(vcpu, (union oob_io_site){.packed = packed});
}

static void store(qemu_plugin_meminfo_t info, uint64_t vaddr, uint32_t value, unsigned size) {
    for (unsigned i = 0; i < size; i++) { /* byte by byte, because the value may cross into another page */
        uint8_t byte = (uint8_t)(value >> (8 * i));

        oob_phys_write(&oob_l1, qemu_plugin_hwaddr_phys_addr(qemu_plugin_get_hwaddr(info, vaddr + i)), &byte,
                       sizeof byte);
    }
}

/* The CPU has moved an element of string I/O. QEMU's INS stores twice: first 0, so that a fault comes before the
 * port is read, and then what the port gives. At a port without a device that is all ones, so a 0 is the first
 * store. */
static void string_cb(unsigned vcpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *unused) {
    uint32_t value = (uint32_t)qemu_plugin_mem_get_value(info).data.u64;
    bool out = !qemu_plugin_mem_is_store(info);

    (void)unused;
    if (oob_passing_mark(vcpu) && (out || value)) {
        unsigned size = oob_on_string_element(vcpu, vaddr, &value);

        store(info, vaddr, value, size);
    }
}

static void landing_cb(unsigned vcpu, void *unused) {
    (void)unused;
    oob_on_landing(vcpu);
}

static void rdtsc_cb(unsigned vcpu, void *unused) {
    (void)unused;
    oob_marks_no_tsc(vcpu);
    oob_on_rdtsc(vcpu);
}

static void wrmsr_cb(unsigned vcpu, void *unused) {
    (void)unused;
    oob_on_wrmsr(vcpu);
}

static void discon_cb(unsigned vcpu, enum qemu_plugin_discon_type type, uint64_t from_pc, uint64_t to_pc,
                      void *unused) {
    (void)type, (void)from_pc, (void)to_pc, (void)unused;
    oob_on_exception(vcpu);
}

static void hook_l1(struct qemu_plugin_insn *insn, const uint8_t *bytes, size_t len) {
    uint64_t vaddr = qemu_plugin_insn_vaddr(insn);
    bool overridden;

    if (oob_is_vmrun(bytes, len, &overridden)) {
        /* Only 64-bit code has addresses this high. At lower ones VMRUN may take only EAX or AX. */
        bool certain = !overridden && vaddr > UINT32_MAX;

        qemu_plugin_register_vcpu_insn_exec_cb(insn, vmrun_cb, CB_RW_REGS, (void *)(uintptr_t)certain);
    } else if (oob_is_wrmsr(bytes, len))
        qemu_plugin_register_vcpu_insn_exec_cb(insn, l1_wrmsr_cb, CB_NO_REGS, NULL);
}

/* May an instruction matter to us? A port in DX is only known when the instruction is executed. */
static bool may_be_ours(const struct oob_io_insn *io) {
    return !io->immediate || oob_bus_touched(&oob_l1.bus, io->imm, io->size) ||
           (io->out && oob_irqchip_is_pic_port(io->imm));
}

static void hook_io(struct qemu_plugin_insn *insn, const struct oob_io_insn *io, uint64_t cs_base) {
    union oob_io_site site = {.packed = NULL};

    site.offset = (qemu_plugin_insn_vaddr(insn) - cs_base) & 0xfff;
    site.length = io->length;
    site.size_log2 = (unsigned)__builtin_ctz(io->size);
    site.out = io->out;
    site.string = io->string;
    site.rep = io->rep;
    site.address_log2 = (unsigned)__builtin_ctz(io->address);
    site.immediate = io->immediate;
    site.port = io->imm;
    if (io->string)
        qemu_plugin_register_vcpu_mem_cb(insn, string_cb, CB_NO_REGS, io->out ? MEM_R : MEM_W, NULL);
    qemu_plugin_register_vcpu_insn_exec_cb(insn, io_cb, CB_RW_REGS_PC, site.packed);
}

static uint64_t *after_rdtsc_slot(uint64_t vaddr) {
    return &after_rdtsc[(vaddr ^ vaddr >> 10) % (sizeof after_rdtsc / sizeof *after_rdtsc)];
}

static void hook_rdtsc(struct qemu_plugin_insn *insn, size_t len) {
    uint64_t next = qemu_plugin_insn_vaddr(insn) + len;

    __atomic_store_n(after_rdtsc_slot(next), next, __ATOMIC_RELAXED);
    qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, OP_ADD_U64, oob_tsc_marks, 1);
}

static void hook_landing(struct qemu_plugin_insn *insn) {
    qemu_plugin_register_vcpu_insn_exec_cond_cb(insn, landing_cb, CB_RW_REGS, COND_NE, oob_passing_marks, 0, NULL);
}

static bool decode_io(struct qemu_plugin_insn *insn, const uint8_t *bytes, size_t len, struct oob_io_insn *io) {
    char *disassembly;

    if (!oob_decode_io(bytes, len, io) || io->length != len)
        return false;
    if (io->size > 1 || io->string) {
        disassembly = qemu_plugin_insn_disas(insn);
        oob_decode_io_sizes(disassembly, io);
        g_free(disassembly);
    }
    return true;
}

/* Registers the callbacks of an instruction of L2. Returns true when the CPU may execute the instruction at another
 * port, so that the next instruction needs a callback, too. */
static bool hook_l2(struct qemu_plugin_insn *insn, const uint8_t *bytes, size_t len, uint64_t cs_base) {
    struct oob_io_insn io;
    bool is_io = decode_io(insn, bytes, len, &io) && may_be_ours(&io);

    if (oob_is_wrmsr(bytes, len))
        qemu_plugin_register_vcpu_insn_exec_cb(insn, wrmsr_cb, CB_RW_REGS, NULL);
    else if (oob_is_rdtsc(bytes, len))
        hook_rdtsc(insn, len);
    else if (is_io)
        hook_io(insn, &io, cs_base);
    return is_io;
}

static void hook_first(struct qemu_plugin_insn *first, bool guest, bool doubtful) {
    uint64_t vaddr = qemu_plugin_insn_vaddr(first);

    if (vaddr == OOB_RESET_VECTOR) {
        if (!guest)
            require_disassembler(first);
        qemu_plugin_register_vcpu_insn_exec_cb(first, reset_vector_cb, CB_R_REGS, NULL);
    }
    if (!guest)
        qemu_plugin_register_vcpu_insn_exec_cond_cb(first, exit_cb, CB_RW_REGS, COND_NE, oob_guest_marks, 0, NULL);
    if (doubtful)
        qemu_plugin_register_vcpu_insn_exec_cond_cb(first, doubtful_cb, CB_RW_REGS, COND_NE, oob_guest_marks, 0,
                                                    NULL);
    if (guest && __atomic_load_n(after_rdtsc_slot(vaddr), __ATOMIC_RELAXED) == vaddr)
        qemu_plugin_register_vcpu_insn_exec_cond_cb(first, rdtsc_cb, CB_R_REGS, COND_GE, oob_tsc_marks, RDTSC_SAMPLED,
                                                    NULL);
}

static void translate_cb(struct qemu_plugin_tb *tb, void *unused) {
    struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(tb, 0);
    unsigned vcpu = (unsigned)this_vcpu;
    bool guest = this_vcpu >= 0 && oob_in_guest(vcpu);
    /* A block is translated when the CPU is about to run it. So RIP is the address of its first instruction. */
    uint64_t cs_base = guest ? qemu_plugin_insn_vaddr(first) - oob_reg_read(&oob_l1, vcpu, OOB_REG_RIP) : 0;
    bool landing = guest; /* the previous block may have ended with an access */

    (void)unused;
    hook_first(first, guest, guest && oob_in_doubt(vcpu));
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint8_t bytes[OOB_INSN_MAX];
        size_t len = qemu_plugin_insn_data(insn, bytes, sizeof bytes);

        if (landing)
            hook_landing(insn);
        if (guest)
            landing = hook_l2(insn, bytes, len, cs_base);
        else
            hook_l1(insn, bytes, len);
    }
}

static void vcpu_init_cb(unsigned vcpu, void *unused) {
    const char *missing;

    (void)unused;
    if (vcpu >= OOB_VCPUS_MAX)
        die("more vCPUs than the plugin tracks (64)", NULL);
    if (this_vcpu >= 0)
        die("several vCPUs share a thread: run QEMU with -accel tcg,thread=multi", NULL);
    this_vcpu = (int)vcpu;
    if (!oob_cpu_init(vcpu, &missing))
        die("this QEMU does not show a register that is needed", missing);
}

/* QEMU ends. What a guest has printed last must not be lost. */
static void atexit_cb(void *unused) {
    (void)unused;
    oob_lock();
    oob_link_end(&oob_l1);
    oob_unlock();
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    char error[256];

    if (info->version.cur < OOB_PLUGIN_API || strcmp(info->target_name, "x86_64") != 0 || !info->system_emulation) {
        fprintf(stderr, "oob_tcg: QEMU's qemu-system-x86_64 11.1 or newer is needed (plugin interface %d)\n",
                OOB_PLUGIN_API);
        return 1;
    }
    if (!oob_options_parse(&oob_options, argc, argv, error)) {
        fprintf(stderr, "oob_tcg: %s\n", error);
        return 1;
    }
    oob_machine_init(&oob_l1, &oob_svm);
    memcpy(oob_l1.name, oob_options.machine, sizeof oob_l1.name);
    oob_l1.bus = oob_options.bus;
    if (!oob_connector_start()) {
        fprintf(stderr, "oob_tcg: cannot start the thread that connects to %s\n", oob_options.socket);
        return 1;
    }
    oob_marks_init();
    qemu_plugin_register_vcpu_init_cb(id, vcpu_init_cb, NULL);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate_cb, NULL);
    qemu_plugin_register_vcpu_discon_cb(id, DISCON_EXCEPTION, discon_cb, NULL);
    qemu_plugin_register_atexit_cb(id, atexit_cb, NULL);
    return 0;
}
