/*
 * A file system that fails, for tests: preloaded into the server, it has calls fail that concern files below
 * $OOB_FAULTS_BELOW, as the file $OOB_FAULTS says, which is mapped and may change at any time.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * The first call that fails is number `first`, counted from when `calls` was set to 0; `length` calls fail. An
 * `error` of HANGS has these calls never return, as on a file system over a network whose server is gone.
 */
enum { HANGS = -1 };
struct plan {
    int armed, first, length, error, calls, failed;
};

static struct plan *plan;
static const char *below;

__attribute__((constructor)) static void set_up(void) {
    const char *file = getenv("OOB_FAULTS");

    below = getenv("OOB_FAULTS_BELOW");
    if (!file || !below)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return;
    void *found = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    close(fd);
    if (found != MAP_FAILED)
        plan = found;
}

static int fails(const char *path) {
    if (strncmp(path, below, strlen(below)) != 0)
        return 0;
    int call = __atomic_add_fetch(&plan->calls, 1, __ATOMIC_SEQ_CST);

    if (call < plan->first || call - plan->first >= plan->length)
        return 0;
    __atomic_add_fetch(&plan->failed, 1, __ATOMIC_SEQ_CST);
    while (plan->error == HANGS)
        pause();
    errno = plan->error;
    return 1;
}

static int fails_fd(int fd) {
    char link[64], path[PATH_MAX];

    if (!plan || !plan->armed)
        return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path) - 1);

    if (size < 0)
        return 0;
    path[size] = 0;
    return fails(path);
}

static int fails_path(const char *path) {
    return plan && plan->armed && fails(path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) {
    return fails_fd(fd) ? -1 : REAL(write)(fd, data, size);
}

int fsync(int fd) {
    return fails_fd(fd) ? -1 : REAL(fsync)(fd);
}

int fdatasync(int fd) {
    return fails_fd(fd) ? -1 : REAL(fdatasync)(fd);
}

int ftruncate64(int fd, off64_t size) {
    return fails_fd(fd) ? -1 : REAL(ftruncate64)(fd, size);
}

int rename(const char *from, const char *to) {
    return fails_path(from) ? -1 : REAL(rename)(from, to);
}

int unlink(const char *path) {
    return fails_path(path) ? -1 : REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode) {
    return fails_path(path) ? -1 : REAL(mkdir)(path, mode);
}

int open64(const char *path, int flags, ...) {
    va_list more;

    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;

    va_end(more);
    return fails_path(path) ? -1 : REAL(open64)(path, flags, mode);
}
