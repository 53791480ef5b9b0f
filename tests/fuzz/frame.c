/* SPDX-License-Identifier: GPL-2.0-or-later */
/* oob_frame_parse() and oob_frame_version() on a server's byte stream: docs/wire-protocol.md, oob_wire.h. */
#include "frame.h"

#include "target.h"

/* A frame is never longer than the longest that a server sends: with so many bytes, there is an answer. */
enum { DECIDES = sizeof(union oob_frame) };

/* -- what the parser has to answer: a second reading of docs/wire-protocol.md, "What does the server say?" -- */

static unsigned u16(const uint8_t *at) {
    return at[0] | (unsigned)at[1] << 8;
}

static bool is_zero(const uint8_t *at, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (at[i])
            return false;
    return true;
}

static bool range_is_right(const uint8_t *range) {
    unsigned first = u16(range), length = u16(range + 2);

    return length > 0 && first + length <= 65536 && range[6] >= 1 && range[6] <= 7;
}

static bool welcome_is_right(const uint8_t *data) {
    unsigned ranges = u16(data + 14);

    if (memcmp(data + 8, "OOB1", 4) != 0 || u16(data + 12) != OOB_VERSION || ranges > 32 || !is_zero(data + 20, 4))
        return false;
    for (unsigned i = 0; i < 32; i++)
        if (i < ranges ? !range_is_right(data + 24 + 8 * i) : !is_zero(data + 24 + 8 * i, 8))
            return false;
    return true;
}

static bool length_is_right(uint8_t type, unsigned length) {
    switch (type) {
    case 0x81: return length == 280;
    case 0x82:
    case 0x83:
    case 0x84: return length == 16;
    case 0x85: return length >= 30 && length <= 190 && length % 10 == 0;
    case 0x86: return length == 24;
    case 0x87: return length == 8;
    default: return false;
    }
}

static bool fields_are_right(const uint8_t *data, unsigned length) {
    switch (data[2]) {
    case 0x81: return welcome_is_right(data);
    case 0x83: return data[8] <= 15 && data[9] <= 2 && is_zero(data + 10, 2);
    case 0x84: return data[8] <= 1 && is_zero(data + 9, 7);
    case 0x85: return data[18] == (length - 20) / 10 && data[19] == 0;
    case 0x86: return is_zero(data + 10, 6);
    default: return true;
    }
}

static int expected(const uint8_t *data, size_t size) {
    bool of_no_context = size > 2 && (data[2] == 0x81 || data[2] == 0x87);
    unsigned length;

    if (size < 8)
        return 0;
    length = u16(data);
    if (!length_is_right(data[2], length) || data[3])
        return -1;
    if (size < length)
        return 0;
    return is_zero(data + 4, 4) == of_no_context && fields_are_right(data, length) ? (int)length : -1;
}

/* -- what it answers -- */

static int parse(const uint8_t *data, size_t size, uint8_t fill, union oob_frame *frame) {
    uint8_t *bytes = exactly(data, size);
    const char *why = NULL;
    int taken;

    memset(frame, fill, sizeof *frame);
    taken = oob_frame_parse(bytes, size, frame, &why);
    REQUIRE(taken >= -1, "%d", taken);
    REQUIRE(taken >= 0 || (why && *why), "refused %zu bytes without a reason", size);
    free(bytes);
    return taken;
}

/* Bytes that come one by one are waited for, then mean what they mean at once; what is refused stays so. */
static void check_prefixes(const uint8_t *data, size_t size, int whole) {
    size_t enough = size < DECIDES ? size : DECIDES;
    int before = 0;

    for (size_t n = 0; n <= enough; n++) {
        union oob_frame frame;
        int taken = parse(data, n, 0, &frame);

        REQUIRE(!before || taken == before, "%d with %zu bytes, %d with one fewer", taken, n, before);
        REQUIRE(taken <= (int)n, "%d bytes of %zu", taken, n);
        before = taken;
    }
    REQUIRE(before == whole, "%d with %zu bytes, %d with all %zu", before, enough, whole, size);
    REQUIRE(whole || size < DECIDES, "%zu bytes do not decide", size);
}

/* Neither what follows a frame nor what stood in `frame` before has a part in it. */
static void check_frame(const uint8_t *data, int taken) {
    union oob_frame alone, followed;
    uint8_t more[DECIDES + 64];

    memset(more, 0xee, sizeof more);
    memcpy(more, data, (size_t)taken);
    REQUIRE(parse(data, (size_t)taken, 0x00, &alone) == taken, "%d bytes alone are another frame", taken);
    REQUIRE(parse(more, sizeof more, 0xff, &followed) == taken, "%d bytes followed by others are another", taken);
    REQUIRE(!memcmp(&alone, data, (size_t)taken) && !memcmp(&followed, data, (size_t)taken), "not what was sent");
}

/* Which version a server speaks is known as soon as the first 14 bytes of its WELCOME are there, whatever follows. */
static void check_version(const uint8_t *data, size_t size) {
    bool known = size >= 14 && data[2] == OOB_WELCOME && !memcmp(data + 8, "OOB1", 4);
    uint16_t expected = known ? (uint16_t)(data[12] | data[13] << 8) : 0;
    uint8_t *bytes = exactly(data, size);
    uint16_t version = oob_frame_version(bytes, size);

    free(bytes);
    REQUIRE(version == expected, "version %u and not %u in %zu bytes", version, expected, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t at = 0;

    for (;;) {
        union oob_frame frame;
        int taken = parse(data + at, size - at, 0xaa, &frame);

        REQUIRE(taken == expected(data + at, size - at), "%d and not %d", taken, expected(data + at, size - at));
        check_prefixes(data + at, size - at, taken);
        check_version(data + at, size - at);
        if (taken <= 0)
            return 0;
        check_frame(data + at, taken);
        at += (size_t)taken;
    }
}
