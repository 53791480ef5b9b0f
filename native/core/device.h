/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is a device to the native half? The server has the device itself. The native half has a shadow of it, for two
 * reasons: the shadow answers what is known of the device, so that a guest need not wait, and it stands in for the
 * device while the server is late or away.
 *
 * A device without a shadow works too, but slower: the guest's accesses go to the server, except for reads that a
 * publication of the server answers. While the server is away every register of such a device reads as ones.
 *
 * A new shadow is one file with a table of the operations below, and one line in options.c, or wherever another host
 * lists its devices.
 */
#ifndef OOB_DEVICE_H
#define OOB_DEVICE_H

#include "bus.h"
#include "oob_wire.h"
#include "output.h"
#include "types.h"

enum { OOB_REPLAY_MAX = 10, OOB_SHADOW_WORDS = 16 };

/* How is a publication made to count as out of date until the server knows how the guest has set the device? This
 * number is added to the number of accesses that a publication must have seen. No server reaches so many. */
#define OOB_NOTHING_COUNTS 0x40000000u

/* One write to a register of a device, with the value that was written; or one read, with the value that was read. */
struct oob_write {
    uint8_t reg, value;
};

/* What the shadow knows of a register that the guest reads. */
enum oob_told {
    OOB_TOLD_UNKNOWN, /* only the server knows what the guest reads */
    OOB_TOLD_PLAIN,   /* the value is known, and reading it has no effect */
    OOB_TOLD_EFFECT,  /* the value is known, reading it has changed the shadow, and the server must be told now */
    OOB_TOLD_LATER,   /* as OOB_TOLD_EFFECT, but it suffices to tell the server before anything else is sent to it; a
                       * write may make even that needless */
};

/* What a read reveals about the guest's handler of the device's interrupt. */
enum oob_look {
    OOB_LOOK_NONE, /* nothing */
    OOB_LOOK_MORE, /* the handler is at work, and will read again */
    OOB_LOOK_DONE, /* the handler has seen that nothing is pending, and is ready for another interrupt */
};

/* What the server has published about a range whose device has no shadow: the values of its registers, which hold as
 * long as the guest makes no access. */
struct oob_publication {
    uint8_t valid; /* bit n: value[n] may be read without asking */
    uint8_t value[OOB_REGISTERS];
    uint32_t accesses; /* the publication is out of date when the context has sent more accesses than this */
};

/* All that the native half knows of one device of one guest. */
struct oob_unit {
    struct oob_output output;
    uint64_t shadow[OOB_SHADOW_WORDS]; /* only the device's operations use it */
};

/* The operations of a shadow. Any of them may be NULL; the words "If NULL" say what happens then.
 *
 * `shadow` is oob_unit.shadow. `accesses` is how many accesses the context has sent on this connection. A
 * publication that the server made before it had served so many may be out of date. */
struct oob_device_ops {
    /* Sets the shadow to the state after power-on. If NULL: nothing. */
    void (*init)(void *shadow);
    /* The guest was reset, so its registers are as after power-on. If NULL: nothing. */
    void (*restart)(void *shadow);
    /* Takes over the registers of another shadow, and nothing else of it. If NULL: nothing. */
    void (*recall)(void *shadow, const void *remembered);

    /* Must the guest wait for a write to this register now, even if the server needs no answer? If NULL: no. */
    bool (*awaits)(const void *shadow, unsigned reg);
    /* Applies a write to the shadow, whether or not a server is there. Returns true when the write prints a byte,
     * that is, puts it on the serial line. If NULL: false. */
    bool (*write)(void *shadow, unsigned reg, uint8_t value);
    /* Called after write(). `sent`: the write is on its way to the server, else there is no server. `awaited` is
     * what awaits() returned. If NULL: nothing. */
    void (*written)(void *shadow, unsigned reg, bool awaited, bool sent, uint32_t accesses);

    /* Answers a read from the shadow and what was published. If NULL: OOB_TOLD_UNKNOWN. */
    enum oob_told (*read)(void *shadow, unsigned reg, uint8_t *value);
    /* Answers a read that read() could not answer, while there is no server. If NULL: all ones. */
    uint8_t (*idle_read)(void *shadow, unsigned reg);
    /* The guest has read `value`. `asked`: the server gave the value. If NULL: OOB_LOOK_DONE. */
    enum oob_look (*saw)(void *shadow, unsigned reg, uint8_t value, bool asked);
    /* The server was told of a read with an effect, or will be told when it is back. If NULL: nothing. */
    void (*was_told)(void *shadow, unsigned reg, uint32_t accesses);
    /* Is there a read of which the server must still be told (OOB_TOLD_LATER)? If so, `*read` is that read, and it
     * counts as told from now on. If NULL: false. */
    bool (*owes)(void *shadow, struct oob_write *read);
    /* Has the guest read all input that the server has published? If NULL: true. */
    bool (*is_drained)(const void *shadow);
    /* The number of the image that the guest reads from next. If NULL: 0. */
    uint32_t (*number)(const void *shadow);

    /* Takes over a publication of the server's. Returns true when input waits for the guest. If NULL: the registers
     * are kept in oob_context.published, and the result is false. */
    bool (*publish)(void *shadow, const struct oob_publish *publish);
    /* All that the server has published so far is out of date. If NULL: nothing. */
    void (*outdate)(void *shadow, uint32_t accesses);

    /* The level of the device's interrupt line `n`: 0 or 1, or -1 when only the server knows it. With `alone` there
     * is no server, and the result is 0 or 1. If NULL: -1, or 0 with `alone`. */
    int (*level)(const void *shadow, unsigned n, bool alone);
    /* Line `n` is high: may its interrupt wait for a millisecond? That is so when the guest has less work with
     * several such interrupts in one than with each of them. If NULL: false. */
    bool (*can_wait)(const void *shadow, unsigned n);

    /* Fills in the writes that bring a new device to the registers of the guest. Returns their number. If NULL: 0. */
    size_t (*replay)(const void *shadow, struct oob_write writes[OOB_REPLAY_MAX]);
    /* Output may be sent later than the guest wrote it, when the device is set in another way. Fills in the writes
     * to send before such output or, with `behind`, after it. Returns their number. If NULL: 0. */
    size_t (*around_output)(const void *shadow, bool behind, struct oob_write writes[OOB_REPLAY_MAX]);
    /* Fills in what the guest has read while the server was late or away. Returns how many reads. If NULL: 0. */
    size_t (*reads)(void *shadow, struct oob_write reads[OOB_REPLAY_MAX]);
    unsigned output_reg; /* the register to which output is written */
};

/* The operations of a device that has no shadow. */
extern const struct oob_device_ops oob_no_shadow;

/* Take over a publication, and read a register from it. Only registers that read without effect are kept. */
void oob_publication_take(struct oob_publication *p, const struct oob_publish *publish);
enum oob_told oob_publication_read(const struct oob_publication *p, uint32_t accesses, unsigned reg, uint8_t *value);

#endif
