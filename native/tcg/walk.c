/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "walk.h"

#include "cpu.h"

#define PRESENT 1u
#define LARGE (1u << 7)
#define FRAME 0x000ffffffffff000ull
#define CR0_PG (1u << 31)
#define CR4_PAE (1u << 5)
#define CR4_LA57 (1u << 12)
#define EFER_LMA (1u << 10)

#define UNMAPPED UINT64_MAX

/* Where a table of one walk lies: N_CR3 holds physical addresses of L1, L2's CR3 guest-physical ones. */
static uint64_t table_address(const struct oob_paging *nested, uint64_t addr);

/* Walks tables of 512 eight-byte entries (AMD APM vol. 2, 5.3) from `root` down `levels` levels. */
static uint64_t walk_long(const struct oob_paging *nested, uint64_t root, int levels, uint64_t addr) {
    uint64_t table = root & FRAME;

    for (int level = levels - 1; level >= 0; level--) {
        int shift = 12 + 9 * level;
        uint64_t at = table_address(nested, table + ((addr >> shift) & 511) * 8);
        uint64_t entry = at == UNMAPPED ? 0 : oob_phys_read_u64(at);

        if (!(entry & PRESENT))
            return UNMAPPED;
        if (level && (entry & LARGE)) {
            uint64_t offset = (1ull << shift) - 1;

            return (entry & FRAME & ~offset) | (addr & offset);
        }
        table = entry & FRAME;
    }
    return table | (addr & 0xfff);
}

/* PAE paging of legacy mode: four directory pointers, then two levels (5.2.3). */
static uint64_t walk_pae(const struct oob_paging *paging, uint64_t addr) {
    uint64_t at = table_address(paging, (paging->cr3 & ~0x1full & 0xffffffff) + ((addr >> 30) & 3) * 8);
    uint64_t entry = at == UNMAPPED ? 0 : oob_phys_read_u64(at);

    return entry & PRESENT ? walk_long(paging, entry, 2, addr & 0x3fffffff) : UNMAPPED;
}

/* Two levels of 1024 four-byte entries (5.2.1). */
static uint64_t walk_legacy(const struct oob_paging *paging, uint64_t addr) {
    uint64_t table = paging->cr3 & 0xfffff000;

    for (int level = 1; level >= 0; level--) {
        int shift = 12 + 10 * level;
        uint64_t at = table_address(paging, table + ((addr >> shift) & 1023) * 4);
        uint32_t entry = at == UNMAPPED ? 0 : oob_phys_read_u32(at);

        if (!(entry & PRESENT))
            return UNMAPPED;
        if (level && (entry & LARGE))
            return ((uint64_t)(entry & 0x1fe000) << 19) | (entry & 0xffc00000) | (addr & 0x3fffff);
        table = entry & 0xfffff000;
    }
    return table | (addr & 0xfff);
}

/* Nested paging uses long-mode tables of the depth that L1 runs with; four levels is what every L1
 * uses that has not turned LA57 on for itself (AMD APM vol. 2, 15.25.5). */
static uint64_t table_address(const struct oob_paging *nested, uint64_t addr) {
    return nested ? walk_long(NULL, nested->ncr3, 4, addr) : addr;
}

static uint64_t guest_physical(const struct oob_paging *paging, uint64_t linear) {
    if (!(paging->cr0 & CR0_PG))
        return linear;
    if (paging->efer & EFER_LMA)
        return walk_long(paging, paging->cr3, paging->cr4 & CR4_LA57 ? 5 : 4, linear);
    if (paging->cr4 & CR4_PAE)
        return walk_pae(paging, linear & 0xffffffff);
    return walk_legacy(paging, linear & 0xffffffff);
}

bool oob_l2_read(const struct oob_paging *paging, uint64_t linear, void *data, size_t len) {
    uint8_t *out = data;

    while (len) {
        size_t chunk = 0x1000 - (linear & 0xfff);
        uint64_t gpa = guest_physical(paging, linear);
        uint64_t pa = gpa == UNMAPPED ? UNMAPPED : table_address(paging, gpa);

        if (chunk > len)
            chunk = len;
        if (pa == UNMAPPED || !oob_phys_read(pa, out, chunk))
            return false;
        linear += chunk;
        out += chunk;
        len -= chunk;
    }
    return true;
}
