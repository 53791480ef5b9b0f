/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which L2 is running? A context is one L2. Its vCPUs are recognised by their VMCBs or VMCSs (virt.h).
 * docs/threat-model.md says what that identity rests on, and what it cannot promise.
 *
 * Every function here, and in the headers that include this one, is called with the machine's lock held
 * (platform.h).
 */
#ifndef OOB_CONTEXT_H
#define OOB_CONTEXT_H

#include "bus.h"
#include "device.h"
#include "irqchip.h"
#include "oob_wire.h"
#include "types.h"

enum { OOB_L2_VCPUS_MAX = 1024, OOB_REMEMBERED_MAX = 8 /* guests that are gone, kept in oob_remembered */ };

struct oob_context;
struct oob_machine;

enum { OOB_GENERAL_REGS = 16, OOB_STASH_MAX = 8 };

/* The registers of an L2's vCPU that L1 must not see (hide.h). */
struct oob_hidden {
    uint16_t which; /* bit n: register n is hidden, in the order in which instructions number registers */
    uint64_t rip;
    uint64_t reg[OOB_GENERAL_REGS];
};

/* Room for what the host itself wants to keep about an L2's vCPU. It is zero at first, and core does not use it. */
enum { OOB_HOST_WORDS = 24 };

/* The timer of a guest of Xen's (xen.h). */
struct oob_xen_timer {
    bool changed;       /* the deadline is other than L2 has written it, until L1 has answered the hypercall */
    bool awake;         /* L2 has not halted since its deadline was brought forward the last time */
    uint64_t at;        /* where in L1's memory the deadline stands */
    uint64_t own, ours; /* the deadline as L2 has written it, and as we have */
};

/* One vCPU of an L2. */
struct oob_l2_vcpu {
    uint64_t block; /* its VMCB, or what takes the VMCB's place (virt.h); 0: a free slot */
    uint64_t tag;   /* a random number that marks the block, to recognise it */
    struct oob_context *context;
    unsigned index;      /* 0 for the first vCPU that L1 ran, 1 for the second, and so on */
    uint32_t entries;    /* how often L1 entered it, modulo 2^32 */
    uint32_t cpuid_leaf; /* the leaf of a CPUID that L1 is answering: 1 or 0xb, whose answer holds the APIC ID */
    uint32_t apic_id;    /* until a CPUID has told it: the index, because KVM numbers its vCPUs so */
    uint8_t logical_id;  /* the LDR of its local APIC, for the flat model; 0: the guest has not written it */
    bool armed;          /* an interrupt of ours is in the block */
    uint8_t armed_line;  /* the ISA line for which it is there */
    uint64_t host[OOB_HOST_WORDS];
    struct oob_hidden hidden;
    uint64_t tsc, tsc_ns;           /* the last time stamp that this vCPU read, and our clock's time then */
    uint64_t base_tsc, base_tsc_ns; /* an earlier time stamp: both together give the rate */
    struct oob_xen_timer xen_timer;
};

/* An interrupt line into an L2. */
struct oob_line {
    uint16_t drivers;  /* who drives it high. Bit n: the shadow of device n. The last bit: the server, for what it
                          alone knows */
    bool armed;        /* the interrupt is in some vCPU's block */
    bool pulse;        /* the level falls when the interrupt is delivered */
    bool said;         /* the level that the server said last */
    bool in_service;   /* the interrupt was delivered, and the guest's handler has not looked at the device yet, or
                          looks and has not seen the end */
    bool looked;       /* the guest has looked since the interrupt was put into its block */
    uint64_t since_ns; /* when the interrupt was delivered, or the guest looked last */
    bool armed_could_wait; /* all that drove the line could wait when the interrupt was put into the block */
    uint64_t waited_ns;    /* when an interrupt that could wait was delivered last; 0: never */
};

/* How are page tables made? They have two levels of four-byte entries (legacy paging), PAE's three levels, or four
 * or five levels. */
enum { OOB_LEGACY_LEVELS = 2, OOB_PAE_LEVELS = 3, OOB_LONG_LEVELS = 4 };
struct oob_tables {
    uint8_t levels;
    bool pse; /* with two levels: there may be pages of 4 MiB */
};

/* One L2. */
struct oob_context {
    struct oob_machine *machine;
    uint32_t number;          /* from 1 on; 0: a free slot */
    uint64_t root;            /* the nested page table that L1 made for it */
    struct oob_tables nested; /* how that table is made; four levels, until the host knows better */
    uint64_t first_block;
    uint64_t last_run_ns, last_access_ns;
    uint64_t last_input_ns; /* when input last waited for the guest */
    uint64_t xen_time;      /* where in its physical memory Xen tells it the time (xen.h); 0: not known */
    uint64_t kernel;        /* LSTAR, the address of its kernel: it identifies a restored guest; 0: none yet */
    unsigned vcpus;
    bool at_reset;     /* its first vCPU has not left the reset vector */
    bool touched;      /* it has accessed a port of ours, so the server knows of it, or will be told */
    bool known;        /* it was announced to a server, on this connection or an earlier one */
    uint8_t departed;  /* an enum oob_gone_reason: it is gone, and the server must still be told; 0: it lives */
    uint64_t gone_at;  /* how many bytes this connection has had when it had told that; 0: not told yet */
    bool announced;    /* the server knows of it, on this connection */
    bool synced;       /* it is settled from which byte on the server gets its output, on this connection */
    bool attended;     /* somebody is attached to its console */
    uint32_t accesses; /* how many accesses were sent on this connection; each posted byte counts as one */
    struct oob_hidden stash[OOB_STASH_MAX]; /* the hidden registers of vCPUs that L1 may resume in another block */
    struct oob_irqchip chip;
    struct oob_line line[OOB_ISA_LINES];
    struct oob_unit unit[OOB_DEVICES_MAX];
    struct oob_publication published[OOB_RANGES_MAX];
};

/* The state of a guest that is gone. It is kept because L1 may restore the guest from a snapshot: the restored guest
 * has programmed its devices already, and does not do so again. */
struct oob_remembered {
    uint64_t kernel;
    struct oob_hidden stash[OOB_STASH_MAX];
    struct oob_irqchip chip;
    uint64_t shadow[OOB_DEVICES_MAX][OOB_SHADOW_WORDS];
};

/* What other parts of core do when something happens to a guest. machine.c says which parts. */
struct oob_context_events {
    /* The guest is gone, or was reset. A vCPU of it that waits for something gets it no more. */
    void (*ended)(const struct oob_context *context);
    /* The guest is gone. Returns true when its context must be kept as it is until oob_context_end() is called. */
    bool (*gone)(struct oob_context *context, enum oob_gone_reason reason);
    /* The shadows of the guest's devices were reset, or set to an earlier state: makes the server's devices the
     * same. */
    void (*replay)(struct oob_context *context);
    /* Ends one of the contexts that gone() has kept. Returns false when there is none. */
    bool (*make_room)(struct oob_machine *machine);
};

/* All of a machine's guests. */
struct oob_contexts {
    const struct oob_context_events *events;
    struct oob_context context[OOB_CONTEXTS_MAX]; /* in use if it has a number; some have departed */
    struct oob_l2_vcpu vcpu[OOB_L2_VCPUS_MAX];    /* in use if it has a block */
    struct oob_remembered remembered[OOB_REMEMBERED_MAX];
    unsigned next_remembered;
    uint32_t last_number;
    uint64_t last_tick_ns;
};

/* To be called when L1 enters an L2. Returns the vCPU of an L2 to which this block belongs, and makes a new one when
 * the block is new. */
struct oob_l2_vcpu *oob_context_enter(struct oob_machine *machine, uint64_t block);

/* Makes a context for a guest that nobody has seen before. Its devices are as after power-on. */
struct oob_context *oob_context_new(struct oob_machine *machine, uint64_t block, uint64_t root);
/* The guest was reset, and its devices with it. Its output that the server does not have yet is kept. */
void oob_context_restart(struct oob_context *context);
/* The guest is gone. Forgets its vCPUs, and also the context unless oob_context_events.gone() wants to keep it. */
void oob_context_forget(struct oob_context *context, enum oob_gone_reason reason);

/* To be called now and then from a vCPU's callback. Ends the contexts of guests that L1 has destroyed. */
void oob_context_tick(struct oob_machine *machine);
/* L1 was reset, so all its L2s are gone. */
void oob_context_reset_all(struct oob_machine *machine);

/* The context of that number, or NULL. */
struct oob_context *oob_context_find(struct oob_machine *machine, uint32_t number);
/* Calls `visit` for every context: for those that live, and for those that have departed. */
void oob_context_each(struct oob_machine *machine, void (*visit)(struct oob_context *context));
/* Frees a context that has departed, when the server has been told all about it. */
void oob_context_end(struct oob_context *context);

#endif
