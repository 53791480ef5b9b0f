/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a device is to the native half. The server has the device itself; here is its shadow: what is known of it
 * without asking, so that a guest need not wait, and what stands in for it while the server is late or away. A device
 * that has no shadow is served too: the server is asked for each access, what it publishes is read, and while it is
 * away every register reads as ones.
 *
 * A new shadow is one file with a table of these operations, and one line in options.c, or where a host has such
 * lines.
 */
#ifndef OOB_DEVICE_H
#define OOB_DEVICE_H

#include "bus.h"
#include "oob_wire.h"
#include "output.h"
#include "types.h"

enum { OOB_REPLAY_MAX = 10, OOB_SHADOW_WORDS = 16 };

/* Added to a number of accesses: so many that nothing counts that a server publishes. It does not know yet how the
 * guest has set the device. */
#define OOB_NOTHING_COUNTS 0x40000000u

/* A write to a register of a device; or a read, and what was read. */
struct oob_write {
    uint8_t reg, value;
};

/* What is known of a register that the guest reads. */
enum oob_told {
    OOB_TOLD_UNKNOWN, /* nobody but the server knows what the guest reads */
    OOB_TOLD_PLAIN,   /* it is known, and reading it changes nothing */
    OOB_TOLD_EFFECT,  /* reading it has changed the shadow, and the server is to be told now */
    OOB_TOLD_LATER,   /* ... and the server is to be told before anything else, unless a write makes that needless */
};

/* What a read tells of the handler of the device's interrupt. */
enum oob_look {
    OOB_LOOK_NONE, /* nothing */
    OOB_LOOK_MORE, /* it is at work, and will look again */
    OOB_LOOK_DONE, /* it has seen that nothing is pending: another interrupt finds it ready */
};

/* What the server has published of a range whose device has no shadow: its registers, as long as the guest does
 * nothing. */
struct oob_publication {
    uint8_t valid; /* bit n: value[n] may be read without asking */
    uint8_t value[OOB_REGISTERS];
    uint32_t accesses; /* out of date once the context has sent more than this */
};

/* All that is known of one device of one guest. */
struct oob_unit {
    struct oob_output output;
    uint64_t shadow[OOB_SHADOW_WORDS]; /* the operations' own */
};

/* `shadow` is oob_unit.shadow. An operation may be NULL: what happens then is said last. `accesses` counts what the
 * context has sent on this connection: what the server has published before it had served so many may be out of date.
 */
struct oob_device_ops {
    /* As after power-on. Nothing. */
    void (*init)(void *shadow);
    /* The guest was reset: its registers are as after power-on. Nothing. */
    void (*restart)(void *shadow);
    /* Its registers, and nothing else, are those of another shadow. Nothing. */
    void (*recall)(void *shadow, const void *remembered);

    /* Does the guest have to wait for a write to a register, now, whatever the server says of it? False. */
    bool (*awaits)(const void *shadow, unsigned reg);
    /* Follows a write, whoever serves it. True: it puts a byte on the line, which is output. False. */
    bool (*write)(void *shadow, unsigned reg, uint8_t value);
    /* The write is on its way, `sent`, or there is no server. `awaited`: as awaits() said. Nothing. */
    void (*written)(void *shadow, unsigned reg, bool awaited, bool sent, uint32_t accesses);

    /* Answers a read. OOB_TOLD_UNKNOWN. */
    enum oob_told (*read)(void *shadow, unsigned reg, uint8_t *value);
    /* Answers it alone, where read() did not know. Ones. */
    uint8_t (*idle_read)(void *shadow, unsigned reg);
    /* The guest reads `value`; `asked`: the server gave it. OOB_LOOK_DONE. */
    enum oob_look (*saw)(void *shadow, unsigned reg, uint8_t value, bool asked);
    /* The server was told of a read with an effect, or will be when it is back. Nothing. */
    void (*was_told)(void *shadow, unsigned reg, uint32_t accesses);
    /* What the server is still to be told (OOB_TOLD_LATER), which it is then told. False: nothing. False. */
    bool (*owes)(void *shadow, struct oob_write *read);
    /* Has the guest read all that the server has given it? True. */
    bool (*is_drained)(const void *shadow);
    /* The number of the image that the guest reads from next. 0. */
    uint32_t (*number)(const void *shadow);

    /* The server publishes. True: input waits for the guest. The registers are taken over, and false. */
    bool (*publish)(void *shadow, const struct oob_publish *publish);
    /* What the server has published so far is out of date. Nothing. */
    void (*outdate)(void *shadow, uint32_t accesses);

    /* The level of the device's line `n`: 0, 1, or -1: only the server knows. `alone`: there is no server, so that it
     * is 0 or 1. -1, or 0 where it is alone. */
    int (*level)(const void *shadow, unsigned n, bool alone);

    /* The writes that bring a device that was just made to the guest's registers. How many; 0. */
    size_t (*replay)(const void *shadow, struct oob_write writes[OOB_REPLAY_MAX]);
    /* Those around output that is sent later than it was written: before it, and, with `behind`, behind it. 0. */
    size_t (*around_output)(const void *shadow, bool behind, struct oob_write writes[OOB_REPLAY_MAX]);
    /* What the guest has read, which a server that was late or away is told. 0. */
    size_t (*reads)(void *shadow, struct oob_write reads[OOB_REPLAY_MAX]);
    unsigned output_reg; /* where output is written to */
};

/* One for which nobody has written a shadow. */
extern const struct oob_device_ops oob_no_shadow;

/* What a publication says of registers that may be read without effect. */
void oob_publication_take(struct oob_publication *p, const struct oob_publish *publish);
enum oob_told oob_publication_read(const struct oob_publication *p, uint32_t accesses, unsigned reg, uint8_t *value);

#endif
