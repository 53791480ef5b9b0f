/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plugin's options, as they stand on QEMU's command line. */
#ifndef OOB_OPTIONS_H
#define OOB_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

enum { OOB_RANGES_MAX = 8 };

struct oob_range {
    uint16_t first, last; /* I/O ports, both included */
    uint8_t line;         /* ISA interrupt */
};

struct oob_options {
    char socket[108]; /* sun_path */
    char machine[48];
    struct oob_range range[OOB_RANGES_MAX];
    unsigned ranges;
    bool show_registers; /* L1 sees all of L2's registers at every exit */
};

/* False, with a sentence in `error`, when an option is unknown, missing or malformed. */
bool oob_options_parse(struct oob_options *options, int argc, char **argv, char error[256]);

/* Which range a port belongs to, or -1. */
int oob_options_range(const struct oob_options *options, uint32_t port);
/* Does an access of `size` bytes at `port` touch any range? */
bool oob_options_touched(const struct oob_options *options, uint32_t port, unsigned size);

#endif
