/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream.h"

#include "machine.h"
#include "platform.h"

/* The buffers are large enough to announce every guest without waiting for room, and to receive the longest frame. */
_Static_assert(OOB_TX_MAX >= OOB_CONTEXTS_MAX * sizeof(struct oob_context_appeared) + sizeof(struct oob_header),
               "room for all announcements");
_Static_assert(OOB_RX_MAX >= OOB_FRAME_MAX, "room for a frame");

void oob_stream_open(struct oob_machine *machine, int channel) {
    struct oob_stream *stream = &machine->stream;

    stream->channel = channel;
    stream->tx_len = stream->rx_at = stream->rx_len = 0;
    stream->passed = 0;
    stream->block_at = stream->read_at = SIZE_MAX;
}

void oob_stream_shut(struct oob_machine *machine) {
    oob_channel_shut(machine, machine->stream.channel);
    oob_stream_open(machine, OOB_CHANNEL_NONE);
}

bool oob_stream_is_open(const struct oob_machine *machine) {
    return machine->stream.channel != OOB_CHANNEL_NONE;
}

uint8_t *oob_stream_reserve(struct oob_machine *machine, size_t len) {
    struct oob_stream *stream = &machine->stream;

    if (!oob_stream_is_open(machine) || stream->tx_len + len > OOB_TX_MAX)
        return NULL;
    stream->tx_len += len;
    return stream->tx + stream->tx_len - len;
}

uint8_t *oob_stream_unsent(struct oob_machine *machine, size_t *len) {
    *len = machine->stream.tx_len;
    return machine->stream.tx;
}

uint64_t oob_stream_passed(const struct oob_machine *machine) {
    return machine->stream.passed;
}

bool oob_stream_send(struct oob_machine *machine, const char **why) {
    struct oob_stream *stream = &machine->stream;
    size_t at = 0;
    long n = 1;

    stream->block_at = stream->read_at = SIZE_MAX;
    while (n > 0 && at < stream->tx_len) {
        n = oob_channel_send(machine, stream->channel, stream->tx + at, stream->tx_len - at, why);
        if (n > 0)
            at += (size_t)n;
    }
    stream->passed += at;
    stream->tx_len -= at;
    memmove(stream->tx, stream->tx + at, stream->tx_len);
    return n != OOB_CHANNEL_BROKEN;
}

int oob_stream_receive(struct oob_machine *machine, const char **why) {
    struct oob_stream *stream = &machine->stream;
    long n;

    stream->rx_len -= stream->rx_at;
    memmove(stream->rx, stream->rx + stream->rx_at, stream->rx_len);
    stream->rx_at = 0;
    n = oob_channel_receive(machine, stream->channel, stream->rx + stream->rx_len, OOB_RX_MAX - stream->rx_len, why);
    if (n > 0)
        stream->rx_len += (size_t)n;
    return n < 0 ? OOB_STREAM_BROKEN : (int)n;
}

int oob_stream_next(struct oob_machine *machine, union oob_frame *frame, const char **why) {
    struct oob_stream *stream = &machine->stream;
    int taken = oob_frame_parse(stream->rx + stream->rx_at, stream->rx_len - stream->rx_at, frame, why);

    if (taken > 0)
        stream->rx_at += (size_t)taken;
    return taken < 0 ? OOB_STREAM_BROKEN : taken;
}
