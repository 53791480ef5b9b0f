/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shadow of a 16550 alone, for shadow.py. */
#include "uart.h"

static const struct oob_device_ops *const ops = &oob_uart_shadow;

size_t shadow_size(void) {
    return sizeof(uint64_t[OOB_SHADOW_WORDS]);
}

void shadow_begin(void *shadow) {
    memset(shadow, 0, shadow_size());
    ops->init(shadow);
}

void shadow_restart(void *shadow) {
    ops->restart(shadow);
}

void shadow_recall(void *shadow, const void *remembered) {
    ops->recall(shadow, remembered);
}

bool shadow_awaits(const void *shadow, unsigned reg) {
    return ops->awaits(shadow, reg);
}

bool shadow_write(void *shadow, unsigned reg, uint8_t value) {
    return ops->write(shadow, reg, value);
}

void shadow_written(void *shadow, unsigned reg, bool awaited, bool sent, uint32_t accesses) {
    ops->written(shadow, reg, awaited, sent, accesses);
}

/* What is known of it, with what was read above that. */
unsigned shadow_read(void *shadow, unsigned reg) {
    uint8_t value = 0;
    enum oob_told told = ops->read(shadow, reg, &value);

    return (unsigned)told | (unsigned)value << 8;
}

uint8_t shadow_idle_read(void *shadow, unsigned reg) {
    return ops->idle_read(shadow, reg);
}

unsigned shadow_saw(void *shadow, unsigned reg, uint8_t value, bool asked) {
    return ops->saw(shadow, reg, value, asked);
}

void shadow_was_told(void *shadow, unsigned reg, uint32_t accesses) {
    ops->was_told(shadow, reg, accesses);
}

/* -1: nothing; else the register that the guest has read. */
int shadow_owes(void *shadow) {
    struct oob_write read;

    return ops->owes(shadow, &read) ? read.reg : -1;
}

uint32_t shadow_number(const void *shadow) {
    return ops->number(shadow);
}

bool shadow_publish(void *shadow, const struct oob_publish *publish) {
    return ops->publish(shadow, publish);
}

void shadow_outdate(void *shadow, uint32_t accesses) {
    ops->outdate(shadow, accesses);
}

int shadow_level(const void *shadow, bool alone) {
    return ops->level(shadow, 0, alone);
}

size_t shadow_replay(const void *shadow, struct oob_write writes[OOB_REPLAY_MAX]) {
    return ops->replay(shadow, writes);
}

size_t shadow_around_output(const void *shadow, bool behind, struct oob_write writes[OOB_REPLAY_MAX]) {
    return ops->around_output(shadow, behind, writes);
}

size_t shadow_reads(void *shadow, struct oob_write reads[OOB_REPLAY_MAX]) {
    return ops->reads(shadow, reads);
}
