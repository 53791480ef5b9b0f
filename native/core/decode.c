/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "decode.h"

struct prefixes {
    size_t count;
    uint8_t rex;
    bool operand;
    bool address;
    bool rep;
    bool lock;
};

/* Notes a prefix. Returns false when the byte is none. A REX prefix counts only directly before the opcode: a legacy
 * prefix after it makes it void (AMD APM vol. 3, 1.2.7). */
static bool take_prefix(struct prefixes *p, uint8_t byte, enum oob_mode mode) {
    if (mode == OOB_MODE_64 && (byte & 0xf0) == 0x40) {
        p->rex = byte;
        return true;
    }
    switch (byte) {
    case 0x26: /* segment overrides: they do not matter here, because the CPU itself executes the instruction */
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65: break;
    case 0x66: p->operand = true; break;
    case 0x67: p->address = true; break;
    case 0xf0: p->lock = true; break;
    case 0xf2:
    case 0xf3: p->rep = true; break;
    default: return false;
    }
    p->rex = 0;
    return true;
}

static size_t at_most_an_instruction(size_t len) {
    return len < OOB_INSN_MAX ? len : OOB_INSN_MAX;
}

static struct prefixes prefixes_of(const uint8_t *bytes, size_t len, enum oob_mode mode) {
    struct prefixes p = {.count = 0};

    while (p.count < len && take_prefix(&p, bytes[p.count], mode))
        p.count++;
    return p;
}

static uint8_t operand_size(uint8_t opcode, const struct prefixes *p, enum oob_mode mode) {
    if (!(opcode & 1))
        return 1;
    if (p->rex & 8) /* REX.W wins over the prefix 66; port I/O has no 64-bit form, so the size is 4 */
        return 4;
    return (mode == OOB_MODE_16) != p->operand ? 2 : 4;
}

static uint8_t address_size(bool overridden, enum oob_mode mode) {
    switch (mode) {
    case OOB_MODE_64: return overridden ? 4 : 8;
    case OOB_MODE_32: return overridden ? 2 : 4;
    default: return overridden ? 4 : 2;
    }
}

bool oob_decode_io(const uint8_t *bytes, size_t len, struct oob_io_insn *io) {
    struct prefixes p = prefixes_of(bytes, len = at_most_an_instruction(len), OOB_MODE_64);
    uint8_t opcode;

    if (p.count >= len || p.lock) /* with LOCK the instruction raises #UD */
        return false;
    opcode = bytes[p.count];
    *io = (struct oob_io_insn){
        .length = (uint8_t)(p.count + 1),
        .size = operand_size(opcode, &p, OOB_MODE_64),
        .address = address_size(p.address, OOB_MODE_64),
        .wide = p.rex & 8,
    };
    switch (opcode) {
    case 0xe4: /* IN AL, imm8 */
    case 0xe5:
    case 0xe6: /* OUT imm8, AL */
    case 0xe7:
        if (p.count + 1 >= len)
            return false;
        io->immediate = true;
        io->imm = bytes[p.count + 1];
        io->length++;
        io->out = opcode >= 0xe6;
        return true;
    case 0xec: /* IN AL, DX */
    case 0xed:
    case 0xee: /* OUT DX, AL */
    case 0xef: io->out = opcode >= 0xee; return true;
    case 0x6c: /* INSB */
    case 0x6d:
    case 0x6e: /* OUTSB */
    case 0x6f:
        io->string = true;
        io->rep = p.rep;
        io->out = opcode >= 0x6e;
        return true;
    default: return false;
    }
}

/* How many characters come before the first operand, which is a register, an address or a number. */
static size_t before_operands(const char *disassembly) {
    size_t n = 0;

    while (disassembly[n] && disassembly[n] != '%' && disassembly[n] != '(' && disassembly[n] != '$')
        n++;
    return n;
}

void oob_decode_io_sizes(const char *disassembly, struct oob_io_insn *io) {
    size_t end = before_operands(disassembly), paren = end;

    while (disassembly[paren] && disassembly[paren] != '(')
        paren++;
    while (end && disassembly[end - 1] == ' ')
        end--;
    if (io->size > 1 && !io->wide && end) /* not with REX.W: some disassemblers wrongly let 66 win over it */
        io->size = disassembly[end - 1] == 'w' ? 2 : 4;
    if (io->string && disassembly[paren] && disassembly[paren + 1] == '%') {
        char width = disassembly[paren + 2];

        io->address = width == 'r' ? 8 : width == 'e' ? 4 : 2;
    }
}

/* The length of ModRM, SIB and displacement together, in bytes. 0 when they are longer than `len`, or when the
 * operand is a register and not memory. */
static size_t memory_operand_length(const uint8_t *bytes, size_t len, uint8_t addr_size) {
    uint8_t mod, rm;
    size_t n = 1;

    if (len < 1)
        return 0;
    mod = bytes[0] >> 6;
    rm = bytes[0] & 7;
    if (mod == 3)
        return 0;
    if (addr_size == 2) {
        n += mod == 1 ? 1 : (mod == 2 || rm == 6) ? 2 : 0;
    } else {
        bool sib = rm == 4;

        if (sib && len < 2)
            return 0;
        n += sib;
        if (mod == 1)
            n += 1;
        else if (mod == 2 || (!sib && rm == 5) || (sib && (bytes[1] & 7) == 5))
            n += 4;
    }
    return n <= len ? n : 0;
}

bool oob_decode_mov(const uint8_t *bytes, size_t len, enum oob_mode mode, struct oob_mov_insn *mov) {
    struct prefixes p = prefixes_of(bytes, len = at_most_an_instruction(len), mode);
    uint8_t opcode, addr = address_size(p.address, mode);
    const uint8_t *rest;
    size_t n;

    if (p.count + 1 >= len || operand_size(1, &p, mode) != 4 || (p.rex & 8))
        return false;
    opcode = bytes[p.count];
    rest = bytes + p.count + 1;
    len -= p.count + 1;
    *mov = (struct oob_mov_insn){.store = opcode != 0x8b && opcode != 0xa1};
    switch (opcode) {
    case 0x89: /* MOV r/m32, r32 */
    case 0x8b: /* MOV r32, r/m32 */
        mov->reg = (uint8_t)(((rest[0] >> 3) & 7) | ((p.rex & 4) << 1));
        return memory_operand_length(rest, len, addr) != 0;
    case 0xa1: /* MOV EAX, moffs */
    case 0xa3: return len >= addr;
    case 0xc7: /* MOV r/m32, imm32 */
        n = memory_operand_length(rest, len, addr);
        if (!n || ((rest[0] >> 3) & 7) || len < n + 4)
            return false;
        mov->immediate = true;
        memcpy(&mov->value, rest + n, sizeof mov->value);
        return true;
    default: return false;
    }
}

/* Is the whole instruction nothing but prefixes and `opcode`? An instruction that only ends with the bytes of
 * `opcode` is another one. */
static bool is_exactly(const uint8_t *bytes, size_t len, const char *opcode, size_t n) {
    struct prefixes p = prefixes_of(bytes, len, OOB_MODE_64);

    return len == p.count + n && memcmp(bytes + p.count, opcode, n) == 0;
}

bool oob_is_vmrun(const uint8_t *bytes, size_t len, bool *overridden) {
    *overridden = prefixes_of(bytes, len, OOB_MODE_64).address;
    return is_exactly(bytes, len, "\x0f\x01\xd8", 3);
}

bool oob_is_wrmsr(const uint8_t *bytes, size_t len) {
    return is_exactly(bytes, len, "\x0f\x30", 2);
}

bool oob_is_rdtsc(const uint8_t *bytes, size_t len) {
    return is_exactly(bytes, len, "\x0f\x31", 2) || is_exactly(bytes, len, "\x0f\x01\xf9", 3);
}
