/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire between an interceptor's native half (in L0) and the server: version 2.
 *
 * Frames travel over a UNIX stream socket. All integers are little endian; no field is
 * unaligned; every reserved field is zero when sent and refused when it is not zero.
 * A frame is never longer than OOB_FRAME_MAX. The order of frames, who may send which, and
 * what closes a connection: docs/wire-protocol.md.
 *
 * The wire knows ranges of I/O ports and their registers. What device a range belongs to, no frame says.
 */
#ifndef OOB_WIRE_H
#define OOB_WIRE_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define OOB_MAGIC 0x31424f4fu /* "OOB1" as it lies in memory */
#define OOB_VERSION 2
#define OOB_FRAME_MAX 4096
#define OOB_NAME_MAX 48      /* machine name in HELLO, NUL padded; the last byte is always NUL */
#define OOB_POSTED_MAX 2048  /* bytes of data in one POSTED frame */
#define OOB_CONTEXTS_MAX 256 /* live contexts of one connection */
#define OOB_STATS_MAX 80
#define OOB_RANGES_MAX 32 /* ranges of I/O ports of one machine */
#define OOB_REGISTERS 8   /* registers in one image, from the first port of a range on */
#define OOB_IMAGES_MAX 17 /* images in one PUBLISH frame: a FIFO of 16 characters, and what is read behind them */

enum oob_type {
    /* native half -> server */
    OOB_HELLO = 0x01,
    OOB_ACCESS = 0x02, /* answered by exactly one OOB_ANSWER with the same seq */
    OOB_POSTED = 0x03, /* writes that need no answer */
    OOB_CONTEXT_APPEARED = 0x04,
    OOB_CONTEXT_GONE = 0x05,
    OOB_GAP = 0x06,         /* some output was lost while the server was away */
    OOB_STATS = 0x07,       /* the native half's counters */
    OOB_ANNOUNCED = 0x08,   /* every context that a server has known has appeared. The server answers with RESUME
                               frames, and then READY */
    OOB_READ_SERVED = 0x09, /* the guest has read a register, and reading it has an effect. Needs no answer */
    /* server -> native half */
    OOB_WELCOME = 0x81,
    OOB_ANSWER = 0x82,
    OOB_IRQ = 0x83,
    OOB_ATTENTION = 0x84, /* is anybody attached to the guest? Only then is an idle guest's timer brought forward */
    OOB_PUBLISH = 0x85,   /* tells ahead what the guest will read from a range's registers */
    OOB_RESUME = 0x86,    /* how much of a port's output the server has */
    OOB_READY = 0x87,     /* a RESUME was sent for each port that the server knows */
};

enum oob_capability {
    OOB_CAP_IRQ_LEVEL = 1u << 0,
    OOB_CAP_IRQ_PULSE = 1u << 1,
    OOB_CAP_ATTENTION = 1u << 2,
    OOB_CAP_PUBLISH = 1u << 3, /* PUBLISH and READ_SERVED */
};

enum oob_direction { OOB_READ = 0, OOB_WRITE = 1 };
enum oob_irq_mode { OOB_IRQ_LOW = 0, OOB_IRQ_HIGH = 1, OOB_IRQ_PULSE = 2 };
/* Why a context is gone. 4 is no reason. */
enum oob_gone_reason {
    OOB_GONE_REPLACED = 1,  /* L1 uses what belonged to its vCPUs for another guest */
    OOB_GONE_RESET = 2,     /* L1 was reset, and all its guests with it */
    OOB_GONE_EVICTED = 3,   /* there were more guests than the native half can keep, and it had not run for longest */
    OOB_GONE_DESTROYED = 5, /* L1 has taken its memory away */
};

/* Indices into oob_stats.counter. */
enum oob_stat {
    OOB_STAT_READS = 0,     /* synchronous reads */
    OOB_STAT_WRITES = 1,    /* writes, posted or not */
    OOB_STAT_PUBLISHED = 2, /* reads answered without asking the server */
    OOB_STAT_INJECTED = 3,  /* interrupts put into a VMCB */
    OOB_STAT_FORCED = 4,    /* exits forced to have a VMRUN to inject at */
    OOB_STAT_CLAMPED = 5,   /* timer deadlines brought forward */
    OOB_STAT_REFUSED = 6,   /* accesses of which it was not certain that a guest made them */
    OOB_STAT_AWAY = 7,      /* accesses that the shadow served because the server was late or away */
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

/* A range of I/O ports that is intercepted (HELLO) or served (WELCOME). */
struct oob_port_range {
    uint16_t first;  /* port; the range's base register */
    uint16_t length; /* in ports, at least 1 */
    uint16_t lines;  /* bit n: the range's device drives ISA interrupt n; 0: it has no interrupt */
    uint8_t widths;  /* an access may have so many bytes: bit 0: 1, bit 1: 2, bit 2: 4 */
    uint8_t posted;  /* bit n: nobody needs to wait for a write to register n; 0 in HELLO */
};

struct oob_hello {
    struct oob_header h;
    uint32_t magic;
    uint16_t version;
    uint16_t ranges; /* so many of `range` are meant; the others are zero */
    uint32_t capabilities;
    char machine[OOB_NAME_MAX];
    uint32_t instance; /* random, not 0, the same as long as this native half lives */
    struct oob_port_range range[OOB_RANGES_MAX];
};

struct oob_welcome {
    struct oob_header h;
    uint32_t magic;
    uint16_t version;
    uint16_t ranges;       /* as in HELLO */
    uint32_t capabilities; /* those of HELLO that the server uses */
    uint32_t reserved;
    struct oob_port_range range[OOB_RANGES_MAX];
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

/* The guest has read `value`. The native half has answered from what was published, and the server must apply the
 * effect of the reading to its device. If the guest has read the same base register several times in a row, one frame
 * tells the last of these readings. The frame counts as one access. */
struct oob_read_served {
    struct oob_header h;
    uint16_t port;
    uint8_t value;
    uint8_t reserved;
    uint32_t number; /* the number of the image that the guest reads from next */
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

/* The frame always has room for OOB_STATS_MAX counters. The sender knows the first `count` of them, and the others
 * are zero. */
struct oob_stats {
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
    uint32_t accesses; /* how many accesses of this context the server had served when it said this */
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
    uint64_t received; /* bytes of output since the context was bound to a guest. Bytes that a GAP frame told as lost
                          count, too */
};

/* What the guest will read from the registers of a range, as long as nothing but its own reading happens. */
struct oob_image {
    uint8_t valid;   /* bit n: reading register n yields value[n] */
    uint8_t effects; /* bit n: reading register n has an effect, of which READ_SERVED tells. The effect of
                        register 0 is that the guest reads from the next image afterwards */
    uint8_t value[OOB_REGISTERS]; /* what the registers hold */
};

/* A list of images. The guest reads from the first one; each reading of the range's base register, register 0, moves
 * to the next. The images of a range are numbered, modulo 2^32, and keep their numbers from one PUBLISH to the next;
 * where a server begins to count is random. `count` images are sent, the frame ends behind them. */
struct oob_publish {
    struct oob_header h;
    uint32_t accesses; /* how many accesses of this context the server had served when it said this */
    uint32_t number;   /* the number of image[0] */
    uint16_t port;     /* the first of the range */
    uint8_t count;     /* 1 .. OOB_IMAGES_MAX */
    uint8_t reserved;
    struct oob_image image[OOB_IMAGES_MAX];
};

#endif
