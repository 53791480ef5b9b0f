/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plugin's options, as they stand on QEMU's command line. */
#ifndef OOB_OPTIONS_H
#define OOB_OPTIONS_H

#include "bus.h"

struct oob_options {
    char socket[108]; /* sun_path */
    char machine[48];
    struct oob_bus bus;
    bool show_registers; /* L1 sees all of L2's registers at every exit */
};

/* False, with a sentence in `error`, when an option is unknown, missing or malformed. */
bool oob_options_parse(struct oob_options *options, int argc, char **argv, char error[256]);

#endif
