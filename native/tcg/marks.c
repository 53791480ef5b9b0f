/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "marks.h"

#include <stdint.h>

/* The marks of one vCPU. QEMU allocates them. */
struct marks {
    uint64_t guest, tsc, passing;
};

qemu_plugin_u64 oob_guest_marks, oob_tsc_marks, oob_passing_marks;

void oob_marks_init(void) {
    struct qemu_plugin_scoreboard *scores = qemu_plugin_scoreboard_new(sizeof(struct marks));

    oob_guest_marks = (qemu_plugin_u64){.score = scores, .offset = offsetof(struct marks, guest)};
    oob_tsc_marks = (qemu_plugin_u64){.score = scores, .offset = offsetof(struct marks, tsc)};
    oob_passing_marks = (qemu_plugin_u64){.score = scores, .offset = offsetof(struct marks, passing)};
}

void oob_mark_guest(unsigned vcpu, bool guest) {
    qemu_plugin_u64_set(oob_guest_marks, vcpu, guest);
}

bool oob_guest_mark(unsigned vcpu) {
    return qemu_plugin_u64_get(oob_guest_marks, vcpu) != 0;
}

void oob_mark_passing(unsigned vcpu, bool passing) {
    qemu_plugin_u64_set(oob_passing_marks, vcpu, passing);
}

bool oob_passing_mark(unsigned vcpu) {
    return qemu_plugin_u64_get(oob_passing_marks, vcpu) != 0;
}

void oob_marks_no_tsc(unsigned vcpu) {
    qemu_plugin_u64_set(oob_tsc_marks, vcpu, 0);
}
