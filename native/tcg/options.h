/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plugin's options, which are given on QEMU's command line (-plugin). */
#ifndef OOB_OPTIONS_H
#define OOB_OPTIONS_H

#include "bus.h"

struct oob_options {
    char socket[108]; /* the path of the server's socket; as long as sun_path may be */
    char machine[48];
    struct oob_bus bus;
    bool show_registers; /* L1 sees all of L2's registers at every exit (hide.h) */
};

/* Parses the options. Returns false, with a sentence in `error`, when one is unknown, missing or malformed. */
bool oob_options_parse(struct oob_options *options, int argc, char **argv, char error[256]);

#endif
