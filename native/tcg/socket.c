/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of core's platform.h for the byte stream to the server. The stream is a UNIX socket, and its
 * descriptor is the number of the channel. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "platform.h"

_Static_assert(OOB_CHANNEL_INPUT == POLLIN && OOB_CHANNEL_ROOM == POLLOUT, "the same events as poll()");

long oob_channel_send(struct oob_machine *machine, int channel, const void *data, size_t len, const char **why) {
    ssize_t n;

    (void)machine;
    do
        n = send(channel, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    if (errno == EAGAIN)
        return 0;
    *why = strerror(errno);
    return OOB_CHANNEL_BROKEN;
}

long oob_channel_receive(struct oob_machine *machine, int channel, void *data, size_t len, const char **why) {
    ssize_t n = recv(channel, data, len, MSG_DONTWAIT);

    (void)machine;
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    *why = n < 0 ? strerror(errno) : NULL;
    return OOB_CHANNEL_BROKEN;
}

void oob_channel_wait(struct oob_machine *machine, int channel, int events, uint64_t deadline_ns) {
    struct pollfd p = {.fd = channel, .events = (short)events};
    uint64_t now = oob_now_ns();

    (void)machine;
    poll(&p, 1, now >= deadline_ns ? 0 : (int)((deadline_ns - now) / 1000000) + 1);
}

/* The connecting thread (connector.c) notices the hang-up, and closes the descriptor. */
void oob_channel_shut(struct oob_machine *machine, int channel) {
    (void)machine;
    shutdown(channel, SHUT_RDWR);
}
