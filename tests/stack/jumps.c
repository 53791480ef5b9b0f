/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A library that is preloaded before ThreadSanitizer's runtime, so that QEMU runs under it. It decides for each call
 * of setjmp and longjmp whether libc or ThreadSanitizer carries it out.
 *
 * Why libc, on the main thread? ThreadSanitizer follows these jumps by the stack pointer, and knows one stack for
 * each thread. QEMU's coroutines jump between several stacks of the main thread. ThreadSanitizer does not understand
 * that ("can't find longjmp buf").
 *
 * Why ThreadSanitizer, on a vCPU's thread? qemu_plugin_set_pc() leaves a callback by a jump. If ThreadSanitizer does
 * not see the jump, it believes that the callback still runs. QEMU makes these jumps by __longjmp_chk
 * (_FORTIFY_SOURCE), which ThreadSanitizer does not know, so that name is defined here as well.
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

    tsan_sigsetjmp = find(RTLD_NEXT, "__sigsetjmp"); /* that of ThreadSanitizer, which is preloaded next */
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

/* sigsetjmp() must save the frame of its caller. So these functions have no frame of their own: they end with a
 * jump. */
#define GO_ON_IN(name, which)                                            \
    __asm__(".globl " #name "\n.type " #name ", @function\n" #name ":\n" \
            "push %rdi\npush %rsi\nsub $8, %rsp\ncall " #which "\nadd $8, %rsp\npop %rsi\npop %rdi\njmp *%rax\n")

GO_ON_IN(__sigsetjmp, which_sigsetjmp);
GO_ON_IN(siglongjmp, which_siglongjmp);
GO_ON_IN(__longjmp_chk, which_siglongjmp);
