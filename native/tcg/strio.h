/* SPDX-License-Identifier: GPL-2.0-or-later */
/* String I/O of an L2 at our ports: INS and OUTS, with and without REP. */
#ifndef OOB_STRIO_H
#define OOB_STRIO_H

#include <stdbool.h>
#include <stdint.h>

#include "context.h"
#include "decode.h"
#include "intercept.h"

/* True when L2 is to go on at `pc`, which may be the same instruction again. False when the instruction is left to
 * the CPU, because its memory operand will fault, or is not there in L1's nested page table: then nothing has
 * moved. Call with oob_lock held. */
bool oob_string_io(unsigned vcpu, struct oob_l2_vcpu *l2, union oob_io_site site, uint16_t port, enum oob_mode mode,
                   unsigned size, uint64_t *pc);

#endif
