/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A bare-metal hypervisor that attacks: what all attacks share. L1 here is this program. */
#ifndef L1_H
#define L1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u

/* An attack registers itself; `attack=NAME` on the command line picks it. */
struct attack {
    const char *name;
    void (*run)(void);
};
#define ATTACK(name_)                                                                                               \
    static void attack_##name_(void);                                                                               \
    static const struct attack entry_##name_ __attribute__((section(".attacks"), used)) = {#name_, attack_##name_}; \
    static void attack_##name_(void)

static inline void out8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out32(uint16_t port, uint32_t value) {
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port) {
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline uint64_t read_msr(uint32_t msr) {
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static inline void write_msr(uint32_t msr, uint64_t value) {
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* L1's own serial port, the real one. `%s`, `%u` (uint64_t), `%x` (uint64_t). */
void print(const char *format, ...);
void print_hex(const void *data, size_t len);
/* Waits for a byte on L1's own serial port. */
uint8_t read_own(void);

/* Zeroed pages of physical memory, mapped one to one; never given back. */
void *pages(size_t count);
/* The number after `name=` on the command line, or `otherwise`. */
uint64_t option(const char *name, uint64_t otherwise);
bool option_is(const char *name, const char *value);

_Noreturn void finish(void);
_Noreturn void die(const char *why);

/* The Multiboot module (-initrd), or NULL. */
const void *module_data(size_t *len);

/* Traps. VMRUN's are counted and stepped over; interrupts are counted and acknowledged. */
struct traps {
    volatile uint64_t vmrun_faults, interrupts;
};
extern struct traps traps;
void traps_init(void);
void trap_set(unsigned vector, uint64_t handler);
void timer_start(uint16_t divisor);
void timer_stop(void);
/* About so many times 55 ms. */
void wait_ticks(unsigned ticks);

/* Runs `function` on the second CPU (-smp 2). */
void second_start(void (*function)(void));
/* Gives where the copy of the code lies that it runs. */
volatile uint8_t *second_start_in_real_mode(const uint8_t *code, size_t len);
/* ... and waits until it has set `second_running`. It ends itself when it finds `second_stop`. */
void second_start_and_wait(void (*function)(void));
extern volatile bool second_running, second_stop;

void *memset(void *to, int byte, size_t len);
void *memcpy(void *to, const void *from, size_t len);

#endif
