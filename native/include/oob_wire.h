/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire between an interceptor's native half (in L0) and the server: version 1.
 *
 * Frames travel over a UNIX stream socket. All integers are little endian; no field is
 * unaligned; every reserved field is zero when sent and refused when it is not zero.
 * A frame is never longer than OOB_FRAME_MAX. The order of frames, who may send which, and
 * what closes a connection: docs/wire-protocol.md.
 */
#ifndef OOB_WIRE_H
#define OOB_WIRE_H

#include <stdint.h>

#define OOB_MAGIC 0x31424f4fu /* "OOB1" as it lies in memory */
#define OOB_VERSION 1
#define OOB_FRAME_MAX 4096
#define OOB_NAME_MAX 48      /* machine name in HELLO, NUL padded; the last byte is always NUL */
#define OOB_POSTED_MAX 2048  /* bytes of data in one POSTED frame */
#define OOB_CONTEXTS_MAX 256 /* live contexts of one connection */
#define OOB_STATS_MAX 80
#define OOB_INPUT_MAX 16 /* characters in one INPUT frame: a receiver FIFO */

enum oob_type {
    /* native half -> server */
    OOB_HELLO = 0x01,
    OOB_ACCESS = 0x02, /* answered by exactly one OOB_ANSWER with the same seq */
    OOB_POSTED = 0x03, /* writes that need no answer */
    OOB_CONTEXT_APPEARED = 0x04,
    OOB_CONTEXT_GONE = 0x05,
    OOB_GAP = 0x06, /* output lost while the server was away */
    OOB_STATS = 0x07,
    OOB_ANNOUNCED = 0x08,   /* every context that a server has known has appeared: answered by RESUMEs, then READY */
    OOB_THRE_SERVED = 0x09, /* the guest has read from IIR that THR is empty; needs no answer */
    OOB_TAKEN = 0x0a,       /* the guest has read from RBR what INPUT gave; needs no answer */
    /* server -> native half */
    OOB_WELCOME = 0x81,
    OOB_ANSWER = 0x82,
    OOB_IRQ = 0x83,
    OOB_ATTENTION = 0x84, /* is anybody attached: only then is an idle guest's timer clamped */
    OOB_PUBLISH = 0x85,   /* registers whose reading has no side effect: read without asking */
    OOB_RESUME = 0x86,    /* how much of a port's output the server has */
    OOB_READY = 0x87,     /* ... was said of all that it knows */
    OOB_INPUT = 0x88,     /* what the guest will read from RBR */
};

enum oob_capability {
    OOB_CAP_IRQ_LEVEL = 1u << 0,
    OOB_CAP_IRQ_PULSE = 1u << 1,
    OOB_CAP_ATTENTION = 1u << 2,
    OOB_CAP_PUBLISH = 1u << 3,
    OOB_CAP_INPUT = 1u << 4, /* INPUT and TAKEN */
};

enum oob_direction { OOB_READ = 0, OOB_WRITE = 1 };
enum oob_irq_mode { OOB_IRQ_LOW = 0, OOB_IRQ_HIGH = 1, OOB_IRQ_PULSE = 2 };
enum oob_gone_reason {
    OOB_GONE_REPLACED = 1,
    OOB_GONE_RESET = 2,
    OOB_GONE_EVICTED = 3,
    OOB_GONE_SHUTDOWN = 4,
    OOB_GONE_DESTROYED = 5,
};

/* Indices into oob_stats.counter. */
enum oob_stat {
    OOB_STAT_READS = 0,     /* synchronous reads */
    OOB_STAT_WRITES = 1,    /* writes, posted or not */
    OOB_STAT_PUBLISHED = 2, /* reads answered from a publication */
    OOB_STAT_INJECTED = 3,  /* interrupts put into a VMCB */
    OOB_STAT_FORCED = 4,    /* exits forced to have a VMRUN to inject at */
    OOB_STAT_CLAMPED = 5,   /* timer deadlines brought forward */
    OOB_STAT_REFUSED = 6,   /* accesses that belonged to no believable context */
    OOB_STAT_AWAY = 7,      /* accesses served as an idle UART, the server being away */
    OOB_STAT_DROPPED = 8,   /* output bytes lost while the server was away */
    OOB_STAT_RECONNECTS = 9,
    OOB_STAT_READ_NS = 10, /* time spent waiting for answers, ns */
    OOB_STAT_LATENCY = 11, /* 64 counters: accesses answered within 2^(n/4) us .. 2^((n+1)/4) us, n from 0 */
    OOB_STAT_COUNT = 75,
};

struct oob_header {
    uint16_t length;  /* of the whole frame, this header included */
    uint8_t type;     /* enum oob_type */
    uint8_t flags;    /* reserved */
    uint32_t context; /* which L2, from 1; 0 for HELLO, WELCOME and STATS */
};

struct oob_hello {
    struct oob_header h;
    uint32_t magic;
    uint16_t version;
    uint16_t reserved;
    uint32_t capabilities;
    char machine[OOB_NAME_MAX];
    uint32_t instance; /* random, not 0, the same as long as this native half lives */
};

struct oob_welcome {
    struct oob_header h;
    uint32_t magic;
    uint16_t version;
    uint16_t reserved;
    uint32_t capabilities; /* those of HELLO that the server uses */
    uint32_t reserved2;
};

struct oob_access {
    struct oob_header h;
    uint32_t seq; /* of this connection, from 1, one more each time; wraps to 0 */
    uint16_t port;
    uint8_t size;      /* 1, 2 or 4 */
    uint8_t direction; /* enum oob_direction */
    uint32_t value;    /* 0 for a read */
    uint16_t vcpu;
    uint16_t reserved;
};

struct oob_answer {
    struct oob_header h;
    uint32_t seq;
    uint32_t value; /* 0 for a write */
};

struct oob_posted { /* followed by `count` bytes: that many byte-wide writes to `port`, in order */
    struct oob_header h;
    uint16_t port;
    uint16_t count; /* 1 .. OOB_POSTED_MAX */
    uint16_t vcpu;
    uint16_t reserved;
};

struct oob_thre_served { /* an access, as a read of IIR is */
    struct oob_header h;
    uint16_t port; /* of IIR */
    uint16_t reserved;
    uint32_t reserved2;
};

struct oob_taken { /* an access, as a read of RBR is */
    struct oob_header h;
    uint16_t port; /* of RBR */
    uint16_t reserved;
    uint32_t next; /* the number of the character that the guest will read next */
};

struct oob_context_appeared {
    struct oob_header h;
    uint64_t vmcb; /* where L0 first saw it: for the log, not an identity */
    uint64_t ncr3;
    uint64_t reserved;
};

struct oob_context_gone {
    struct oob_header h;
    uint32_t reason; /* enum oob_gone_reason */
    uint32_t reserved;
};

/* ANNOUNCED and READY are a header alone. */

struct oob_gap {
    struct oob_header h;
    uint16_t port;
    uint16_t reserved;
    uint32_t reserved2;
    uint64_t lost; /* bytes, at this place in the port's output */
};

struct oob_stats { /* followed by nothing: `count` of the counters are meant */
    struct oob_header h;
    uint32_t count; /* OOB_STAT_COUNT of the sender, at most OOB_STATS_MAX */
    uint32_t reserved;
    uint64_t counter[OOB_STATS_MAX];
};

struct oob_irq {
    struct oob_header h;
    uint8_t line; /* ISA IRQ, 0 .. 15 */
    uint8_t mode; /* enum oob_irq_mode */
    uint16_t reserved;
    uint32_t accesses; /* of this context that the server had served */
};

struct oob_attention {
    struct oob_header h;
    uint32_t attended; /* 0 or 1 */
    uint32_t reserved;
};

struct oob_resume {
    struct oob_header h;
    uint16_t port; /* the first of its range */
    uint16_t reserved;
    uint32_t reserved2;
    uint64_t received; /* bytes of output since the context was bound, those told as lost by GAP included */
};

/* All characters in the receiver, with their numbers: of a port, each has one more than the one before it, modulo
 * 2^32; where a server begins to count is random. Those that the guest has read, or has cleared away, are not in it
 * any more. */
struct oob_input {
    struct oob_header h;
    uint16_t port; /* of RBR */
    uint8_t count; /* 1 .. OOB_INPUT_MAX */
    uint8_t reserved;
    uint32_t number;             /* of data[0] */
    uint8_t data[OOB_INPUT_MAX]; /* 0 behind `count` */
};

struct oob_publish {
    struct oob_header h;
    uint32_t writes;   /* accesses of this context that the server had served: stale if native has sent more */
    uint16_t port;     /* of the register of bit 0 */
    uint8_t valid;     /* bit n: value[n] may be read without asking */
    uint8_t after_thr; /* bit n: stays true when a byte is written to THR (port + 0) */
    uint8_t value[8];
};

#endif
