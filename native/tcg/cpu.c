/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu.h"

#include <string.h>

#include "qemu_plugin_api.h"

static const char *const reg_names[OOB_REG_COUNT] = {
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp",    "rsi", "rdi", "r8",  "r9",   "r10", "r11",
    "r12", "r13", "r14", "r15", "rip", "eflags", "cr0", "cr3", "cr4", "efer", "cs",
};

static struct qemu_plugin_register *reg_handles[OOB_VCPUS_MAX][OOB_REG_COUNT];

/* QEMU copies registers and memory through a GByteArray. Each thread keeps one, because a new one for each access
 * would cost an allocation. */
static GByteArray *scratch(void) {
    static _Thread_local GByteArray *array;

    if (!array)
        array = g_byte_array_new();
    g_byte_array_set_size(array, 0);
    return array;
}

bool oob_cpu_init(unsigned vcpu, const char **missing) {
    GArray *regs = qemu_plugin_get_registers();

    for (guint i = 0; i < regs->len; i++) {
        const qemu_plugin_reg_descriptor *reg = &g_array_index(regs, qemu_plugin_reg_descriptor, i);

        for (size_t r = 0; r < OOB_REG_COUNT; r++)
            if (strcmp(reg->name, reg_names[r]) == 0)
                reg_handles[vcpu][r] = reg->handle;
    }
    g_array_free(regs, TRUE);
    for (size_t r = 0; r < OOB_REG_COUNT; r++)
        if (!reg_handles[vcpu][r]) {
            *missing = reg_names[r];
            return false;
        }
    return true;
}

uint64_t oob_reg_read(struct oob_machine *machine, unsigned vcpu, enum oob_reg reg) {
    GByteArray *array = scratch();
    uint64_t value = 0;

    (void)machine;
    if (qemu_plugin_read_register(reg_handles[vcpu][reg], array))
        memcpy(&value, array->data, MIN(array->len, sizeof value));
    return value;
}

void oob_reg_write(struct oob_machine *machine, unsigned vcpu, enum oob_reg reg, uint64_t value) {
    GByteArray *array = scratch();

    (void)machine;
    g_byte_array_append(array, (const guint8 *)&value, sizeof value);
    qemu_plugin_write_register(reg_handles[vcpu][reg], array);
}

bool oob_phys_read(struct oob_machine *machine, uint64_t addr, void *data, size_t len) {
    GByteArray *array = scratch();

    (void)machine;
    memset(data, 0, len);
    if (qemu_plugin_read_memory_hwaddr(addr, array, len) != 0)
        return false;
    memcpy(data, array->data, MIN(array->len, len));
    return true;
}

bool oob_phys_write(struct oob_machine *machine, uint64_t addr, const void *data, size_t len) {
    GByteArray *array = scratch();

    (void)machine;
    g_byte_array_append(array, data, (guint)len);
    return qemu_plugin_write_memory_hwaddr(addr, array) == 0;
}
