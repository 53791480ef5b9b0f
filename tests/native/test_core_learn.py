"""What L2's exits reveal, and which registers L1 needs for them (`native/core/learn.c`), by AMD's VMCB."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.native.core import (
    CS_BASE,
    EXITCODE,
    EXITINFO1,
    EXITINFO2,
    RBX,
    RCX,
    RDX,
    SAVED_EFER,
    SAVED_RAX,
    SAVED_RIP,
    Core,
    Route,
)
from tests.native.test_core_memory import PAGE, A, identity
from tests.native.test_core_virt import Exit, exit_of

LMA = 1 << 10
IOAPIC, LDR = 0xFEC00000, 0xFEE000D0
NPF, CPUID, IOIO = 0x400, 0x72, 0x7B
R_RAX, R_RCX, R_RDX, R_RSP, ALL = 1, 2, 4, 0x10, 0xFFFF
STORE_EAX, STORE_ECX, STORE_VALUE = "8903", "890b", "c70333000100"  # mov ..., (%ebx)


@pytest.fixture
def core(library: Path, tmp_path: Path) -> Core:
    """An L1 that has run nothing yet."""
    return Core(library, tmp_path)


@pytest.fixture
def l2(core: Core) -> int:
    """A vCPU without paging, whose physical memory is L1's."""
    return identity(core, 4)[0]


def leaves(core: Core, l2: int, code: int, **about: int) -> Exit:
    """L2 leaves for this reason."""
    core.put(A + EXITCODE, code)
    core.put(A + EXITINFO1, about.get("info", 0))
    core.put(A + EXITINFO2, about.get("address", 0))
    found = exit_of(core)
    core.lib.oob_learn_at_exit(0, ctypes.c_void_p(l2), ctypes.byref(found))
    return found


def stores(core: Core, l2: int, address: int, instruction: str, at: int = PAGE) -> None:
    """L2 stops at an instruction that stores to that address."""
    code = bytes.fromhex(instruction)
    core.memory[at : at + len(code)] = list(code)
    core.put(A + SAVED_RIP, at)
    leaves(core, l2, NPF, address=address)


@pytest.mark.parametrize("efer", [0, LMA], ids=["32 bits", "64 bits"])
def test_what_an_ioapic_is_told_is_read_along(core: Core, l2: int, efer: int) -> None:
    """The register is chosen with a constant. The entry comes from RAX, which is in the VMCB, and from RCX."""
    if efer:
        core.put(A + SAVED_EFER, efer)
        core.put(A + CS_BASE, 0x5000)  # long mode has no base of CS
    core.put(A + SAVED_RAX, 0x10 + 2 * 4)
    stores(core, l2, IOAPIC, STORE_EAX)
    core.put(A + SAVED_RAX, 0x34)
    stores(core, l2, IOAPIC + 0x10, STORE_EAX)
    assert core.route(l2, 4) == Route(0x34, ioapic=True)
    core.put(A + SAVED_RAX, 0x11 + 2 * 4)
    stores(core, l2, IOAPIC, STORE_EAX)
    core.set_reg(RCX, 3 << 24)
    stores(core, l2, IOAPIC + 0x10, STORE_ECX)
    assert core.route(l2, 4) == Route(0x34, ioapic=True, destination=3)


def test_a_constant_that_is_stored(core: Core, l2: int) -> None:
    core.mmio(l2, IOAPIC, 0x10 + 2 * 4)
    core.mmio(l2, IOAPIC + 0x10, 0x34)
    stores(core, l2, IOAPIC + 0x10, STORE_VALUE)
    assert core.route(l2, 4) is None, "0x10033: the line is masked"


def test_code_that_ends_where_its_page_ends(core: Core, l2: int) -> None:
    core.mmio(l2, IOAPIC, 0x10 + 2 * 4)
    core.put(A + SAVED_RAX, 0x35)
    last = 0x3FFFE  # the first MiB's quarter is mapped, and no more
    stores(core, l2, IOAPIC + 0x10, STORE_EAX, at=last)
    assert core.route(l2, 4) == Route(0x35, ioapic=True)


@pytest.mark.parametrize(
    ("address", "instruction"),
    [
        (IOAPIC + 0x20, STORE_EAX),  # another page's register
        (0xFEE00080, STORE_EAX),  # the task priority
        (IOAPIC + 0x10, "8b03"),  # a load
        (IOAPIC + 0x10, "f4"),  # no move
    ],
)
def test_what_reveals_nothing(core: Core, l2: int, address: int, instruction: str) -> None:
    core.mmio(l2, IOAPIC, 0x10 + 2 * 4)
    core.put(A + SAVED_RAX, 0x34)
    stores(core, l2, address, instruction)
    assert core.route(l2, 4) is None


def test_the_logical_destination_of_a_vcpu(core: Core, l2: int) -> None:
    """Bits 31 to 24 of LDR are the vCPU's bits in a logical destination."""
    core.redirect(l2, 4, 0x34 | 1 << 11, 0x20 << 24)
    core.lib.core_raise(ctypes.c_void_p(l2), 4)
    assert core.due(l2) is None, "bit 0, as Linux has it for the first vCPU"
    core.put(A + SAVED_RAX, 0x20 << 24)
    stores(core, l2, LDR, STORE_EAX)
    assert core.due(l2) == (4, 0x34)


@pytest.mark.parametrize(
    ("leaf", "register", "value", "apic"),
    [(1, RBX, 5 << 24 | 0x800, 5), (0xB, RDX, 5, 5), (4, RDX, 5, 0)],
)
def test_the_apic_id_is_in_l1s_answer_to_cpuid(
    core: Core, l2: int, leaf: int, register: int, value: int, apic: int
) -> None:
    core.redirect(l2, 4, 0x34, apic << 24)
    core.lib.core_raise(ctypes.c_void_p(l2), 4)
    core.put(A + SAVED_RAX, leaf)
    leaves(core, l2, CPUID)
    core.set_reg(register, value)
    core.lib.oob_learn_at_entry(0, ctypes.c_void_p(l2))
    assert core.due(l2) == (4, 0x34)
    core.set_reg(register, 9 << 24 | 9)
    core.lib.oob_learn_at_entry(0, ctypes.c_void_p(l2))
    assert core.due(l2) == (4, 0x34), "there is one answer to one question"


@pytest.mark.parametrize(
    ("code", "info", "needed"),
    [
        (0x60, 0, R_RSP),  # a physical interrupt
        (0x61, 0, R_RSP),
        (0x62, 0, R_RSP),
        (0x64, 0, R_RSP),
        (0x78, 0, R_RSP),  # HLT
        (IOIO, 0x3F8 << 16 | 0x10, R_RAX | R_RSP),
        (IOIO, 0x3F8 << 16 | 0x11, R_RAX | R_RSP),
        (IOIO, 0x3F8 << 16 | 0x14, ALL),  # OUTS
        (IOIO, 0xB2 << 16 | 0x10, ALL),  # the SMI command port
        (IOIO, 0xB2 << 16 | 0x11, R_RAX | R_RSP),  # ... is read
        (0x7C, 0, R_RAX | R_RCX | R_RDX | R_RSP),  # an MSR
        (CPUID, 0, ALL),
        (NPF, 0, ALL),
        (0x4E, 0, ALL),  # a page fault
        (2**64 - 1, 0, ALL),
    ],
)
def test_which_registers_l1_needs(core: Core, l2: int, code: int, info: int, needed: int) -> None:
    found = leaves(core, l2, code, info=info)
    assert core.lib.oob_needed_at_exit(ctypes.byref(found)) == needed
