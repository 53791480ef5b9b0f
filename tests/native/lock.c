/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does a vCPU that waits for the server keep others from the machine's lock? Two vCPUs ask a server that never
 * answers. Meanwhile the main thread does what a vCPU does when it enters its guest, each millisecond, and counts how
 * often it got the lock. With the lock held for all of the wait it would be once. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "connector.h"
#include "exchange.h"
#include "host.h"
#include "no_cpu.h"
#include "svm.h"
#include "uart.h"

enum { COM1 = 0x3f8 };

bool oob_connector_wake(void) {
    return true;
}

static struct asker {
    pthread_t thread;
    uint32_t context;
    uint64_t waited_ns;
    enum oob_outcome outcome;
    atomic_bool done;
} askers[2];

static void *ask(void *argument) {
    struct asker *asker = argument;
    uint64_t start = oob_now_ns();
    uint32_t value = 0;

    oob_lock();
    oob_link_turn(&oob_l1);
    asker->outcome = oob_exchange_access(oob_context_find(&oob_l1, asker->context), 0, COM1 + 5, 1, false, &value);
    oob_unlock();
    asker->waited_ns = oob_now_ns() - start;
    asker->done = true;
    return NULL;
}

static bool begin(int ends[2]) {
    struct oob_header ready = {.length = sizeof ready, .type = OOB_READY};
    struct oob_welcome welcome = {.ranges = 0};

    oob_machine_init(&oob_l1, &oob_svm);
    memcpy(oob_l1.name, "lock", sizeof "lock");
    oob_l1.bus = (struct oob_bus){
        .devices = 1,
        .ranges = 1,
        .device = {{.ops = &oob_uart_shadow}},
        .range = {{.first = COM1, .last = COM1 + 7}},
    };
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || write(ends[1], &ready, sizeof ready) != sizeof ready)
        return false;
    oob_lock();
    for (size_t i = 0; i < sizeof askers / sizeof *askers; i++)
        askers[i].context = oob_context_new(&oob_l1, 0x2000 * (i + 1), 0x1000 * (i + 1))->number;
    oob_link_adopt(&oob_l1, ends[0], &welcome);
    oob_link_poll(&oob_l1);
    oob_unlock();
    return oob_link_up(&oob_l1);
}

int main(void) {
    unsigned entered = 0;
    uint64_t longest_ns = 0;
    int ends[2];

    if (!begin(ends))
        return 1;
    for (size_t i = 0; i < sizeof askers / sizeof *askers; i++)
        pthread_create(&askers[i].thread, NULL, ask, &askers[i]);
    while (!askers[0].done || !askers[1].done) {
        uint64_t start = oob_now_ns(), waited;

        oob_lock();
        waited = oob_now_ns() - start;
        oob_link_poll(&oob_l1);
        oob_context_tick(&oob_l1);
        oob_unlock();
        entered++;
        longest_ns = waited > longest_ns ? waited : longest_ns;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    for (size_t i = 0; i < sizeof askers / sizeof *askers; i++)
        pthread_join(askers[i].thread, NULL);
    printf("first_ms=%llu second_ms=%llu first_outcome=%d second_outcome=%d entered=%u longest_us=%llu\n",
           (unsigned long long)askers[0].waited_ns / 1000000, (unsigned long long)askers[1].waited_ns / 1000000,
           askers[0].outcome, askers[1].outcome, entered, (unsigned long long)longest_ns / 1000);
    return 0;
}
