/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "paging.h"

#include "machine.h"
#include "platform.h"

#define PRESENT 1u
#define WRITABLE (1u << 1)
#define ACCESSED (1u << 5)
#define DIRTY (1u << 6)
#define LARGE (1u << 7)
#define FRAME 0x000ffffffffff000ull
#define CR0_PG (1u << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_LA57 (1u << 12)
#define EFER_LMA (1u << 10)

#define UNMAPPED UINT64_MAX

/* One walk. With `nested` it goes through L2's own tables; the addresses of these tables are guest-physical, so each
 * of them takes a walk through the nested table. With `nested` NULL the walk goes through the nested table itself. */
struct walk {
    struct oob_machine *machine;
    const struct oob_paging *nested;
    bool write; /* in a walk through the nested table: fail where L2 may not write */
};

static uint64_t table_address(const struct walk *walk, uint64_t addr);

/* Reads a table entry of `size` bytes. Where the walk is for a write, marks the entry as accessed and dirty, as the
 * CPU would. Returns 0 when the entry does not permit the access. */
static uint64_t use_entry(const struct walk *walk, uint64_t gpa, size_t size, bool leaf) {
    uint64_t at = table_address(walk, gpa), entry = 0, marked;

    if (at == UNMAPPED || !oob_phys_read(walk->machine, at, &entry, size) || !(entry & PRESENT))
        return 0;
    if (!walk->write)
        return entry;
    if (!(entry & WRITABLE))
        return 0;
    marked = entry | ACCESSED | (leaf || (entry & LARGE) ? DIRTY : 0);
    if (marked != entry)
        oob_phys_write(walk->machine, at, &marked, size);
    return marked;
}

/* Walks down `levels` levels of tables of 512 eight-byte entries, beginning at `root` (AMD APM vol. 2, 5.3). */
static uint64_t walk_long(const struct walk *walk, uint64_t root, int levels, uint64_t addr) {
    uint64_t table = root & FRAME;

    for (int level = levels - 1; level >= 0; level--) {
        int shift = 12 + 9 * level;
        uint64_t entry = use_entry(walk, table + ((addr >> shift) & 511) * 8, 8, level == 0);

        if (!entry)
            return UNMAPPED;
        if (level && (entry & LARGE)) {
            uint64_t offset = (1ull << shift) - 1;

            return (entry & FRAME & ~offset) | (addr & offset);
        }
        table = entry & FRAME;
    }
    return table | (addr & 0xfff);
}

/* PAE paging in legacy mode (AMD APM vol. 2, 5.2.3): first four directory pointers, which permit everything and are
 * not marked, and then two levels. */
static uint64_t walk_pae(const struct walk *walk, uint64_t cr3, uint64_t addr) {
    struct walk pointers = {.machine = walk->machine, .nested = walk->nested};
    uint64_t entry = use_entry(&pointers, (cr3 & 0xffffffe0) + ((addr >> 30) & 3) * 8, 8, false);

    return entry ? walk_long(walk, entry, 2, addr & 0x3fffffff) : UNMAPPED;
}

/* Legacy paging: two levels of 1024 four-byte entries (AMD APM vol. 2, 5.2.1). */
static uint64_t walk_legacy(const struct walk *walk, uint64_t cr3, bool pse, uint64_t addr) {
    uint64_t table = cr3 & 0xfffff000;

    for (int level = 1; level >= 0; level--) {
        int shift = 12 + 10 * level;
        uint64_t entry = use_entry(walk, table + ((addr >> shift) & 1023) * 4, 4, level == 0);

        if (!entry)
            return UNMAPPED;
        if (level && (entry & LARGE) && pse)
            return (entry & 0x1fe000) << 19 | (entry & 0xffc00000) | (addr & 0x3fffff);
        table = entry & 0xfffff000;
    }
    return table | (addr & 0xfff);
}

static uint64_t walk_tables(const struct walk *walk, const struct oob_tables *tables, uint64_t root, uint64_t addr) {
    switch (tables->levels) {
    case OOB_LEGACY_LEVELS: return walk_legacy(walk, root, tables->pse, addr & 0xffffffff);
    case OOB_PAE_LEVELS: return walk_pae(walk, root, addr & 0xffffffff);
    default: return walk_long(walk, root, tables->levels, addr);
    }
}

struct oob_tables oob_tables_of(uint64_t cr4, uint64_t efer) {
    if (efer & EFER_LMA)
        return (struct oob_tables){.levels = cr4 & CR4_LA57 ? 5 : 4};
    return (struct oob_tables){.levels = cr4 & CR4_PAE ? OOB_PAE_LEVELS : OOB_LEGACY_LEVELS, .pse = cr4 & CR4_PSE};
}

/* A nested table has the same format as the tables of L1 itself, in the mode in which L1 executed VMRUN (AMD APM
 * vol. 2, 15.25.5). */
static uint64_t through_nested(const struct oob_paging *p, uint64_t gpa, bool write) {
    struct walk nested = {.machine = p->machine, .write = write};

    return walk_tables(&nested, &p->nested, p->root, gpa);
}

static uint64_t table_address(const struct walk *walk, uint64_t addr) {
    return walk->nested ? through_nested(walk->nested, addr, false) : addr;
}

static uint64_t physical(const struct oob_paging *p, uint64_t linear, bool write) {
    struct walk walk = {.machine = p->machine, .nested = p};
    uint64_t gpa = linear;

    if (p->cr0 & CR0_PG) {
        struct oob_tables tables = oob_tables_of(p->cr4, p->efer);

        gpa = walk_tables(&walk, &tables, p->cr3, linear);
    }
    return gpa == UNMAPPED ? UNMAPPED : through_nested(p, gpa, write);
}

struct oob_paging oob_paging_live(const struct oob_context *context, unsigned vcpu) {
    struct oob_machine *machine = context->machine;

    return (struct oob_paging){
        .machine = machine,
        .cr0 = oob_reg_read(machine, vcpu, OOB_REG_CR0),
        .cr3 = oob_reg_read(machine, vcpu, OOB_REG_CR3),
        .cr4 = oob_reg_read(machine, vcpu, OOB_REG_CR4),
        .efer = oob_reg_read(machine, vcpu, OOB_REG_EFER),
        .root = context->root,
        .nested = context->nested,
    };
}

struct oob_paging oob_paging_saved(const struct oob_context *context, uint64_t block) {
    struct oob_machine *machine = context->machine;
    const struct oob_virt *virt = machine->virt;

    return (struct oob_paging){
        .machine = machine,
        .cr0 = virt->read(machine, block, OOB_STATE_CR0),
        .cr3 = virt->read(machine, block, OOB_STATE_CR3),
        .cr4 = virt->read(machine, block, OOB_STATE_CR4),
        .efer = virt->read(machine, block, OOB_STATE_EFER),
        .root = virt->read(machine, block, OOB_STATE_NESTED_ROOT),
        .nested = context->nested,
    };
}

static size_t in_page(uint64_t linear, size_t len) {
    size_t left = 0x1000 - (linear & 0xfff);

    return len < left ? len : left;
}

bool oob_paging_read(const struct oob_paging *paging, uint64_t linear, void *data, size_t len) {
    for (uint8_t *out = data; len;) {
        size_t chunk = in_page(linear, len);
        uint64_t pa = physical(paging, linear, false);

        if (pa == UNMAPPED || !oob_phys_read(paging->machine, pa, out, chunk))
            return false;
        linear += chunk;
        out += chunk;
        len -= chunk;
    }
    return true;
}

bool oob_paging_writable(const struct oob_paging *paging, uint64_t linear, uint64_t *at) {
    *at = physical(paging, linear, true);
    return *at != UNMAPPED;
}
