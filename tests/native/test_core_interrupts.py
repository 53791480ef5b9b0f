"""Where interrupts go, and which is due (`native/core/irqchip.c`, `lines.c`). Sources: Intel's 8259A and 82093AA."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.native.core import Core, Route

ROOT, A, B = 0x8000, 0x10000, 0x11000
COM1, COM2, COM3 = 0x3F8, 0x2F8, 0x3E8
MASKED, LOGICAL, LOWEST, NMI = 1 << 16, 1 << 11, 1 << 8, 4 << 8
REPEAT_NS = 11_000_000
INJECTED = 3  # OOB_STAT_INJECTED


@pytest.fixture
def core(library: Path, tmp_path: Path) -> Core:
    """COM1 and COM3 on line 4, COM2 on line 3."""
    words = ("socket=s", "machine=l1", "ports=uart@0x3f8-0x3ff:uart@0x2f8-0x2ff:uart@0x3e8-0x3ef", "irq=4:3:4")
    return Core(library, tmp_path, words)


@pytest.fixture
def l2(core: Core) -> int:
    """A vCPU of a guest."""
    core.put(ROOT, 1)
    return core.enter(core.vmcb(A, ROOT))


def program_8259s(core: Core, l2: int, base: int = 0x30, *, single: bool = False) -> None:
    for chip, port in enumerate((0x20, 0xA0)):
        core.out(l2, port, 0x13 if single else 0x11)
        core.out(l2, port + 1, base + 8 * chip)
        if not single:
            core.out(l2, port + 1, 4 if not chip else 2)
        core.out(l2, port + 1, 1)
        core.out(l2, port + 1, 0)


def empty_transmitter(core: Core, l2: int, port: int) -> None:
    """The idle UART of that port drives its line high."""
    core.write(l2, port + 4, 8)
    core.write(l2, port + 1, 2)


def test_nothing_is_routed_before_a_guest_has_programmed_anything(core: Core, l2: int) -> None:
    assert core.route(l2, 4) is None
    assert core.route(l2, 16) is None


def test_8259s(core: Core, l2: int) -> None:
    program_8259s(core, l2)
    assert core.route(l2, 4) == Route(0x34)
    assert core.route(l2, 12) == Route(0x3C)
    core.out(l2, 0x21, 1 << 2)
    assert core.route(l2, 12) is None, "the cascade is masked"
    core.out(l2, 0x21, 1 << 4)
    assert core.route(l2, 4) is None
    core.out(l2, 0x20, 0x20)  # the end of an interrupt
    assert core.route(l2, 3) == Route(0x33)


@pytest.mark.parametrize("words", [(0x11, 0x30), (0x11, 0x30, 4), (0x10, 0x30)])
def test_an_8259_that_is_half_initialized_routes_nothing(core: Core, l2: int, words: tuple[int, ...]) -> None:
    core.out(l2, 0x20, words[0])
    for word in words[1:]:
        core.out(l2, 0x21, word)
    assert core.route(l2, 4) is None
    program_8259s(core, l2)
    core.out(l2, 0x20, 0x11)
    assert core.route(l2, 12) is None


@pytest.mark.parametrize(
    ("icw1", "words"), [(0x13, (0x40, 1)), (0x12, (0x40,)), (0x10, (0x40, 4)), (0x11, (0x40, 4, 1))]
)
def test_an_8259_is_told_no_more_than_it_has_asked_for(
    core: Core, l2: int, icw1: int, words: tuple[int, ...]
) -> None:
    core.out(l2, 0x20, icw1)
    for word in words:
        core.out(l2, 0x21, word)
    assert core.route(l2, 4) == Route(0x44)


def test_an_ioapic_comes_first(core: Core, l2: int) -> None:
    program_8259s(core, l2)
    core.redirect(l2, 4, 0x51, 3 << 24)
    assert core.route(l2, 4) == Route(0x51, ioapic=True, destination=3)
    core.redirect(l2, 4, 0x51 | LOGICAL | LOWEST, 1 << 24)
    assert core.route(l2, 4) == Route(0x51, ioapic=True, logical=True, destination=1)


@pytest.mark.parametrize("entry", [0x51 | MASKED, 0x0F, 0x51 | NMI])
def test_an_ioapic_that_does_not_deliver(core: Core, l2: int, entry: int) -> None:
    core.redirect(l2, 4, entry)
    assert core.route(l2, 4) is None


def test_other_registers_of_an_ioapic(core: Core, l2: int) -> None:
    for register in (0, 0x10 + 2 * 24):
        core.mmio(l2, 0xFEC00000, register)
        core.mmio(l2, 0xFEC00010, 0x51)
    core.mmio(l2, 0xFEC00000, 0x18)
    core.mmio(l2, 0xFEC00040, 0x51)
    assert core.route(l2, 4) is None


def test_an_interrupt_is_due_while_its_line_is_high(core: Core, l2: int) -> None:
    program_8259s(core, l2)
    assert core.due(l2) is None
    empty_transmitter(core, l2, COM1)
    assert core.level(l2, 4)
    assert core.due(l2) == (4, 0x34)
    core.read(l2, COM1 + 2)
    assert core.due(l2) is None


def test_two_devices_on_one_line_count_once(core: Core, l2: int) -> None:
    program_8259s(core, l2)
    for port in (COM1, COM3):
        empty_transmitter(core, l2, port)
    assert core.due(l2) == (4, 0x34)
    core.arm(l2, 4)
    assert core.due(l2) is None, "it is on its way"
    core.delivered(l2)
    assert core.stat(INJECTED) == 1
    core.read(l2, COM1 + 2)
    assert core.level(l2, 4), "the other drives it still"
    core.read(l2, COM3 + 2)
    assert not core.level(l2, 4)


def test_lines_do_not_meddle_with_each_other(core: Core, l2: int) -> None:
    program_8259s(core, l2)
    for port in (COM1, COM2):
        empty_transmitter(core, l2, port)
    assert core.due(l2) == (3, 0x33)
    core.arm(l2, 3)
    assert core.due(l2) == (4, 0x34)
    core.disarm(l2)
    assert core.due(l2) == (3, 0x33)


def test_an_interrupt_comes_again_when_the_guest_has_looked(core: Core, l2: int) -> None:
    program_8259s(core, l2)
    empty_transmitter(core, l2, COM1)
    core.arm(l2, 4)
    core.delivered(l2)
    assert core.due(l2) is None, "the guest has not looked yet"
    core.let_pass(REPEAT_NS)
    assert core.due(l2) == (4, 0x34), "it does not look at all"
    core.arm(l2, 4)
    core.read(l2, COM1 + 2)  # it has looked meanwhile
    core.write(l2, COM1, ord("x"))
    core.delivered(l2)
    core.read(l2, COM1 + 2)
    core.read(l2, COM1 + 2)
    core.write(l2, COM1, ord("y"))
    assert core.due(l2) == (4, 0x34)


def test_an_8259s_interrupt_is_the_first_vcpus(core: Core, l2: int) -> None:
    second = core.enter(core.vmcb(B, ROOT))
    program_8259s(core, l2)
    empty_transmitter(core, l2, COM1)
    assert core.due(second) is None
    assert core.due(l2) == (4, 0x34)


@pytest.mark.parametrize(
    ("destination", "logical", "apic_id", "logical_id", "is_its"),
    [
        (1, False, 1, 0, True),
        (0, False, 1, 0, False),
        (0xFF, False, 1, 0, True),
        (2, True, 1, 0, True),
        (1, True, 1, 0, False),
        (1, True, 1, 1, True),
        (2, True, 1, 1, False),
    ],
)
def test_an_ioapics_interrupt_goes_where_its_entry_says(
    core: Core, l2: int, destination: int, logical: bool, apic_id: int, logical_id: int, is_its: bool
) -> None:
    core.redirect(l2, 4, 0x51 | (LOGICAL if logical else 0), destination << 24)
    core.lib.core_set_apic(ctypes.c_void_p(l2), apic_id, logical_id)
    empty_transmitter(core, l2, COM1)
    assert core.due(l2) == ((4, 0x51) if is_its else None)


@pytest.mark.parametrize(("priority", "waits"), [(-1, False), (4, False), (5, True), (15, True)])
def test_an_ioapics_interrupt_waits_for_the_task_priority(core: Core, l2: int, priority: int, waits: bool) -> None:
    core.redirect(l2, 4, 0x51)
    empty_transmitter(core, l2, COM1)
    assert core.due(l2, priority) == (None if waits else (4, 0x51))


def test_an_8259s_interrupt_does_not(core: Core, l2: int) -> None:
    program_8259s(core, l2)
    empty_transmitter(core, l2, COM1)
    assert core.due(l2, 15) == (4, 0x34)
