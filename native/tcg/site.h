/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A port I/O instruction of an L2, as its translation and its execution speak of it. */
#ifndef OOB_SITE_H
#define OOB_SITE_H

#include <stdint.h>

/* A port I/O instruction, in the 64 bits of a callback's argument. Of its address only what all mappings of its page
 * have in common: QEMU translates a page once for all of them. */
union oob_io_site {
    struct {
        uint64_t offset : 12; /* of RIP, in a page */
        uint64_t length : 4;
        uint64_t size_log2 : 2; /* of 1, 2 or 4 bytes */
        uint64_t out : 1;
        uint64_t string : 1;
        uint64_t rep : 1;
        uint64_t address_log2 : 2; /* INS, OUTS: of 2, 4 or 8 bytes */
        uint64_t immediate : 1;
        uint64_t port : 8; /* an immediate port */
    };
    void *packed;
};

/* In bytes: 1, 2 or 4. */
static inline unsigned oob_io_size(union oob_io_site site) {
    return 1u << site.size_log2;
}

#endif
