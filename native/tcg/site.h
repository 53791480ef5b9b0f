/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A site: a port I/O instruction of an L2. It is made when QEMU translates the instruction, and given to the
 * callback when the vCPU executes it. */
#ifndef OOB_SITE_H
#define OOB_SITE_H

#include <stdint.h>

/* A site fits into the 64 bits of a callback's argument. Why does it not hold the whole address? QEMU translates a
 * page once for all its mappings, so only the offset within the page is the same for all of them. */
union oob_io_site {
    struct {
        uint64_t offset : 12;   /* RIP modulo the size of a page */
        uint64_t length : 4;    /* of the instruction, in bytes */
        uint64_t size_log2 : 2; /* the logarithm of the access's 1, 2 or 4 bytes */
        uint64_t out : 1;
        uint64_t string : 1;
        uint64_t rep : 1;
        uint64_t address_log2 : 2; /* INS, OUTS: the logarithm of an address's 2, 4 or 8 bytes */
        uint64_t immediate : 1;    /* the port is in the instruction, and not in DX */
        uint64_t port : 8;         /* the immediate port */
    };
    void *packed;
};

/* How many bytes an access moves: 1, 2 or 4. */
static inline unsigned oob_io_size(union oob_io_site site) {
    return 1u << site.size_log2;
}

#endif
