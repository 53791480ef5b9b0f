/* SPDX-License-Identifier: GPL-2.0-or-later */
/* L1's exceptions, its timer, and its second CPU. */
#include "l1.h"
#include "svm.h"

enum { TRAPS = 48, PIC_VECTOR = 0x20 };
enum { PIT_0 = 0x40, PIT_2 = 0x42, PIT_MODE = 0x43, PORT_61 = 0x61 };

struct gate {
    uint16_t low, selector, type, middle;
    uint32_t high, reserved;
};

/* As the stubs and the CPU push it. */
struct frame {
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct traps traps;
static struct gate idt[TRAPS];
extern const uint64_t trap_stubs[TRAPS];

static bool is_vmrun(uint64_t rip) {
    const uint8_t *code = (const uint8_t *)rip;

    return code[0] == 0x0f && code[1] == 0x01 && code[2] == 0xd8;
}

static void load_idt(void) {
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof idt - 1, (uintptr_t)idt};

    __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void pic_init(void) {
    out8(0x20, 0x11);
    out8(0xa0, 0x11);
    out8(0x21, PIC_VECTOR);
    out8(0xa1, PIC_VECTOR + 8);
    out8(0x21, 4);
    out8(0xa1, 2);
    out8(0x21, 1);
    out8(0xa1, 1);
    out8(0x21, 0xff);
    out8(0xa1, 0xff);
}

void trap_set(unsigned vector, uint64_t handler) {
    idt[vector] =
        (struct gate){(uint16_t)handler, 0x08, 0x8e00, (uint16_t)(handler >> 16), (uint32_t)(handler >> 32), 0};
}

void traps_init(void) {
    for (unsigned i = 0; i < TRAPS; i++)
        trap_set(i, trap_stubs[i]);
    load_idt();
    pic_init();
}

void l1_trap(struct frame *frame);
void l1_trap(struct frame *frame) {
    if (frame->vector >= PIC_VECTOR) {
        traps.interrupts++;
        out8(0x20, 0x20);
    } else if (is_vmrun(frame->rip)) {
        traps.vmrun_faults++;
        frame->rip += 3;
    } else {
        print("\ntrap=%u error=%x rip=%x\n", frame->vector, frame->error, frame->rip);
        die("L1 itself faulted");
    }
}

void timer_start(uint16_t divisor) {
    out8(PIT_MODE, 0x34);
    out8(PIT_0, (uint8_t)divisor);
    out8(PIT_0, (uint8_t)(divisor >> 8));
    out8(0x21, 0xfe);
}

void timer_stop(void) {
    out8(0x21, 0xff);
}

void wait_ticks(unsigned ticks) {
    while (ticks--) {
        out8(PORT_61, 0x01); /* channel 2 counts, no sound */
        out8(PIT_MODE, 0xb0);
        out8(PIT_2, 0xff);
        out8(PIT_2, 0xff);
        while (!(in8(PORT_61) & 0x20))
            ;
    }
}

enum { TRAMPOLINE = 0x8000, APIC_ICR_LOW = 0x300, APIC_ICR_HIGH = 0x310, ICR_PENDING = 1 << 12 };
#define APIC ((volatile uint32_t *)0xfee00000)

extern const uint8_t trampoline[], trampoline_end[];
static void (*second_function)(void);

void second_main(void);
void second_main(void) {
    load_idt();
    svm_enable();
    second_function();
}

static void send_ipi(uint32_t command) {
    APIC[APIC_ICR_HIGH / 4] = 1u << 24;
    APIC[APIC_ICR_LOW / 4] = command;
    while (APIC[APIC_ICR_LOW / 4] & ICR_PENDING)
        ;
}

volatile uint8_t *second_start_in_real_mode(const uint8_t *code, size_t len) {
    uint8_t *copy = memcpy((void *)(uintptr_t)TRAMPOLINE, code, len);

    APIC[0xf0 / 4] = 0x1ff; /* software enabled */
    send_ipi(0x4500);       /* INIT */
    send_ipi(0x4600 | TRAMPOLINE >> 12);
    return copy;
}

void second_start(void (*function)(void)) {
    second_function = function;
    second_start_in_real_mode(trampoline, (size_t)(trampoline_end - trampoline));
}

volatile bool second_running, second_stop;

void second_start_and_wait(void (*function)(void)) {
    second_start(function);
    while (!second_running)
        ;
}
