/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Just enough of the x86 instruction set: port I/O, and stores and loads that reach an IOAPIC. Pure. */
#ifndef OOB_DECODE_H
#define OOB_DECODE_H

#include "types.h"

enum { OOB_INSN_MAX = 15 }; /* AMD APM vol. 3, 1.1: an instruction is at most 15 bytes long */

/* A port I/O instruction (AMD APM vol. 3: IN, OUT, INS, OUTS). */
struct oob_io_insn {
    uint8_t length;
    uint8_t size;    /* bytes an access moves: 1, 2 or 4 */
    uint8_t address; /* INS, OUTS: bytes of an address: 2, 4 or 8 */
    uint8_t imm;     /* the port, when `immediate` */
    bool out;
    bool immediate;
    bool string;
    bool rep;
    bool wide; /* REX.W */
};

/* The operating mode that instruction bytes are decoded in: the default operand and address size. */
enum oob_mode { OOB_MODE_16, OOB_MODE_32, OOB_MODE_64 };

/* The sizes are those of 64-bit code. */
bool oob_decode_io(const uint8_t *bytes, size_t len, struct oob_io_insn *io);
/* The same bytes may be 16-bit or 32-bit code, for all that a plugin is told. Takes the sizes from the disassembly,
 * in AT&T's syntax: "rep outsw %es:(%esi), %dx". */
void oob_decode_io_sizes(const char *disassembly, struct oob_io_insn *io);

/* A 32-bit MOV between memory and a register, or of an immediate to memory. */
struct oob_mov_insn {
    bool store;
    bool immediate;
    uint8_t reg; /* 0 RAX .. 15 R15, when not `immediate` */
    uint32_t value;
};

bool oob_decode_mov(const uint8_t *bytes, size_t len, enum oob_mode mode, struct oob_mov_insn *mov);

bool oob_is_vmrun(const uint8_t *bytes, size_t len, bool *overridden); /* ... its address size */
bool oob_is_wrmsr(const uint8_t *bytes, size_t len);
bool oob_is_rdtsc(const uint8_t *bytes, size_t len); /* RDTSC or RDTSCP */

#endif
