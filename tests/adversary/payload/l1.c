/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "l1.h"

#include <stdarg.h>

#include "svm.h"

enum { COM1 = 0x3f8, LSR = 5, LSR_DR = 0x01, LSR_THRE = 0x20 };

static uint16_t own_port = COM1;
enum { DEBUG_EXIT = 0xf4, DEBUG_EXIT_DONE = 0x10 };

struct multiboot {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
};
struct multiboot_module {
    uint32_t start, end, string, reserved;
};

extern uint64_t multiboot_info;
extern const struct attack attacks_begin[], attacks_end[];
static uint8_t *free_memory;

void *memset(void *to, int byte, size_t len) {
    uint8_t *at = to;

    __asm__ volatile("rep stosb" : "+D"(at), "+c"(len) : "a"(byte) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, size_t len) {
    uint8_t *at = to;

    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(len) : : "memory");
    return to;
}

static void put(char c) {
    while (!(in8(own_port + LSR) & LSR_THRE))
        ;
    out8(own_port, (uint8_t)c);
}

uint8_t read_own(void) {
    while (!(in8(own_port + LSR) & LSR_DR))
        ;
    return in8(own_port);
}

static void put_number(uint64_t value, unsigned base) {
    char digits[24];
    size_t n = 0;

    do
        digits[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (n)
        put(digits[--n]);
}

void print(const char *format, ...) {
    va_list args;

    va_start(args, format);
    for (; *format; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        format++;
        if (*format == 's')
            for (const char *s = va_arg(args, const char *); *s; s++)
                put(*s);
        else
            put_number(va_arg(args, uint64_t), *format == 'x' ? 16 : 10);
    }
    va_end(args);
}

void print_hex(const void *data, size_t len) {
    for (const uint8_t *at = data; len--; at++) {
        put("0123456789abcdef"[*at >> 4]);
        put("0123456789abcdef"[*at & 15]);
    }
}

void *pages(size_t count) {
    uint8_t *at = free_memory;

    free_memory += count * PAGE;
    return memset(at, 0, count * PAGE);
}

/* What stands after `name=`, or NULL. */
static const char *value_of(const char *name) {
    const char *at = (const char *)(uintptr_t)((const struct multiboot *)multiboot_info)->cmdline;

    for (; *at; at++) {
        const char *c = at, *n = name;

        while (*n && *c == *n)
            c++, n++;
        if (!*n && *c == '=')
            return c + 1;
    }
    return NULL;
}

uint64_t option(const char *name, uint64_t otherwise) {
    const char *at = value_of(name);
    uint64_t value = 0;

    if (!at)
        return otherwise;
    while (*at >= '0' && *at <= '9')
        value = value * 10 + (uint64_t)(*at++ - '0');
    return value;
}

bool option_is(const char *name, const char *value) {
    const char *at = value_of(name);

    while (at && *value && *at == *value)
        at++, value++;
    return at && !*value && (*at == ' ' || !*at);
}

const void *module_data(size_t *len) {
    const struct multiboot *info = (const struct multiboot *)multiboot_info;
    const struct multiboot_module *module = (const struct multiboot_module *)(uintptr_t)info->mods_addr;

    if (!info->mods_count)
        return NULL;
    *len = module->end - module->start;
    return (const void *)(uintptr_t)module->start;
}

void finish(void) {
    enum { FLUSHED = 2 };

    wait_ticks((unsigned)option("settle", FLUSHED)); /* output is on its way for a millisecond */
    print("done=1\n");
    out32(DEBUG_EXIT, DEBUG_EXIT_DONE);
    for (;;)
        __asm__ volatile("hlt");
}

void die(const char *why) {
    print("\ndied=%s\n", why);
    out32(DEBUG_EXIT, 0);
    for (;;)
        __asm__ volatile("hlt");
}

/* QEMU puts the command line, the list of modules and the modules behind the image: what is given out lies behind
 * them, at an address that no module reaches. */
static void skip_modules(void) {
    enum { FREE_MEMORY = 0x800000 };
    size_t len = 0;
    const uint8_t *data = module_data(&len);

    free_memory = (uint8_t *)(uintptr_t)FREE_MEMORY;
    if (data + len > free_memory)
        die("the module is too large");
}

void l1_main(void);
void l1_main(void) {
    const struct attack *attack;

    skip_modules();
    own_port = (uint16_t)option("report", COM1);
    traps_init();
    svm_enable();
    for (attack = attacks_begin; attack < attacks_end; attack++)
        if (option_is("attack", attack->name)) {
            print("attack=%s\n", attack->name);
            attack->run();
            finish();
        }
    die("no such attack");
}
