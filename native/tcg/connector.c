/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "connector.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "frame.h"
#include "ranges.h"
#include "host.h"
#include "link.h"

enum {
    FLUSH_NS = 1000000, /* how long a posted byte may wait for others to share its frame */
    RETRY_MIN_MS = 50,  /* the pause between two attempts to connect, which grows to the next number */
    RETRY_MAX_MS = 1000,
    WELCOME_MS = 5000, /* how long we wait for the server's WELCOME */
    LATE_MS = 200,     /* how often we look at a connection whose server is late, even if nothing arrives */
};

static int wake = -1; /* eventfd: there is something to flush */
static uint32_t instance;

bool oob_connector_wake(void) {
    uint64_t one = 1;

    return write(wake, &one, sizeof one) == sizeof one; /* else the counter is full: the thread is awake anyway */
}

static const char *mismatch(const struct oob_port_range *range) {
    static char text[256];

    snprintf(
        text, sizeof text,
        "the server serves ports %#x-%#x with another interrupt than irq= of this plugin, or ports= does not have "
        "them: start QEMU with what `oobconsole qemu-options %s` prints",
        range->first, range->first + range->length - 1, oob_l1.name);
    return text;
}

static const char *other_version(unsigned version) {
    static char text[256];
    const char *what_to_do =
        version > OOB_VERSION
            ? "Restart this QEMU with the oob_tcg.so of the server's release, which is the newer one."
            : "Install the server of the plugin's release, which is the newer one.";

    snprintf(
        text, sizeof text,
        "the server speaks version %u of the protocol, this plugin version %u: both must come from one release of "
        "oobconsole. %s",
        version, OOB_VERSION, what_to_do);
    return text;
}

/* Reads until `size` bytes have come, the server closes, or it is too late: how many have come. */
static size_t read_first(int fd, uint8_t *buffer, size_t size, const char **why) {
    size_t have = 0;
    uint64_t deadline = oob_now_ns() + WELCOME_MS * 1000000ull;

    *why = "the server did not welcome us";
    while (have < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = oob_now_ns();
        ssize_t n;

        /* Even after the deadline the socket is looked at once more: this thread may have run late, and a WELCOME
         * that arrived in time counts. */
        if (poll(&p, 1, now >= deadline ? 0 : (int)((deadline - now) / 1000000) + 1) == 0)
            break;
        n = recv(fd, buffer + have, size - have, 0);
        if (n <= 0) {
            *why = "the server refused us: its log says why";
            break;
        }
        have += (size_t)n;
    }
    return have;
}

static bool read_welcome(int fd, struct oob_welcome *welcome, const char **why) {
    const struct oob_port_range *missing;
    uint8_t buffer[sizeof(struct oob_welcome)];
    size_t have = read_first(fd, buffer, sizeof buffer, why);
    uint16_t version = oob_frame_version(buffer, have);
    union oob_frame frame;

    if (version && version != OOB_VERSION) {
        *why = other_version(version);
        return false;
    }
    if (have < sizeof buffer || oob_frame_parse(buffer, have, &frame, why) <= 0 || frame.h.type != OOB_WELCOME)
        return false;
    *welcome = frame.welcome;
    missing = oob_ranges_missing(&oob_l1.bus, welcome);
    if (missing)
        *why = mismatch(missing);
    return !missing;
}

static int try_connect(struct oob_welcome *welcome, const char **why) {
    struct oob_hello hello = {
        .h = {.length = sizeof hello, .type = OOB_HELLO},
        .magic = OOB_MAGIC,
        .version = OOB_VERSION,
        .capabilities = OOB_CAP_IRQ_LEVEL | OOB_CAP_IRQ_PULSE | OOB_CAP_ATTENTION | OOB_CAP_PUBLISH,
        .instance = instance,
    };
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(hello.machine, oob_options.machine, sizeof hello.machine);
    oob_ranges_say(&oob_l1.bus, &hello);
    memcpy(address.sun_path, oob_options.socket, sizeof address.sun_path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        *why = strerror(errno);
    } else if (send(fd, &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello) {
        *why = strerror(errno);
    } else if (read_welcome(fd, welcome, why)) {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Serves one connection until it is lost. The thread wakes up only to send, at the hang-up, or while the server is
 * late. */
static void attend(int fd) {
    int interest = 0;
    short happened = 0;

    while (!(happened & (POLLRDHUP | POLLHUP | POLLERR))) {
        struct pollfd p[2] = {{.fd = fd, .events = (short)(POLLRDHUP | interest)}, {.fd = wake, .events = POLLIN}};
        uint64_t count;

        poll(p, 2, interest ? LATE_MS : -1);
        happened = p[0].revents;
        if (p[1].revents && read(wake, &count, sizeof count) > 0)
            nanosleep(&(struct timespec){.tv_nsec = FLUSH_NS}, NULL);
        oob_lock();
        oob_link_service(&oob_l1, fd);
        oob_machine_tend(&oob_l1);
        interest = oob_link_interest(&oob_l1, fd);
        oob_unlock();
    }
    oob_lock();
    oob_link_hung_up(&oob_l1, fd);
    oob_unlock();
    close(fd);
}

/* Sleeps until it is time for another attempt to connect, but allocates memory for vCPUs that need some meanwhile. */
static void pause_ms(int ms) {
    uint64_t until = oob_now_ns() + (uint64_t)ms * 1000000, now, count;
    struct pollfd p = {.fd = wake, .events = POLLIN};

    while ((now = oob_now_ns()) < until) {
        if (poll(&p, 1, (int)((until - now) / 1000000) + 1) <= 0 || read(wake, &count, sizeof count) <= 0)
            continue;
        oob_lock();
        oob_link_service(&oob_l1, OOB_CHANNEL_NONE);
        oob_machine_tend(&oob_l1);
        oob_unlock();
    }
}

static void *connector(void *unused) {
    const char *said = NULL;
    int retry_ms = RETRY_MIN_MS;

    (void)unused;
    for (;;) {
        const char *why = NULL;
        struct oob_welcome welcome;
        int fd = try_connect(&welcome, &why);

        if (fd >= 0) {
            oob_lock();
            oob_link_adopt(&oob_l1, fd, &welcome);
            oob_unlock();
            said = NULL;
            retry_ms = RETRY_MIN_MS;
            attend(fd);
            continue;
        }
        if (!said || strcmp(said, why) != 0)
            oob_log(&oob_l1, "no server yet, the guests go on without one", said = why);
        pause_ms(retry_ms);
        retry_ms = retry_ms * 2 < RETRY_MAX_MS ? retry_ms * 2 : RETRY_MAX_MS;
    }
    return NULL;
}

bool oob_connector_start(void) {
    pthread_t thread;

    wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (getrandom(&instance, sizeof instance, 0) != sizeof instance)
        return false;
    instance |= 1;
    if (wake < 0 || pthread_create(&thread, NULL, connector, NULL) != 0)
        return false;
    pthread_detach(thread);
    return true;
}
