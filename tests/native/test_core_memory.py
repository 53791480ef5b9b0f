"""What L2 has in its memory, and what its TSS allows (`native/core/paging.c`, `ioperm.c`). Source: AMD APM vol. 2."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.native.core import (
    CR0,
    CR3,
    CR4,
    CS,
    EFER,
    EFLAGS,
    SAVED_CR0,
    SAVED_CR3,
    SAVED_CR4,
    SAVED_EFER,
    TR_BASE,
    TR_LIMIT,
    Core,
)

A = 0x10000
NESTED = 0x40000  # L1's tables
GUEST = 0x20000  # L2's, at the same addresses in L2
PAGE, OTHER = 0x30000, 0x31000
PRESENT, WRITABLE, ACCESSED, DIRTY, LARGE = 1, 2, 0x20, 0x40, 0x80
PG, PE = 1 << 31, 1
PSE, PAE, LA57 = 1 << 4, 1 << 5, 1 << 12
LMA = 1 << 10
VM = 1 << 17


class Tables:
    """Makes page tables in L1's memory, one after the other."""

    def __init__(self, core: Core, at: int, *, width: int, bits: int) -> None:
        self._core, self._next, self._width, self._bits = core, at, width, bits
        self.root = self._new()

    def _new(self) -> int:
        self._next += 0x1000
        return self._next - 0x1000

    def map(self, address: int, to: int, levels: int, *, flags: int = PRESENT | WRITABLE, large_at: int = 0) -> int:
        """Map one page, or with `large_at` a large one at that level; returns where its entry lies."""
        table = self.root
        for level in range(levels - 1, large_at, -1):
            entry = table + (address >> (12 + self._bits * level) & ((1 << self._bits) - 1)) * self._width
            if not self._core.get(entry, self._width):
                pointer = self._width == 8 and levels == 3 and level == 2  # PAE: it permits all
                self._core.put(entry, self._new() | (PRESENT if pointer else PRESENT | WRITABLE), self._width)
            table = self._core.get(entry, self._width) & ~0xFFF
        entry = table + (address >> (12 + self._bits * large_at) & ((1 << self._bits) - 1)) * self._width
        self._core.put(entry, to | flags | (LARGE if large_at else 0), self._width)
        return entry


@pytest.fixture
def core(library: Path, tmp_path: Path) -> Core:
    """L1, without a guest."""
    return Core(library, tmp_path)


def identity(core: Core, levels: int) -> tuple[int, Tables]:
    """A guest whose physical memory is L1's, by a nested table of so many levels: the first MiB, page by page."""
    tables = Tables(core, NESTED, width=4 if levels == 2 else 8, bits=10 if levels == 2 else 9)
    for page in range(0, 0x40000, 0x1000):
        tables.map(page, page, levels)
    l2 = core.enter(core.vmcb(A, tables.root))
    core.nest(l2, levels)
    return l2, tables


def run(core: Core, cr0: int, cr3: int = 0, cr4: int = 0, efer: int = 0) -> None:
    """L2 runs with these."""
    for register, value in ((CR0, cr0), (CR3, cr3), (CR4, cr4), (EFER, efer)):
        core.set_reg(register, value)
    for field, value in ((SAVED_CR0, cr0), (SAVED_CR3, cr3), (SAVED_CR4, cr4), (SAVED_EFER, efer)):
        core.put(A + field, value)


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("own", "cr4", "efer"), [(0, 0, 0), (2, PSE, 0), (3, PAE, 0), (4, PAE, LMA), (5, PAE | LA57, LMA)]
)
def test_a_page_through_both_tables(core: Core, levels: int, own: int, cr4: int, efer: int) -> None:
    l2, _ = identity(core, levels)
    linear = PAGE
    tables = Tables(core, GUEST, width=4 if own == 2 else 8, bits=10 if own == 2 else 9)
    if own:
        linear = 0x12345000
        tables.map(linear, PAGE, own)
        tables.map(linear + 0x1000, OTHER, own)
    run(core, (PG if own else 0) | PE, tables.root, cr4, efer)
    core.put(PAGE + 0xFF8, 0x1122334455667788)
    core.put(PAGE + 0x1000, 0x99)
    assert core.linear(l2, linear + 0xFF8) == bytes.fromhex("8877665544332211")
    assert core.linear(l2, linear + 0xFFC) == bytes.fromhex("4433221199000000"), "into another page"
    assert core.linear(l2, linear + 0xFF8, saved=True) == bytes.fromhex("8877665544332211")
    assert core.linear(l2, 0x7000000) is None
    assert core.writable(l2, linear + 5) == PAGE + 5


@pytest.mark.parametrize(
    ("own", "cr4", "efer", "large_at", "size"),
    [(2, PSE, 0, 1, 1 << 22), (3, PAE, 0, 1, 1 << 21), (4, PAE, LMA, 1, 1 << 21), (4, PAE, LMA, 2, 1 << 30)],
)
def test_large_pages(core: Core, own: int, cr4: int, efer: int, large_at: int, size: int) -> None:
    l2, _ = identity(core, 4)
    tables = Tables(core, GUEST, width=4 if own == 2 else 8, bits=10 if own == 2 else 9)
    tables.map(0x40000000, 0, own, large_at=large_at)
    run(core, PG | PE, tables.root, cr4, efer)
    core.put(PAGE, 0x4142)
    assert size > PAGE
    assert core.linear(l2, 0x40000000 + PAGE, 2) == b"BA"


def test_without_pse_a_large_entry_is_a_table(core: Core) -> None:
    l2, _ = identity(core, 4)
    tables = Tables(core, GUEST, width=4, bits=10)
    entry = tables.map(0x400000, PAGE, 2)
    core.put(tables.root + 4, entry & ~0xFFF | PRESENT | LARGE, 4)
    core.put(PAGE, 0x4142)
    run(core, PG | PE, tables.root)
    assert core.linear(l2, 0x400000, 2) == b"BA"


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_a_page_that_l1_shows_only(core: Core, levels: int) -> None:
    l2, nested = identity(core, levels)
    run(core, PE)
    entry = nested.map(PAGE, PAGE, levels, flags=PRESENT)
    assert core.linear(l2, PAGE) is not None
    assert core.writable(l2, PAGE) is None
    assert not core.get(entry, 4) & ACCESSED
    nested.map(PAGE, PAGE, levels)
    assert core.writable(l2, PAGE) == PAGE
    assert core.get(entry, 4) & (ACCESSED | DIRTY) == ACCESSED | DIRTY
    assert core.writable(l2, PAGE) == PAGE, "it is marked already"
    nested.map(PAGE, 0, levels, flags=0)
    assert core.writable(l2, PAGE) is None
    assert core.linear(l2, PAGE) is None


def test_a_table_of_l2_that_is_not_there(core: Core) -> None:
    l2, nested = identity(core, 4)
    tables = Tables(core, GUEST, width=8, bits=9)
    tables.map(0x12345000, PAGE, 4)
    run(core, PG | PE, tables.root, PAE, LMA)
    assert core.linear(l2, 0x12345000) is not None
    nested.map(tables.root, 0, 4, flags=0)
    assert core.linear(l2, 0x12345000) is None
    run(core, PG | PE, tables.root, PAE)
    assert core.linear(l2, 0x12345000) is None, "nor PAE's pointers"


def test_a_page_beyond_all_memory(core: Core) -> None:
    l2, nested = identity(core, 4)
    run(core, PE)
    nested.map(PAGE, 0x7F000000, 4)
    assert core.linear(l2, PAGE) is None


# -- ports --------------------------------------------------------------------------------------------


TSS, MAP = 0x32000, 0x80


def tss(core: Core, *, limit: int = 0x2FFF, offset: int = MAP, denied: tuple[int, ...] = ()) -> None:
    """L2's TSS, whose map denies these ports."""
    core.put(A + TR_BASE, TSS)
    core.put(A + TR_LIMIT, limit, 4)
    core.put(TSS + 0x66, offset, 2)
    for port in denied:
        at = TSS + offset + port // 8
        core.put(at, core.get(at, 1) | 1 << port % 8, 1)


def allowed(core: Core, l2: int, port: int = 0x3F8, size: int = 1) -> bool:
    return bool(core.lib.oob_ioperm_allows(0, ctypes.c_void_p(l2), port, size))


@pytest.mark.parametrize(
    ("cr0", "cs", "flags", "asks"),
    [(0, 3, 0, False), (PE, 0, 0, False), (PE, 3, 0, True), (PE, 3, 3 << 12, False), (PE, 0, VM, True)],
)
def test_who_is_asked(core: Core, cr0: int, cs: int, flags: int, asks: bool) -> None:
    l2, _ = identity(core, 4)
    tss(core, denied=(0x3F8,))
    run(core, cr0)
    core.set_reg(CS, cs)
    core.set_reg(EFLAGS, flags)
    assert core.lib.oob_ioperm_asks_tss(core.machine, 0) == asks
    assert allowed(core, l2) == (not asks)


@pytest.fixture
def user(core: Core) -> int:
    """L2's user code runs."""
    l2, _ = identity(core, 4)
    run(core, PE)
    core.set_reg(CS, 3)
    return l2


def test_each_port_of_a_wide_access_counts(core: Core, user: int) -> None:
    tss(core, denied=(0x3F8,))
    assert not allowed(core, user)
    assert allowed(core, user, 0x3F9)
    assert allowed(core, user, 0x3F4, 4)
    assert not allowed(core, user, 0x3F5, 4)


@pytest.mark.parametrize(("limit", "offset"), [(102, 0x68), (0x80 + 0x7F, 0x80), (0x2FFF, 0xE000)])
def test_a_map_that_ends_too_early_denies(core: Core, user: int, limit: int, offset: int) -> None:
    tss(core, limit=limit, offset=offset)
    assert not allowed(core, user)


def test_a_tss_that_is_not_mapped_denies(core: Core, user: int) -> None:
    tss(core)
    core.put(A + TR_BASE, 0x7000000)
    assert not allowed(core, user)
    core.put(A + TR_BASE, 0x3FF80)
    core.put(0x3FF80 + 0x66, MAP, 2)
    assert not allowed(core, user), "the map lies behind the last page"


def test_where_the_bits_of_a_port_lie(core: Core, user: int) -> None:
    at = ctypes.c_uint64()
    where = (0, ctypes.c_void_p(user), 0xEC, ctypes.byref(at))
    assert not core.lib.oob_ioperm_tss_byte(*where)
    tss(core)
    assert core.lib.oob_ioperm_tss_byte(*where)
    assert at.value == TSS + MAP + 0xEC // 8
