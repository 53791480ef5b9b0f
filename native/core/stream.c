/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { TX_MAX = 4 * OOB_FRAME_MAX, RX_MAX = 4 * OOB_FRAME_MAX };

/* Every guest can be announced without waiting for room, and every frame can arrive. */
_Static_assert(TX_MAX >= OOB_CONTEXTS_MAX * sizeof(struct oob_context_appeared) + sizeof(struct oob_header),
               "room for all announcements");
_Static_assert(RX_MAX >= OOB_FRAME_MAX, "room for a frame");

static struct {
    int fd;
    uint8_t tx[TX_MAX];
    size_t tx_len;
    uint64_t passed;
    uint8_t rx[RX_MAX];
    size_t rx_at, rx_len; /* what has not been looked at, and where all of it ends */
} stream = {.fd = -1};

void oob_stream_open(int fd) {
    stream.fd = fd;
    stream.tx_len = stream.rx_at = stream.rx_len = 0;
    stream.passed = 0;
}

void oob_stream_shut(void) {
    shutdown(stream.fd, SHUT_RDWR);
    oob_stream_open(-1);
}

int oob_stream_fd(void) {
    return stream.fd;
}

uint8_t *oob_stream_reserve(size_t len) {
    if (stream.fd < 0 || stream.tx_len + len > TX_MAX)
        return NULL;
    stream.tx_len += len;
    return stream.tx + stream.tx_len - len;
}

uint8_t *oob_stream_unsent(size_t *len) {
    *len = stream.tx_len;
    return stream.tx;
}

uint64_t oob_stream_passed(void) {
    return stream.passed;
}

bool oob_stream_send(const char **why) {
    size_t at = 0;
    bool broken = false;

    while (!broken && at < stream.tx_len) {
        ssize_t n = send(stream.fd, stream.tx + at, stream.tx_len - at, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0) {
            at += (size_t)n;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            *why = strerror(errno);
            broken = true;
        }
    }
    stream.passed += at;
    stream.tx_len -= at;
    memmove(stream.tx, stream.tx + at, stream.tx_len);
    return !broken;
}

int oob_stream_receive(const char **why) {
    ssize_t n;

    stream.rx_len -= stream.rx_at;
    memmove(stream.rx, stream.rx + stream.rx_at, stream.rx_len);
    stream.rx_at = 0;
    n = recv(stream.fd, stream.rx + stream.rx_len, RX_MAX - stream.rx_len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    *why = n < 0 ? strerror(errno) : NULL;
    if (n <= 0)
        return OOB_STREAM_BROKEN;
    stream.rx_len += (size_t)n;
    return (int)n;
}

int oob_stream_next(union oob_frame *frame, const char **why) {
    int taken = oob_frame_parse(stream.rx + stream.rx_at, stream.rx_len - stream.rx_at, frame, why);

    if (taken > 0)
        stream.rx_at += (size_t)taken;
    return taken < 0 ? OOB_STREAM_BROKEN : taken;
}
