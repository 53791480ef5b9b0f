"""Which L2 runs (`native/core/context.c`), over a fake L1."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.native.core import (
    CS_BASE,
    EXITCODE,
    EXITINFO1,
    LSTAR,
    N_CR3,
    SAVED_RAX,
    SAVED_RIP,
    SOFTWARE,
    Core,
)

RESET = {"rip": 0xFFF0, "cs_base": 0xFFFF0000}
SILENT_NS, LATE_L1_NS = 600_000_000, 10_500_000_000
NPF, IOIO, SHUTDOWN, HLT = 0x400, 0x7B, 0x7F, 0x78
ROOT, OTHER_ROOT = 0x8000, 0x9000
A, B, C = 0x10000, 0x11000, 0x12000
SCR, COM1 = 0x3FF, 0x3F8


@pytest.fixture
def core(library: Path, tmp_path: Path) -> Core:
    """An L1 with one nested page table that maps something, and another.

    The two guests that it has from the beginning have no vCPU: they go when somebody looks for the dead."""
    core = Core(library, tmp_path)
    core.put(ROOT, 1)
    core.put(OTHER_ROOT + 8 * 511, 1)
    return core


def test_a_vmcb_is_known_again(core: Core) -> None:
    first = core.enter(core.vmcb(A, ROOT))
    assert core.get(A + SOFTWARE) != 0
    assert core.enter(A) == first
    assert core.context(first) == 3


def test_vcpus_of_one_nested_root_are_one_guest(core: Core) -> None:
    first, second, other = (core.enter(core.vmcb(at, root)) for at, root in ((A, ROOT), (B, ROOT), (C, OTHER_ROOT)))
    assert core.context(first) == core.context(second) != core.context(other)
    assert (core.index(first), core.index(second), core.index(other)) == (0, 1, 0)


def test_whatever_begins_at_the_reset_vector_is_a_guest_of_its_own(core: Core) -> None:
    first = core.context(core.enter(core.vmcb(A, ROOT, **RESET)))
    assert core.context(core.enter(core.vmcb(B, ROOT, **RESET))) != first


def test_a_page_that_another_vm_has_now_is_another_guest(core: Core) -> None:
    first = core.context(core.enter(core.vmcb(A, ROOT)))
    again = core.enter(core.vmcb(A, ROOT))  # its tag is gone
    assert core.context(again) != first
    assert core.live == 3


def test_one_vcpu_of_several_may_move(core: Core) -> None:
    first, second = (core.enter(core.vmcb(at, ROOT)) for at in (A, B))
    moved = core.enter(core.vmcb(A, ROOT))
    assert core.context(moved) == core.context(second)
    assert first == moved, "a slot is used again"


def test_a_guest_that_is_reset_begins_again(core: Core) -> None:
    vcpu = core.enter(core.vmcb(A, ROOT, **RESET))
    core.put(A + SAVED_RIP, 0x1000)
    core.enter(A)
    core.write(vcpu, SCR, 0x5A)
    assert core.read(vcpu, SCR) == 0x5A
    core.put(A + SAVED_RIP, 0xFFF0)
    core.enter(A)
    assert core.read(vcpu, SCR) == 0
    core.write(vcpu, SCR, 0x5A)
    core.enter(A)
    assert core.read(vcpu, SCR) == 0x5A, "it has not left the reset vector"


def test_a_reset_of_a_guest_without_a_console_is_no_news(core: Core) -> None:
    core.enter(core.vmcb(A, ROOT, **RESET))
    for rip in (0x1000, 0xFFF0):
        core.put(A + SAVED_RIP, rip)
        core.enter(A)
    assert core.live == 3


def test_the_others_vcpus_are_not_looked_at_for_a_reset(core: Core) -> None:
    core.enter(core.vmcb(A, ROOT))
    second = core.enter(core.vmcb(B, ROOT))
    core.write(second, SCR, 0x5A)
    core.put(B + SAVED_RIP, 0xFFF0)
    core.put(B + CS_BASE, 0xFFFF0000)
    core.enter(B)
    assert core.read(second, SCR) == 0x5A


def test_a_guest_that_goes_on_elsewhere_is_known_by_its_kernel(core: Core) -> None:
    first = core.enter(core.vmcb(A, ROOT, kernel=0xFFFF8000))
    number = core.context(first)
    core.let_pass(SILENT_NS)
    assert core.context(core.enter(core.vmcb(B, OTHER_ROOT, kernel=0xFFFF8000))) == number


def test_two_guests_that_run_may_have_one_kernel(core: Core) -> None:
    first = core.context(core.enter(core.vmcb(A, ROOT, kernel=0xFFFF8000)))
    assert core.context(core.enter(core.vmcb(B, OTHER_ROOT, kernel=0xFFFF8000))) != first


@pytest.mark.parametrize(
    ("rip", "rbx"), [(0x1002, 0x1234), (0x2000, 0)], ids=["goes on where it was", "is elsewhere"]
)
def test_hidden_registers_go_with_a_vcpu_that_goes_on_where_it_was(core: Core, rip: int, rbx: int) -> None:
    first = core.enter(core.vmcb(A, ROOT, kernel=0xFFFF8000))
    core.lib.core_hide(ctypes.c_void_p(first), ctypes.c_uint64(0x1000), ctypes.c_uint64(0x1234))
    core.let_pass(SILENT_NS)
    moved = core.enter(core.vmcb(B, OTHER_ROOT, rip=rip, kernel=0xFFFF8000))
    assert core.lib.core_hidden_rbx(ctypes.c_void_p(moved)) == rbx


def test_a_guest_that_was_destroyed_and_comes_back_has_its_registers(core: Core) -> None:
    """Its devices are programmed already: L1 restores it from a snapshot."""
    vcpu = core.enter(core.vmcb(A, ROOT, kernel=0xFFFF8000))
    core.write(vcpu, SCR, 0x5A)
    core.out(vcpu, 0x21, 0xFF)
    core.memory[A : A + 0x1000] = [0] * 0x1000
    core.let_pass(SILENT_NS)
    core.tick()
    assert core.live == 0
    back = core.enter(core.vmcb(B, OTHER_ROOT, kernel=0xFFFF8000))
    assert core.read(back, SCR) == 0x5A
    core.lib.oob_context_reset_all(core.machine)
    assert core.live == 0
    again = core.enter(core.vmcb(C, OTHER_ROOT, kernel=0xFFFF8000))
    assert core.read(again, SCR) == 0, "L1 was reset: nothing of before counts"


@pytest.mark.parametrize(
    ("code", "info", "rax", "waits"),
    [
        (NPF, 0, 0, True),
        (SHUTDOWN, 0, 0, True),
        (IOIO, 0x3F8 << 16 | 0x10, 0, True),
        (IOIO, 0x604 << 16 | 0x20, 1 << 13, False),  # ACPI: sleep
        (IOIO, 0x604 << 16 | 0x20, 0, True),
        (IOIO, 0xCF8 << 16 | 0x20, 1 << 13, True),
        (2**64 - 1, 0, 0, True),
        (HLT, 0, 0, False),
    ],
)
def test_a_guest_whose_table_is_empty_is_gone_unless_it_waits_for_l1(
    core: Core, code: int, info: int, rax: int, waits: bool
) -> None:
    core.enter(core.vmcb(A, ROOT))
    for field, value in ((EXITCODE, code), (EXITINFO1, info), (SAVED_RAX, rax)):
        core.put(A + field, value)
    core.put(ROOT, 0)
    core.let_pass(SILENT_NS)
    core.tick()
    assert core.live == waits
    core.let_pass(LATE_L1_NS)
    core.tick()
    assert core.live == 0


def test_a_guest_at_the_reset_vector_waits_for_l1(core: Core) -> None:
    core.enter(core.vmcb(A, ROOT, **RESET))
    core.put(A + EXITCODE, HLT)
    core.put(ROOT, 0)
    core.let_pass(SILENT_NS)
    core.tick()
    assert core.live == 1


def test_a_guest_that_sleeps_is_not_gone(core: Core) -> None:
    core.enter(core.vmcb(A, OTHER_ROOT))
    core.let_pass(LATE_L1_NS)
    core.tick()
    assert core.live == 1


def test_it_is_looked_for_now_and_then(core: Core) -> None:
    core.let_pass(SILENT_NS)
    core.tick()
    core.enter(core.vmcb(A, ROOT))
    core.memory[A : A + 0x1000] = [0] * 0x1000
    core.let_pass(1000)
    core.tick()
    assert core.live == 1


def test_the_kernel_is_looked_at_now_and_then(core: Core) -> None:
    core.enter(core.vmcb(A, ROOT))
    core.put(A + LSTAR, 0xFFFF8000)
    for _ in range(64):
        core.enter(A)
    core.let_pass(SILENT_NS)
    number = core.context(core.enter(A))
    core.let_pass(SILENT_NS)
    assert core.context(core.enter(core.vmcb(B, OTHER_ROOT, kernel=0xFFFF8000))) == number


def test_there_are_no_more_guests_than_256(core: Core) -> None:
    """The one that has not run for longest goes: one that L1 has destroyed looks the same."""
    numbers = [core.context(core.enter(core.vmcb(A, ROOT, **RESET))) for _ in range(300)]
    assert len(set(numbers)) == 300
    for n in range(255):
        core.let_pass(1000)
        core.enter(core.vmcb(0x20000 + 0x800 * n, 0x40000 + n, **RESET) if n < 100 else core.vmcb(A, ROOT, **RESET))
    assert core.live <= 256


def test_more_vcpus_than_are_kept(core: Core) -> None:
    """A flood of VMCBs that claim to be vCPUs of one guest: it is given up, and begins again."""
    for n in range(1030):
        at = 0x20000 + 16 * n
        core.put(at + N_CR3, ROOT)
        core.lib.oob_context_enter(core.machine, at)
    assert core.live <= 4
