/* SPDX-License-Identifier: GPL-2.0-or-later */
/* oob_frame_parse() and oob_frame_version() on a server's byte stream: docs/wire-protocol.md, oob_wire.h. */
#include "frame.h"

#include "target.h"

/* A frame is never longer than the longest that a server sends: with so many bytes, there is an answer. */
enum { DECIDES = sizeof(union oob_frame) };

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

static void check_fields(const union oob_frame *frame, int taken) {
    REQUIRE(frame->h.length == taken && !frame->h.flags, "length %u, flags %u", frame->h.length, frame->h.flags);
    switch (frame->h.type) {
    case OOB_WELCOME:
        REQUIRE(taken == sizeof frame->welcome && frame->welcome.magic == OOB_MAGIC, "magic %x",
                frame->welcome.magic);
        REQUIRE(frame->welcome.version == OOB_VERSION, "version %u", frame->welcome.version);
        REQUIRE(frame->welcome.ranges <= OOB_RANGES_MAX, "%u ranges", frame->welcome.ranges);
        break;
    case OOB_ANSWER: REQUIRE(taken == sizeof frame->answer, "%d", taken); break;
    case OOB_IRQ:
        REQUIRE(taken == sizeof frame->irq && frame->irq.line < 16, "line %u", frame->irq.line);
        REQUIRE(frame->irq.mode <= OOB_IRQ_PULSE, "mode %u", frame->irq.mode);
        break;
    case OOB_ATTENTION:
        REQUIRE(taken == sizeof frame->attention && frame->attention.attended < 2, "%u", frame->attention.attended);
        break;
    case OOB_RESUME: REQUIRE(taken == sizeof frame->resume && !frame->resume.reserved, "%d", taken); break;
    case OOB_READY: REQUIRE(taken == sizeof frame->h && !frame->h.context, "%d", taken); break;
    default:
        REQUIRE(frame->h.type == OOB_PUBLISH && frame->publish.count, "type %x", frame->h.type);
        REQUIRE(frame->publish.count <= OOB_IMAGES_MAX, "%u images", frame->publish.count);
        REQUIRE(taken == 20 + 10 * frame->publish.count, "%d bytes of %u images", taken, frame->publish.count);
    }
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
    check_fields(&alone, taken);
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

        check_prefixes(data + at, size - at, taken);
        check_version(data + at, size - at);
        if (taken <= 0)
            return 0;
        check_frame(data + at, taken);
        at += (size_t)taken;
    }
}
