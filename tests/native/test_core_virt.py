"""What L1 uses to run an L2 (`native/core/virt.h`): AMD's VMCB (`svm.c`), and a kind that only tests have (`virt.c`).

With that other kind, the guests are told apart, their memory is read and their halts are ended by the same code. So a
new kind of virtualization is a file of its own, and core needs no change for it.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from pathlib import Path
from typing import Final

import pytest

from tests.native.core import (
    EXITCODE,
    EXITINFO1,
    EXITINFO2,
    TR_LIMIT,
    Core,
)

A, B, C = 0x10000, 0x11000, 0x12000
ROOT, OTHER_ROOT, CODE = 0x8000, 0x9000, 0x3000
SCR: Final = 0x3FF
SILENT_NS, LATE_L1_NS = 600_000_000, 10_500_000_000
IF: Final = 1 << 9
PRESENT_NESTED: Final = 4  # of Intel's bits: executable only


class State(IntEnum):
    """`enum oob_state` of virt.h, and behind it the rest of the row of virt.c."""

    RAX = 0
    RIP = 1
    RFLAGS = 2
    CR0 = 3
    CR3 = 4
    CR4 = 5
    EFER = 6
    CS_BASE = 7
    TR_BASE = 8
    TR_LIMIT = 9
    LSTAR = 10
    NESTED_ROOT = 11
    KIND = 12
    ADDRESS = 13
    PORT_AND_SIZE = 14
    TAG = 15
    OWN_INTERRUPT = 16
    TELLS = 17


class Kind(IntEnum):
    """`enum oob_exit_kind` of virt.h."""

    OTHER = 0
    NONE = 1
    INTERRUPT = 2
    HALT = 3
    IO = 4
    MSR = 5
    CPUID = 6
    NESTED_FAULT = 7
    TRIPLE_FAULT = 8


class Exit(ctypes.Structure):
    """`struct oob_exit` of virt.h."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("address", ctypes.c_uint64),
        ("port", ctypes.c_uint16),
        ("in_", ctypes.c_bool),
        ("string", ctypes.c_bool),
        ("rep", ctypes.c_bool),
        ("size", ctypes.c_uint8),
    )


@pytest.fixture
def core(library: Path, tmp_path: Path) -> Core:
    """An L1 with one nested page table that maps something, and another."""
    core = Core(library, tmp_path)
    core.put(ROOT, PRESENT_NESTED)
    core.put(OTHER_ROOT + 8 * 511, PRESENT_NESTED)
    return core


@pytest.fixture
def rows(core: Core) -> Core:
    """The same L1, which uses the kind of virtualization that `virt.c` has."""
    core.lib.virt_use_rows(core.machine)
    return core


def set_row(core: Core, block: int, **values: int) -> int:
    """Write members of a row, by the names of `State`; returns the block."""
    for name, value in values.items():
        core.put(block + 8 * State[name.upper()], value)
    return block


def row(core: Core, block: int, root: int = ROOT, **values: int) -> int:
    """Make a block there, as L1 has it before it enters its guest; returns the block."""
    core.memory[block : block + 0x1000] = [0] * 0x1000
    return set_row(core, block, nested_root=root, **{"rip": 0x1000, **values})


# -- another kind -----------------------------------------------------------------------------------


def test_guests_of_another_kind_are_told_apart(rows: Core) -> None:
    first, second, other = (rows.enter(row(rows, at, root)) for at, root in ((A, ROOT), (B, ROOT), (C, OTHER_ROOT)))
    assert rows.context(first) == rows.context(second) != rows.context(other)
    assert rows.get(A + 8 * State.TAG) != 0
    assert rows.enter(A) == first
    assert rows.context(rows.enter(row(rows, C, OTHER_ROOT))) != rows.context(first), "its tag is gone"


def test_a_guest_of_another_kind_is_known_by_its_kernel(rows: Core) -> None:
    number = rows.context(rows.enter(row(rows, A, lstar=0xFFFF8000)))
    rows.let_pass(SILENT_NS)
    assert rows.context(rows.enter(row(rows, B, OTHER_ROOT, lstar=0xFFFF8000))) == number


def test_a_guest_of_another_kind_is_reset(rows: Core) -> None:
    vcpu = rows.enter(row(rows, A, rip=0xFFF0, cs_base=0xFFFF0000))
    rows.enter(set_row(rows, A, rip=0x1000))
    rows.write(vcpu, SCR, 0x5A)
    rows.enter(set_row(rows, A, rip=0xFFF0))
    assert rows.read(vcpu, SCR) == 0


@pytest.mark.parametrize(
    ("values", "waits"),
    [
        ({"kind": Kind.NESTED_FAULT}, True),
        ({"kind": Kind.TRIPLE_FAULT}, True),
        ({"kind": Kind.NONE}, True),
        ({"kind": Kind.IO, "port_and_size": 0x604 | 2 << 16}, True),
        ({"kind": Kind.IO, "port_and_size": 0x604 | 2 << 16, "rax": 1 << 13}, False),
        ({"kind": Kind.IO, "port_and_size": 0x604 | 1 << 16, "rax": 1 << 13}, True),
        ({"kind": Kind.HALT}, False),
    ],
    ids=str,
)
def test_when_a_guest_of_another_kind_is_gone(rows: Core, values: dict[str, int], waits: bool) -> None:
    """Its nested page table is empty: it is gone, unless it waits for L1."""
    rows.enter(row(rows, A))
    set_row(rows, A, **values)
    rows.put(ROOT, 8)  # a bit that does not say that the entry maps something
    rows.let_pass(SILENT_NS)
    rows.tick()
    assert rows.live == waits


def test_a_guest_that_may_only_execute_its_memory_is_not_gone(rows: Core) -> None:
    rows.enter(row(rows, A))
    rows.let_pass(LATE_L1_NS)
    rows.tick()
    assert rows.live == 1


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ({}, True),
        ({"rflags": 0}, False),
        ({"own_interrupt": 1}, False),
        ({"tells": 0}, False),
        ({"rip": CODE + 1}, False),
    ],
    ids=str,
)
def test_a_halt_of_another_kind_ends(rows: Core, values: dict[str, int], ends: bool) -> None:
    for at, entry in ((0x20000, 0x21007), (0x21000, 0x22007), (0x22000, 0x23007)):
        rows.put(at, entry)
    rows.put(0x23000 + 8 * (CODE >> 12), CODE | 7)
    rows.put(CODE, 0xF4, 1)
    vcpu = rows.enter(row(rows, A, 0x20000, rip=CODE, rflags=IF, tells=1, kind=Kind.HALT))
    set_row(rows, A, **values)
    rip = rows.get(A + 8 * State.RIP)
    assert rows.end_halt(vcpu) is ends
    assert rows.get(A + 8 * State.RIP) == rip + ends
    assert rows.get(A + 8 * State.KIND) == (Kind.INTERRUPT if ends else Kind.HALT)


# -- AMD's kind -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (0x60, Kind.INTERRUPT),
        (0x61, Kind.INTERRUPT),
        (0x62, Kind.INTERRUPT),
        (0x64, Kind.INTERRUPT),
        (0x72, Kind.CPUID),
        (0x78, Kind.HALT),
        (0x7B, Kind.IO),
        (0x7C, Kind.MSR),
        (0x7F, Kind.TRIPLE_FAULT),
        (0x400, Kind.NESTED_FAULT),
        (0x18, Kind.OTHER),
        (0x4E, Kind.OTHER),
        (0xFFF, Kind.OTHER),
        (0x1000, Kind.NONE),
        (2**64 - 1, Kind.NONE),
    ],
)
def test_why_an_l2_left(core: Core, code: int, kind: Kind) -> None:
    core.put(A + EXITCODE, code)
    core.put(A + EXITINFO2, 0xFEC00010)
    found = exit_of(core)
    assert found.kind == kind
    assert found.address == (0xFEC00010 if kind == Kind.NESTED_FAULT else 0)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        (0x3F8 << 16 | 0x10, (0x3F8, False, False, False, 1)),
        (0x604 << 16 | 0x20, (0x604, False, False, False, 2)),
        (0xFFFF << 16 | 0x41, (0xFFFF, True, False, False, 4)),
        (0x60 << 16 | 0x15, (0x60, True, True, False, 1)),
        (0x60 << 16 | 0x2C, (0x60, False, True, True, 2)),
    ],
)
def test_what_port_io_an_l2_left_for(core: Core, info: int, expected: tuple[int, bool, bool, bool, int]) -> None:
    core.put(A + EXITCODE, 0x7B)
    core.put(A + EXITINFO1, info)
    found = exit_of(core)
    assert (found.port, found.in_, found.string, found.rep, found.size) == expected


def exit_of(core: Core) -> Exit:
    """Why L2 left, by AMD's kind, for the VMCB at A."""
    found = Exit()
    core.lib.virt_exit(core.machine, ctypes.c_uint64(A), ctypes.byref(found))
    return found


@pytest.mark.parametrize("which", [state for state in State if state < State.KIND])
def test_each_field_of_a_vmcb_is_read_where_it_is_written(core: Core, which: State) -> None:
    """And writing it changes no byte beside it."""
    value = 0x11223344 if which == State.TR_LIMIT else 0x1122334455667788
    core.memory[A : A + 0x1000] = [0] * 0x1000
    core.lib.virt_write(core.machine, ctypes.c_uint64(A), which, ctypes.c_uint64(value))
    assert core.lib.virt_read(core.machine, ctypes.c_uint64(A), which) == value
    assert sum(byte != 0 for byte in core.memory[A : A + 0x1000]) == len(f"{value:x}") // 2


def test_the_limit_of_the_tss_has_four_bytes(core: Core) -> None:
    core.put(A + TR_LIMIT, 2**64 - 1)
    assert core.lib.virt_read(core.machine, ctypes.c_uint64(A), State.TR_LIMIT) == 2**32 - 1
