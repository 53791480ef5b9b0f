/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The instruction decoder on arbitrary bytes, in each mode. Sources: AMD APM vol. 3, 1.2 and appendix A. */
#include "decode.h"

#include "target.h"

static bool is_prefix(uint8_t byte, enum oob_mode mode) {
    static const uint8_t legacy[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3};

    return memchr(legacy, byte, sizeof legacy) || (mode == OOB_MODE_64 && byte >> 4 == 4);
}

static size_t prefixes(const uint8_t *bytes, size_t size, enum oob_mode mode) {
    size_t n = 0;

    while (n < size && is_prefix(bytes[n], mode))
        n++;
    return n;
}

static bool has(const uint8_t *bytes, size_t count, uint8_t prefix) {
    return memchr(bytes, prefix, count) != NULL;
}

/* Only as the last prefix (1.2.7). */
static uint8_t rex_of(const uint8_t *bytes, size_t count, enum oob_mode mode) {
    return mode == OOB_MODE_64 && count && bytes[count - 1] >> 4 == 4 ? bytes[count - 1] : 0;
}

/* IN and OUT are e4..e7 and ec..ef, INS and OUTS 6c..6f (table A-1): all but the sizes is in the opcode. */
static void check_io(const uint8_t *bytes, size_t size, const struct oob_io_insn *io) {
    size_t count = prefixes(bytes, size, OOB_MODE_64);
    uint8_t opcode = bytes[count], row = opcode & 0xfc;
    bool wide = rex_of(bytes, count, OOB_MODE_64) & 8;

    REQUIRE(io->length <= size && io->length == count + 1 + io->immediate, "length %u of %zu", io->length, size);
    REQUIRE(row == 0xe4 || row == 0xec || row == 0x6c, "opcode %02x", opcode);
    REQUIRE(io->immediate == (row == 0xe4) && io->string == (row == 0x6c), "opcode %02x", opcode);
    REQUIRE(io->out == ((opcode & 2) != 0), "opcode %02x", opcode);
    REQUIRE(!io->immediate || io->imm == bytes[count + 1], "port %x", io->imm);
    REQUIRE(!has(bytes, count, 0xf0), "LOCK makes it an invalid opcode (1.2.5)");
    REQUIRE(io->wide == wide, "REX.W %d", io->wide);
    REQUIRE(io->size == (!(opcode & 1) ? 1 : has(bytes, count, 0x66) && !wide ? 2 : 4), "size %u", io->size);
    REQUIRE(io->address == (has(bytes, count, 0x67) ? 4 : 8), "address size %u", io->address);
    REQUIRE(!io->string || io->rep == (has(bytes, count, 0xf2) || has(bytes, count, 0xf3)), "rep %d", io->rep);
}

static bool must_be_io(const uint8_t *bytes, size_t size) {
    size_t count = prefixes(bytes, size, OOB_MODE_64), left = size - count;
    uint8_t row = left ? bytes[count] & 0xfc : 0;

    return !has(bytes, count, 0xf0) && (row == 0xec || row == 0x6c || (row == 0xe4 && left > 1));
}

static bool same_io(const struct oob_io_insn *a, const struct oob_io_insn *b) {
    return a->length == b->length && a->size == b->size && a->address == b->address && a->imm == b->imm &&
           a->out == b->out && a->immediate == b->immediate && a->string == b->string && a->rep == b->rep &&
           a->wide == b->wide;
}

static bool decode_io(const uint8_t *bytes, size_t size, struct oob_io_insn *io) {
    uint8_t *copy = exactly(bytes, size);
    bool is = oob_decode_io(copy, size, io);

    free(copy);
    return is;
}

/* An instruction is one from its last byte on, and the same whatever follows. */
static void fuzz_io(const uint8_t *bytes, size_t size) {
    struct oob_io_insn whole, part;
    bool is = decode_io(bytes, size, &whole);

    if (is)
        check_io(bytes, size, &whole);
    REQUIRE(is || !must_be_io(bytes, size), "not taken for port I/O");
    for (size_t n = 0; n < size; n++) {
        bool expected = is && n >= whole.length;

        REQUIRE(decode_io(bytes, n, &part) == expected, "%zu of %zu bytes", n, size);
        REQUIRE(!expected || same_io(&whole, &part), "%zu of %zu bytes mean something else", n, size);
    }
}

/* A text is no instruction's by right: whatever it says, sizes are sizes. */
static void fuzz_sizes(const uint8_t *bytes, size_t size) {
    char *text = strndup((const char *)bytes, size);
    struct oob_io_insn io = {.size = 4, .address = 8, .string = true};

    REQUIRE(text, "no memory for %zu bytes", size);
    oob_decode_io_sizes(text, &io);
    REQUIRE(io.size == 2 || io.size == 4, "size %u", io.size);
    REQUIRE(io.address == 2 || io.address == 4 || io.address == 8, "address size %u", io.address);
    free(text);
}

static bool same_mov(const struct oob_mov_insn *a, const struct oob_mov_insn *b) {
    return a->store == b->store && a->immediate == b->immediate && a->reg == b->reg && a->value == b->value;
}

static bool decode_mov(const uint8_t *bytes, size_t size, enum oob_mode mode, struct oob_mov_insn *mov) {
    uint8_t *copy = exactly(bytes, size);
    bool is = oob_decode_mov(copy, size, mode, mov);

    free(copy);
    return is;
}

/* Opcode, ModRM, SIB, displacement and immediate (1.4). */
static size_t mov_length(const uint8_t *bytes, size_t count, enum oob_mode mode) {
    bool other = has(bytes, count, 0x67), narrow = mode != OOB_MODE_64 && (mode == OOB_MODE_16) != other;
    uint8_t opcode = bytes[count], modrm = bytes[count + 1], mod = modrm >> 6, rm = modrm & 7;
    bool sib = !narrow && rm == 4;
    bool bare = mod == 0 && (narrow ? rm == 6 : sib ? (bytes[count + 2] & 7) == 5 : rm == 5);
    size_t displacement = mod == 1 ? 1 : mod == 2 || bare ? (narrow ? 2 : 4) : 0;

    if (opcode == 0xa1 || opcode == 0xa3)
        return count + 1 + (mode == OOB_MODE_64 ? (other ? 4 : 8) : narrow ? 2 : 4);
    return count + 2 + sib + displacement + (opcode == 0xc7 ? 4 : 0);
}

static void check_mov(const uint8_t *bytes, size_t size, enum oob_mode mode, const struct oob_mov_insn *mov) {
    size_t count = prefixes(bytes, size, mode);
    uint8_t opcode = bytes[count];
    bool modrm = opcode == 0x89 || opcode == 0x8b, moffs = opcode == 0xa1 || opcode == 0xa3;
    uint8_t rex = rex_of(bytes, count, mode);
    unsigned rex_r = rex >> 2 & 1;

    REQUIRE(opcode == 0x89 || opcode == 0x8b || opcode == 0xa1 || opcode == 0xa3 || opcode == 0xc7, "%02x", opcode);
    REQUIRE(moffs || bytes[count + 1] < 0xc0, "ModRM %02x names a register", bytes[count + 1]);
    REQUIRE(opcode != 0xc7 || !(bytes[count + 1] & 0x38), "ModRM %02x of another instruction", bytes[count + 1]);
    REQUIRE(mov->store == (opcode != 0x8b && opcode != 0xa1), "opcode %02x", opcode);
    REQUIRE(mov->immediate == (opcode == 0xc7) && (mov->immediate || !mov->value), "value %x", mov->value);
    REQUIRE(mov->reg == (modrm ? ((bytes[count + 1] >> 3 & 7) | rex_r << 3) : 0), "register %u", mov->reg);
    REQUIRE(has(bytes, count, 0x66) == (mode == OOB_MODE_16), "not 32 bits wide");
    REQUIRE(!(rex & 8), "64 bits wide");
}

static void fuzz_mov(const uint8_t *bytes, size_t size, enum oob_mode mode) {
    struct oob_mov_insn whole, part;
    bool is = decode_mov(bytes, size, mode, &whole);
    size_t length = is ? mov_length(bytes, prefixes(bytes, size, mode), mode) : 0;

    if (is)
        check_mov(bytes, size, mode, &whole);
    for (size_t n = 0; n <= size; n++) {
        bool expected = is && n >= length;

        REQUIRE(decode_mov(bytes, n, mode, &part) == expected, "%zu of %zu bytes", n, size);
        REQUIRE(!expected || same_mov(&whole, &part), "%zu of %zu bytes mean something else", n, size);
    }
}

/* These are asked about one whole instruction: prefixes, then the opcode and nothing else. */
static void fuzz_whole(const uint8_t *bytes, size_t size) {
    uint8_t *copy = exactly(bytes, size);
    size_t count = prefixes(bytes, size, OOB_MODE_64), left = size - count;
    bool overridden, vmrun = oob_is_vmrun(copy, size, &overridden), wrmsr = oob_is_wrmsr(copy, size);

    REQUIRE(vmrun == (left == 3 && !memcmp(bytes + count, "\x0f\x01\xd8", 3)), "VMRUN");
    REQUIRE(!vmrun || overridden == has(bytes, count, 0x67), "the address size of VMRUN");
    REQUIRE(wrmsr == (left == 2 && !memcmp(bytes + count, "\x0f\x30", 2)), "WRMSR");
    REQUIRE(vmrun + wrmsr + oob_is_rdtsc(copy, size) <= 1, "two at once");
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* What QEMU shows of an instruction, and what learn_ioapic_write() reads: never more. */
    if (size > OOB_INSN_MAX)
        return -1;
    fuzz_io(data, size);
    fuzz_sizes(data, size);
    for (enum oob_mode mode = OOB_MODE_16; mode <= OOB_MODE_64; mode++)
        fuzz_mov(data, size, mode);
    fuzz_whole(data, size);
    return 0;
}
