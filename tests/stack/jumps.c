/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Preloaded before ThreadSanitizer's runtime, so that QEMU runs under it. ThreadSanitizer follows setjmp and longjmp
 * by the stack pointer, in one stack for each thread: QEMU's coroutines, which jump between stacks of the main
 * thread, are beyond it ("can't find longjmp buf"), so the main thread's jumps go to libc's. A vCPU's must go to
 * ThreadSanitizer, which else takes the callbacks that qemu_plugin_set_pc() leaves for ones that go on; and these
 * QEMU makes by
 * __longjmp_chk (_FORTIFY_SOURCE), which ThreadSanitizer does not know.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void *tsan_sigsetjmp, *tsan_siglongjmp, *libc_sigsetjmp, *libc_siglongjmp;

static void *find(void *where, const char *name) {
    void *function = dlsym(where, name);

    if (!function)
        abort();
    return function;
}

__attribute__((constructor)) static void find_all(void) {
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);

    tsan_sigsetjmp = find(RTLD_NEXT, "__sigsetjmp"); /* it is preloaded next */
    tsan_siglongjmp = find(RTLD_NEXT, "siglongjmp");
    libc_sigsetjmp = find(libc, "__sigsetjmp");
    libc_siglongjmp = find(libc, "siglongjmp");
}

static bool on_main_thread(void) {
    static _Thread_local enum { UNKNOWN, MAIN, OTHER } thread;

    if (thread == UNKNOWN)
        thread = syscall(SYS_gettid) == getpid() ? MAIN : OTHER;
    return thread == MAIN;
}

__attribute__((used)) static void *which_sigsetjmp(void) {
    return on_main_thread() ? libc_sigsetjmp : tsan_sigsetjmp;
}

__attribute__((used)) static void *which_siglongjmp(void) {
    return on_main_thread() ? libc_siglongjmp : tsan_siglongjmp;
}

/* The frame that sigsetjmp() saves must be its caller's: nothing of ours may stand between. */
#define GO_ON_IN(name, which)                                            \
    __asm__(".globl " #name "\n.type " #name ", @function\n" #name ":\n" \
            "push %rdi\npush %rsi\nsub $8, %rsp\ncall " #which "\nadd $8, %rsp\npop %rsi\npop %rdi\njmp *%rax\n")

GO_ON_IN(__sigsetjmp, which_sigsetjmp);
GO_ON_IN(siglongjmp, which_siglongjmp);
GO_ON_IN(__longjmp_chk, which_siglongjmp);
