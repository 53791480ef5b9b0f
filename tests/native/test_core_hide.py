"""What L1 sees of L2's registers at an exit, and what L2 gets back (`native/core/hide.c`), by AMD's VMCB."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.native.core import (
    EXITCODE,
    EXITINFO1,
    EXITINFO2,
    RAX,
    RBX,
    RCX,
    RDX,
    SAVED_RAX,
    SAVED_RIP,
    Core,
)
from tests.native.test_core_memory import A as VMCB
from tests.native.test_core_virt import exit_of

NCR3, RIP = 0x30000, 0x1000
RSP, GENERAL_REGS = 4, 16
INTR, MSR, NPF = 0x60, 0x7C, 0x400
IN_USE_NS, LONGEST_INSTRUCTION = 1_000_000_000, 15


@pytest.fixture
def core(library: Path, tmp_path: Path) -> Core:
    """An L1 whose only vCPU has L2's registers. Register n holds 0x100 + n."""
    core = Core(library, tmp_path)
    core.let_pass(10 * IN_USE_NS)  # the clock is far from 0, which is the time of the last access until there is one
    for reg in range(GENERAL_REGS):
        core.set_reg(reg, 0x100 + reg)
    return core


@pytest.fixture
def l2(core: Core) -> int:
    """A vCPU of a guest that has used its console just now."""
    l2 = core.enter(core.vmcb(VMCB, NCR3, rip=RIP))
    core.put(VMCB + SAVED_RAX, 0x100)
    core.lib.core_attend(ctypes.c_void_p(l2), False, ctypes.c_uint64(0), ctypes.c_uint64(core.now))
    return l2


def leaves(core: Core, l2: int, code: int) -> None:
    """L2 leaves for this reason, at an instruction at RIP."""
    core.put(VMCB + EXITCODE, code)
    core.put(VMCB + EXITINFO1, 0)
    core.put(VMCB + EXITINFO2, 0)
    found = exit_of(core)
    core.lib.oob_hide_at_exit(0, ctypes.c_void_p(l2), ctypes.byref(found))


def goes_on(core: Core, l2: int, rip: int = RIP) -> None:
    """L1 enters L2 again, at this RIP."""
    core.put(VMCB + SAVED_RIP, rip)
    core.lib.oob_hide_restore(0, ctypes.c_void_p(l2))


def seen(core: Core) -> list[int]:
    """Return L2's registers, as L1 sees them: RAX from the VMCB."""
    return [core.get(VMCB + SAVED_RAX), *(core.reg(reg) for reg in range(1, GENERAL_REGS))]


ALL = [0x100 + reg for reg in range(GENERAL_REGS)]


def only(*shown: int) -> list[int]:
    """Return registers of which only these are not hidden."""
    return [value if reg in shown else 0 for reg, value in enumerate(ALL)]


@pytest.mark.parametrize(
    ("code", "shown"),
    [(INTR, (RSP,)), (MSR, (RAX, RCX, RDX, RSP)), (NPF, tuple(range(GENERAL_REGS)))],
    ids=["interrupt", "MSR", "nested page fault"],
)
def test_l1_sees_the_registers_that_it_needs_and_l2_gets_all_back(
    core: Core, l2: int, code: int, shown: tuple[int, ...]
) -> None:
    leaves(core, l2, code)
    assert seen(core) == only(*shown)
    assert core.reg(RAX) == 0x100, "the CPU's own RAX is L1's at that time"
    goes_on(core, l2)
    assert seen(core) == ALL


def test_a_console_that_is_not_in_use_has_nothing_to_hide(core: Core, l2: int) -> None:
    core.let_pass(IN_USE_NS)
    leaves(core, l2, INTR)
    assert seen(core) == ALL
    goes_on(core, l2)
    assert seen(core) == ALL


@pytest.mark.parametrize(
    ("rip", "back"),
    [(RIP, True), (RIP + LONGEST_INSTRUCTION, True), (RIP + LONGEST_INSTRUCTION + 1, False), (RIP - 1, False)],
)
def test_l2_gets_its_registers_back_where_it_was_or_behind_that_instruction(
    core: Core, l2: int, rip: int, back: bool
) -> None:
    leaves(core, l2, INTR)
    goes_on(core, l2, rip)
    assert seen(core) == (ALL if back else only(RSP))
    goes_on(core, l2)
    assert seen(core) == (ALL if back else only(RSP)), "the hidden values are used once"


def test_a_register_that_l1_has_set_meanwhile_keeps_l1s_value(core: Core, l2: int) -> None:
    leaves(core, l2, INTR)
    core.set_reg(RBX, 7)
    core.put(VMCB + SAVED_RAX, 8)
    goes_on(core, l2)
    assert seen(core) == [8, *ALL[1:RBX], 7, *ALL[RBX + 1 :]]
