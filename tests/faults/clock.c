/*
 * A wall clock that tests set: preloaded into the server, it adds what the file $OOB_CLOCK says, which is mapped and
 * may change at any time, in seconds. Clocks that nobody can set are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *moved;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void set_up(void) {
    const char *file = getenv("OOB_CLOCK");
    int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    void *found = mmap(NULL, sizeof(*moved), PROT_READ, MAP_SHARED, fd, 0);

    close(fd);
    if (found != MAP_FAILED)
        moved = found;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int done = REAL(clock_gettime)(clock, at);

    if (!done && moved && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += *moved;
    return done;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    int done = REAL(gettimeofday)(at, zone);

    if (!done && moved)
        at->tv_sec += *moved;
    return done;
}

time_t time(time_t *at) {
    time_t now = REAL(time)(NULL) + (moved ? (time_t)*moved : 0);

    if (at)
        *at = now;
    return now;
}
