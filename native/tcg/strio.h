/* SPDX-License-Identifier: GPL-2.0-or-later */
/* String I/O of an L2 at our ports: INS and OUTS, with and without REP. */
#ifndef OOB_STRIO_H
#define OOB_STRIO_H

#include <stdint.h>

#include "context.h"
#include "decode.h"
#include "intercept.h"

/* Does not return, unless the instruction is left to the CPU: because its memory operand will fault, or is not
 * there in L1's nested page table. Then no byte of ours has moved. Call without oob_lock. */
void oob_string_io(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port, enum oob_mode mode,
                   unsigned size);

#endif
