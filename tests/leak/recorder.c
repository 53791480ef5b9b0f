/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A second plugin, which only `make leak` uses. It records what L1 gets of L2's registers at each #VMEXIT, and what
 * stands in the VMCB when L2 goes on. Why is it a plugin of its own? The interceptor must be measured as it is used,
 * without anything added to it.
 *
 * It has one option: out=FILE. Records are appended to that file (tests/leak/exits.py reads them).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpu.h"
#include "decode.h"
#include "qemu_plugin_api.h"
#include "vmcb.h"

OOB_EXPORT int qemu_plugin_version = OOB_PLUGIN_API;
OOB_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv);

enum kind { ENTRY, EXIT };

struct record {
    uint64_t kind;
    uint64_t vmcb; /* the physical address of the VMCB */
    uint64_t cr3;  /* L1's CR3 */
    uint64_t exitcode, exitinfo1;
    uint64_t rip;
    uint64_t rax;                  /* L2's RAX, from the VMCB */
    uint64_t gpr[OOB_REG_R15 + 1]; /* the CPU's registers. They are L2's, except RAX and RSP */
};

static int out = -1;
/* KVM has one VMRUN instruction. After a #VMEXIT, L1 goes on right behind it. */
static uint64_t after_vmrun;
static uint64_t vmcbs[OOB_VCPUS_MAX]; /* 0: every VMRUN was followed by its #VMEXIT */

static void die(const char *what, const char *detail) {
    fprintf(stderr, "recorder: %s: %s\n", what, detail);
    exit(EXIT_FAILURE);
}

static void record(unsigned vcpu, enum kind kind) {
    uint64_t vmcb = vmcbs[vcpu];
    struct record r = {
        .kind = kind,
        .vmcb = vmcb,
        .cr3 = oob_reg_read(NULL, vcpu, OOB_REG_CR3),
        .exitcode = oob_phys_read_u64(NULL, vmcb + VMCB_EXITCODE),
        .exitinfo1 = oob_phys_read_u64(NULL, vmcb + VMCB_EXITINFO1),
        .rip = oob_phys_read_u64(NULL, vmcb + VMCB_RIP),
        .rax = oob_phys_read_u64(NULL, vmcb + VMCB_RAX),
    };

    for (unsigned i = 0; i <= OOB_REG_R15; i++)
        r.gpr[i] = oob_reg_read(NULL, vcpu, i);
    if (write(out, &r, sizeof r) != sizeof r)
        die("cannot write a record", strerror(errno));
}

static void vmrun_cb(unsigned vcpu, void *unused) {
    (void)unused;
    vmcbs[vcpu] = oob_reg_read(NULL, vcpu, OOB_REG_RAX);
    record(vcpu, ENTRY);
}

static void behind_cb(unsigned vcpu, void *unused) {
    (void)unused;
    if (!vmcbs[vcpu])
        return;
    record(vcpu, EXIT);
    vmcbs[vcpu] = 0;
}

static void translate_cb(struct qemu_plugin_tb *tb, void *unused) {
    (void)unused;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        uint64_t at = qemu_plugin_insn_vaddr(insn);
        uint8_t bytes[OOB_INSN_MAX];
        size_t len = qemu_plugin_insn_data(insn, bytes, sizeof bytes);
        bool overridden;

        if (oob_is_vmrun(bytes, len, &overridden)) {
            __atomic_store_n(&after_vmrun, at + len, __ATOMIC_RELAXED);
            qemu_plugin_register_vcpu_insn_exec_cb(insn, vmrun_cb, CB_R_REGS, NULL);
        } else if (at == __atomic_load_n(&after_vmrun, __ATOMIC_RELAXED)) {
            qemu_plugin_register_vcpu_insn_exec_cb(insn, behind_cb, CB_R_REGS, NULL);
        }
    }
}

static void vcpu_init_cb(unsigned vcpu, void *unused) {
    const char *missing;

    (void)unused;
    if (vcpu >= OOB_VCPUS_MAX || !oob_cpu_init(vcpu, &missing))
        die("this QEMU has too many vCPUs, or does not show", vcpu >= OOB_VCPUS_MAX ? "them all" : missing);
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0)
        die("wants one option", "out=FILE");
    out = open(argv[0] + 4, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out < 0)
        die(argv[0] + 4, strerror(errno));
    qemu_plugin_register_vcpu_init_cb(id, vcpu_init_cb, NULL);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate_cb, NULL);
    return 0;
}
