/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an L2 instruction may do and where its operands lie: mode, privilege, segment bases. */
#ifndef OOB_SEGMENT_H
#define OOB_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "decode.h"

/* The mode of the code that `vcpu` runs in L2, whose VMCB is `vmcb`. */
enum oob_mode oob_l2_mode(unsigned vcpu, uint64_t vmcb, uint64_t ncr3);

/* May L2's code reach these ports: by CPL and IOPL, else by the TSS (AMD APM vol. 2, 12.2.4)? When not,
 * the instruction is left to fault by itself. */
bool oob_l2_io_allowed(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, uint16_t port, unsigned size);

struct oob_segment {
    uint64_t base;  /* linear address */
    uint64_t limit; /* the last valid offset */
};

/* Segment 0 (ES) .. 5 (GS). False when it cannot be read or is not good for reading, or for writing: the CPU
 * then finds the fault by itself. */
bool oob_l2_segment(unsigned vcpu, uint64_t vmcb, uint64_t ncr3, unsigned segment, bool write,
                    struct oob_segment *found);

/* The privilege level of the code that runs, 0 to 3. */
unsigned oob_l2_cpl(unsigned vcpu);

#endif
