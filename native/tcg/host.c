/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of core's platform.h that concern neither QEMU (cpu.c) nor the socket (socket.c). */
#include "host.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "connector.h"
#include "platform.h"

struct oob_machine oob_l1;
struct oob_options oob_options;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void oob_lock(void) {
    pthread_mutex_lock(&lock);
}

void oob_unlock(void) {
    pthread_mutex_unlock(&lock);
}

uint64_t oob_now_ns(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t oob_random(void) {
    uint64_t number;

    return getrandom(&number, sizeof number, GRND_NONBLOCK) == sizeof number ? number : oob_now_ns();
}

void *oob_alloc(size_t size) {
    return malloc(size);
}

void oob_free(void *memory) {
    free(memory);
}

void oob_channel_rest(struct oob_machine *machine, int channel, uint64_t deadline_ns) {
    oob_unlock();
    oob_channel_wait(machine, channel, OOB_CHANNEL_INPUT, deadline_ns);
    oob_lock();
}

bool oob_wake(struct oob_machine *machine) {
    (void)machine;
    return oob_connector_wake();
}

void oob_log(struct oob_machine *machine, const char *what, const char *detail) {
    fprintf(stderr, "oob_tcg: machine %s: %s%s%s\n", machine->name, what, detail ? ": " : "", detail ? detail : "");
}
