/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which L2 is running. A context is one L2; its vCPUs are known by their VMCBs. What that identity
 * rests on, and what it cannot: docs/threat-model.md.
 *
 * Everything here and in the headers that include it is called with the machine's lock held (platform.h).
 */
#ifndef OOB_CONTEXT_H
#define OOB_CONTEXT_H

#include "bus.h"
#include "device.h"
#include "irqchip.h"
#include "oob_wire.h"
#include "types.h"

enum { OOB_L2_VCPUS_MAX = 1024, OOB_REMEMBERED_MAX = 8 /* guests that are gone */ };

struct oob_context;
struct oob_machine;

enum { OOB_GENERAL_REGS = 16, OOB_STASH_MAX = 8 };

/* Registers of an L2's vCPU that L1 does not see (hide.h). */
struct oob_hidden {
    uint16_t which; /* bit n: register n, as instructions number them */
    uint64_t rip;
    uint64_t reg[OOB_GENERAL_REGS];
};

/* What a host keeps of an L2's vCPU, beside what core does: zeros at first, and of no meaning to core. */
enum { OOB_HOST_WORDS = 24 };

/* One vCPU of an L2. */
struct oob_l2_vcpu {
    uint64_t vmcb; /* physical address of L1; 0: a free slot */
    uint64_t tag;  /* what we wrote into the VMCB to know it again */
    struct oob_context *context;
    unsigned index;      /* in the order in which L1 first ran them */
    uint32_t entries;    /* VMRUNs, modulo 2^32 */
    uint32_t cpuid_leaf; /* of a CPUID that L1 is answering: 1 or 0xb, whose answer holds the APIC ID */
    uint32_t apic_id;    /* until CPUID has told it, the index: KVM numbers them so */
    uint8_t logical_id;  /* as its local APIC's LDR has it, for the flat model; 0: not written */
    bool armed;          /* our V_IRQ is in the VMCB */
    uint8_t armed_line;
    uint64_t host[OOB_HOST_WORDS];
    struct oob_hidden hidden;
    uint64_t tsc, tsc_ns;           /* the last time stamp that this vCPU read, and when */
    uint64_t base_tsc, base_tsc_ns; /* an earlier one: both together give the rate */
};

/* An interrupt line into an L2. */
struct oob_line {
    uint16_t drivers;  /* who drives it high: bit n: the shadow of device n; the last bit: the server, where it knows
                          more */
    bool armed;        /* it is in some vCPU's VMCB */
    bool pulse;        /* the level falls when the interrupt is delivered */
    bool said;         /* the level, as the server said it last */
    bool in_service;   /* delivered, and the guest has not looked yet; or it looks, and has not seen the end */
    bool looked;       /* the guest has looked since the interrupt was put into its VMCB */
    uint64_t since_ns; /* when it was delivered, or the guest looked last */
};

/* How page tables are made: of two levels of four-byte entries (legacy), of PAE's three, or of four or five. */
enum { OOB_LEGACY_LEVELS = 2, OOB_PAE_LEVELS = 3, OOB_LONG_LEVELS = 4 };
struct oob_tables {
    uint8_t levels;
    bool pse; /* of two levels: with pages of 4 MiB */
};

struct oob_context {
    struct oob_machine *machine;
    uint32_t number; /* from 1; 0: a free slot */
    uint64_t ncr3;
    struct oob_tables nested; /* how the table at `ncr3` is made; four levels, until the host knows better */
    uint64_t first_vmcb;
    uint64_t last_run_ns, last_access_ns;
    uint64_t last_input_ns; /* when input was last there for it */
    uint64_t kernel;        /* LSTAR: where its kernel lies, by which a restored guest is known again; 0: none yet */
    unsigned vcpus;
    bool at_reset;     /* its first vCPU has not left the reset vector */
    bool touched;      /* it has accessed a port of ours: the server knows, or will know, of it */
    bool known;        /* it was announced, on whichever connection */
    uint8_t departed;  /* it is no more, and the server is still to be told: enum oob_gone_reason; 0: it lives */
    uint64_t gone_at;  /* where that stands in what is sent on this connection, its end; 0: it was not said yet */
    bool announced;    /* the server knows of it, on this connection */
    bool synced;       /* ... and where its output is to go on is settled */
    bool attended;     /* somebody is attached */
    uint32_t accesses; /* sent on this connection, each posted byte counting as one */
    struct oob_hidden stash[OOB_STASH_MAX]; /* of its vCPUs, as L1 stopped them to go on with them elsewhere */
    struct oob_irqchip chip;
    struct oob_line line[OOB_ISA_LINES];
    struct oob_unit unit[OOB_DEVICES_MAX];
    struct oob_publication published[OOB_RANGES_MAX];
};

/* A guest that is gone, as it was: one that L1 restores from a snapshot has its devices already programmed. */
struct oob_remembered {
    uint64_t kernel;
    struct oob_hidden stash[OOB_STASH_MAX];
    struct oob_irqchip chip;
    uint64_t shadow[OOB_DEVICES_MAX][OOB_SHADOW_WORDS];
};

/* What others do when something happens to a guest (machine.c says who). */
struct oob_context_events {
    /* It is no more. True when it is to be kept as it is until oob_context_end() is called for it. */
    bool (*gone)(struct oob_context *context, enum oob_gone_reason reason);
    /* Its devices were reset, or are those that it had: the server's are to be as they are. */
    void (*replay)(struct oob_context *context);
    /* Ends one of those that were kept. False when there is none. */
    bool (*make_room)(struct oob_machine *machine);
};

/* All of a machine's guests. */
struct oob_contexts {
    const struct oob_context_events *events;
    struct oob_context context[OOB_CONTEXTS_MAX]; /* those with a number; more than live (oob_context.departed) */
    struct oob_l2_vcpu vcpu[OOB_L2_VCPUS_MAX];    /* those with a VMCB */
    struct oob_remembered remembered[OOB_REMEMBERED_MAX];
    unsigned next_remembered;
    uint32_t last_number;
    uint64_t last_tick_ns;
};

/* At VMRUN: which vCPU of which L2 this VMCB is. */
struct oob_l2_vcpu *oob_context_enter(struct oob_machine *machine, uint64_t vmcb);

/* A guest that nobody has seen before, with its devices as they are after power-on. */
struct oob_context *oob_context_new(struct oob_machine *machine, uint64_t vmcb, uint64_t ncr3);
/* The guest was reset, and its devices with it; what it has printed stays. */
void oob_context_restart(struct oob_context *context);
/* It is no more: its vCPUs are forgotten, and it as well unless it is to be kept. */
void oob_context_forget(struct oob_context *context, enum oob_gone_reason reason);

/* Now and then, from a vCPU's callback: ends the contexts that L1 has destroyed. */
void oob_context_tick(struct oob_machine *machine);
/* L1 was reset: all its L2s are gone. */
void oob_context_reset_all(struct oob_machine *machine);

struct oob_context *oob_context_find(struct oob_machine *machine, uint32_t number);
/* Calls `visit` for every live context, and for those that have departed. */
void oob_context_each(struct oob_machine *machine, void (*visit)(struct oob_context *context));
/* Nothing is left to be told of one that has departed. */
void oob_context_end(struct oob_context *context);

#endif
