"""`in` and `out` whose port is in the instruction: below 0x100, where a UART of ours may lie as well as anywhere.

The CPU cannot be led elsewhere with those, as it is with a port in DX. It exits at them, and L1 is told of a physical
interrupt, behind the instruction. There is no server here: the shadow of the UART answers alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.adversary.cases import EXIT_GP, Case, Ended, Mode, assemble, ended, module_of, parametrize
from tests.adversary.lab import DONE, machine, report_lines
from tests.stack.nested import PLUGIN
from tests.support.expect import Expect

#: Where the second UART lies: its scratch register is 0x67, its LSR and MSR are 0x65 and 0x66.
BASE = 0x60
#: Of registers, whose upper half only 64-bit code has.
NARROW, WIDE = 0x55667788, 0x1122334455667788

#: The scratch register is 0x5a; leaves RAX as it was.
SET_UP = "mov %ax, %bx; mov $0x5a, %al; outb %al, $0x67; mov %bx, %ax; xor %bx, %bx;"


def _in_every_mode(mode: Mode) -> Iterator[Case]:
    """Each size, within the range and across its end."""
    start = WIDE if mode is Mode.LONG else NARROW

    def case(name: str, asm: str, after: int) -> Case:
        return Case(f"{mode.name}-{name}", mode, f"{SET_UP} {asm}", {"rax": start}, {"rax": after})

    yield case("in8", "inb $0x67, %al", start & ~0xFF | 0x5A)
    yield case("in16", "inw $0x65, %ax", start & ~0xFFFF | 0xB060)
    yield case("in32", "inl $0x65, %eax", 0xFF5AB060)
    yield case("in16-beyond", "inw $0x67, %ax", start & ~0xFFFF | 0xFF5A)
    yield case("in32-from-below", "inl $0x5d, %eax", 0x00FFFFFF)
    yield case("out16", "mov $0x1144, %ax; outw %ax, $0x67; inb $0x67, %al", start & ~0xFFFF | 0x1144)


#: Flags that QEMU keeps in places of its own until somebody looks: they are as they were.
FLAGS = "setc %cl; setz %dl"
CASES = [
    *(case for mode in (Mode.REAL, Mode.PROTECTED_32, Mode.LONG) for case in _in_every_mode(mode)),
    Case(
        "flags-in",
        Mode.LONG,
        f"{SET_UP} mov $-1, %rbx; add $1, %rbx; inb $0x67, %al; {FLAGS}",
        {},
        {"rax": 0x5A, "rcx": 1, "rdx": 1},
    ),
    Case("flags-out", Mode.LONG, f"cmp $5, %rbx; outb %al, $0x67; {FLAGS}", {"rbx": 4}, {"rcx": 1, "rdx": 0}),
    Case(
        "twice", Mode.LONG, f"{SET_UP} inb $0x67, %al; mov %al, %bl; inb $0x65, %al", {}, {"rax": 0x60, "rbx": 0x5A}
    ),
    Case("denied", Mode.LONG, "inb $0x67, %al", {"rax": 0x11}, cpl=3, exit=EXIT_GP, stops_at=0),
    Case("allowed", Mode.LONG, f"{SET_UP} inb $0x67, %al", {}, {"rax": 0x5A}, cpl=3, ports=(0x60, 0x67)),
    Case("by-dx", Mode.LONG, "outb %al, %dx; mov $0, %al; inb $0x67, %al", {"rax": 0x5A, "rdx": 0x67}),
    Case("interrupt-shadow", Mode.LONG, f"{SET_UP} sti; inb $0x67, %al; cli", {}, {"rax": 0x5A}),
    Case("not-ours", Mode.LONG, "outb %al, $0x70", {"rax": 0x0F}, io=(0x700010,)),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ended]:
    """One boot, without a server."""
    folder = tmp_path_factory.mktemp("immediate")
    code = assemble(CASES, folder)
    ports = f"uart@0x3f8-0x3ff:uart@{BASE:#x}-{BASE + 7:#x}"
    words = f"{PLUGIN},socket={folder / 'nobody'},machine=alone,ports={ports},irq=4:3"
    command = machine("cases", module_of(CASES, code, folder), 1, 64, {})
    with Expect([*command, "-serial", "stdio", "-plugin", words]) as l1:
        l1.expect(rb"done=1\r?\n", timeout=30, fail=rb"died=[^\n]*\n")
        assert l1.wait(10) == DONE
        lines = report_lines(bytes(l1.seen))
    nothing_printed = b"".join(f"\n<{case.name}>".encode() for case in CASES) + b"\n<"
    return ended(lines, nothing_printed, CASES, code)


@parametrize(CASES)
def test_port_in_the_instruction(results: Mapping[str, Ended], case: Case) -> None:
    results[case.name].check(case)
