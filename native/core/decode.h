/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decodes the few x86 instructions that matter here: port I/O, the stores and loads that reach an IOAPIC, VMRUN,
 * WRMSR and RDTSC. Pure. */
#ifndef OOB_DECODE_H
#define OOB_DECODE_H

#include "types.h"

enum { OOB_INSN_MAX = 15 }; /* AMD APM vol. 3, 1.1: an instruction is at most 15 bytes long */

/* A port I/O instruction (AMD APM vol. 3: IN, OUT, INS, OUTS). */
struct oob_io_insn {
    uint8_t length;
    uint8_t size;    /* how many bytes one access moves: 1, 2 or 4 */
    uint8_t address; /* INS, OUTS: how many bytes an address has: 2, 4 or 8 */
    uint8_t imm;     /* the port, when `immediate` */
    bool out;
    bool immediate;
    bool string;
    bool rep;
    bool wide; /* it has REX.W */
};

/* The operating mode of the code. It gives the default size of operands and addresses. */
enum oob_mode { OOB_MODE_16, OOB_MODE_32, OOB_MODE_64 };

/* Decodes a port I/O instruction, with the sizes that it has in 64-bit code. Returns false when it is another
 * instruction. */
bool oob_decode_io(const uint8_t *bytes, size_t len, struct oob_io_insn *io);
/* Corrects the sizes. The same bytes may be 16-bit or 32-bit code, and QEMU does not tell a plugin which. But the
 * disassembly shows the sizes; it is in AT&T's syntax: "rep outsw %es:(%esi), %dx". */
void oob_decode_io_sizes(const char *disassembly, struct oob_io_insn *io);

/* A 32-bit MOV between memory and a register, or from an immediate to memory. */
struct oob_mov_insn {
    bool store;
    bool immediate;
    uint8_t reg; /* 0 RAX .. 15 R15, when not `immediate` */
    uint32_t value;
};

/* Decodes such a MOV. Returns false when it is another instruction. */
bool oob_decode_mov(const uint8_t *bytes, size_t len, enum oob_mode mode, struct oob_mov_insn *mov);

/* Are these bytes that instruction? They must be the whole instruction. `*overridden`: a prefix changes the size of
 * the address that VMRUN uses. */
bool oob_is_vmrun(const uint8_t *bytes, size_t len, bool *overridden);
bool oob_is_wrmsr(const uint8_t *bytes, size_t len);
bool oob_is_rdtsc(const uint8_t *bytes, size_t len); /* RDTSC or RDTSCP */

#endif
