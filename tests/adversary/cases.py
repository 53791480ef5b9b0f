"""L2 code for the payload's `cases`: assembled here, run there, told apart by name."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from struct import Struct

import pytest

from tests.adversary.lab import DONE, Adversary, machine, report_lines
from tests.support.expect import Expect

REGISTERS = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16))]
#: Where L2's data lie, in its physical memory (payload/svm.h); in 16-bit modes the data segments begin here.
DATA = 0x20000
#: A page that the nested table lacks until L2 has touched it, and one that L2's own tables lack.
NOT_MAPPED, NOT_PRESENT = 0x2E000, 0x30000
#: Where L2's code lies, and where 64-bit code finds it a second time.
CODE, CODE_AGAIN = 0x10000, 0x50000
VMMCALL_LENGTH = 3
#: `struct test_case` of payload/cases.c.
_CASE = Struct("<48s4B2H3I4xQ16Q64s256s")
EXIT_VMMCALL, EXIT_DB, EXIT_UD, EXIT_GP, EXIT_PF = 0x81, 0x41, 0x46, 0x4D, 0x4E


class Mode(IntEnum):
    """How L2's CPU runs (payload/svm.h)."""

    REAL = 0
    PROTECTED_16 = 1
    PROTECTED_32 = 2
    LEGACY_PAGED = 3
    PAE = 4
    COMPATIBILITY = 5
    LONG = 6
    V86 = 7

    @property
    def code(self) -> str:
        """The assembler's word for it."""
        if self in (Mode.REAL, Mode.PROTECTED_16, Mode.V86):
            return ".code16"
        return ".code64" if self is Mode.LONG else ".code32"

    @property
    def base(self) -> int:
        """What data addresses begin at."""
        return 0 if self.code == ".code16" else DATA


@dataclass(frozen=True)
class Case:
    """A few instructions of an L2, and how they are to end.

    Attributes:
        asm: in AT&T syntax; VMMCALL follows, and ends the case.
        regs: before it.
        after: registers that must hold these values after it; all others must be as they were.
        prints: what reaches the console.
        exit: the #VMEXIT that ends it.
        data, data_after: memory at `at` before and after it.
        ports: which the TSS allows, first and last.
        typed: what is typed at the console before it.
        io: EXITINFO1 of the IOIO exits that L1 is to get.
        stops_at: RIP at the end, from the first instruction; after the last one, when not given.
    """

    name: str
    mode: Mode
    asm: str
    regs: Mapping[str, int] = field(default_factory=dict)
    after: Mapping[str, int] = field(default_factory=dict)
    prints: bytes = b""
    exit: int = EXIT_VMMCALL
    cpl: int = 0
    iopl: int = 0
    rflags: int = 0
    at: int = DATA
    data: bytes = b""
    data_after: bytes | None = None
    ports: tuple[int, int] = (1, 0)
    typed: bytes = b""
    io: tuple[int, ...] = ()
    stops_at: int | None = None


@dataclass(frozen=True)
class Ended:
    """How a case ended, as L1 saw it, and what reached the console."""

    values: dict[str, str]
    io: tuple[int, ...]
    printed: bytes
    code_length: int

    def number(self, name: str) -> int:
        """A register, or a field of the VMCB."""
        return int(self.values[name], 16)

    def check(self, case: Case) -> None:
        """See that it is as AMD64 has it, and that L1 was not told of it."""
        assert self.number("exit") == case.exit, self
        assert self.printed == case.prints, self
        assert self.io == case.io, self
        stops_at = self.code_length - VMMCALL_LENGTH if case.stops_at is None else case.stops_at
        assert self.number("rip") % CODE == stops_at, self
        assert self.number("shadow") == 0, self
        expected = {name: case.regs.get(name, 0) for name in REGISTERS if name != "rsp"} | dict(case.after)
        assert {name: hex(self.number(name)) for name in expected} == {n: hex(v) for n, v in expected.items()}
        after = case.data if case.data_after is None else case.data_after
        assert bytes.fromhex(self.values["data"]) == after


def parametrize(cases: Sequence[Case]) -> pytest.MarkDecorator:
    """One test for each case."""
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def assemble(cases: Sequence[Case], folder: Path) -> dict[str, bytes]:
    """The code of each case, by its name."""
    source, binary, raw = folder / "cases.s", folder / "cases.o", folder / "code"
    parts = (f"case_{i:04}: {c.mode.code}\n{c.asm}\nvmmcall\n" for i, c in enumerate(cases))
    source.write_text("".join(parts) + "case_end:\n")
    subprocess.run(["as", "--64", "-o", str(binary), str(source)], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", str(binary), str(raw)], check=True)
    symbols = subprocess.run(["nm", "-n", str(binary)], check=True, capture_output=True, text=True).stdout
    starts = [int(at, 16) for at in re.findall(r"^([0-9a-f]+) t case_", symbols, re.MULTILINE)]
    return {c.name: raw.read_bytes()[starts[i] : starts[i + 1]] for i, c in enumerate(cases)}


def _pack(case: Case, code: bytes) -> bytes:
    assert max(len(code) - 256, len(case.name) - 47, len(case.data) - 64) <= 0, case.name
    registers = [case.regs.get(name, 0) for name in REGISTERS]
    head = (case.name.encode(), case.mode, case.cpl, case.iopl, bool(case.typed), *case.ports, len(code))
    return _CASE.pack(*head, case.at, len(case.data), case.rflags, *registers, case.data, code)


def run_cases(adversary: Adversary, cases: Sequence[Case], folder: Path) -> dict[str, Ended]:
    """Boot once, run every case in one L2 after the other, and return how each ended."""
    code = assemble(cases, folder)
    module = module_of(cases, code, folder)
    with adversary.boot("cases", module=module) as l1:
        for case in cases:
            if case.typed:
                l1.expect(f"type={case.name}\r?\n", timeout=10)
                with l1.console("a") as console:
                    console.send(case.typed)
                    console.send_eof()
                    console.wait(10)
                l1.send(b"!")
        report = l1.finish(30)
    assert report.consoles["b"] == b""
    return ended(report.lines, report.consoles["a"], cases, code)


def run_on_qemus_own_uart(cases: Sequence[Case], folder: Path) -> dict[str, Ended]:
    """The same without us: L2's port I/O goes to QEMU's `isa-serial`, and L1 reports on the second one."""
    code = assemble(cases, folder)
    carried = folder / "carried"
    options = {"open": 1, "report": 0x2F8}
    command = machine("cases", module_of(cases, code, folder), 1, 64, options)
    with Expect([*command, "-serial", f"file:{carried}", "-serial", "stdio"]) as l1:
        l1.expect(rb"done=1\r?\n", timeout=30, fail=rb"died=[^\n]*\n")
        assert l1.wait(10) == DONE
        lines = report_lines(bytes(l1.seen))
    return ended(lines, carried.read_bytes(), cases, code)


def module_of(cases: Sequence[Case], code: Mapping[str, bytes], folder: Path) -> Path:
    file = folder / "module"
    file.write_bytes(b"".join(_pack(case, code[case.name]) for case in cases))
    return file


def ended(lines: Sequence[str], console: bytes, cases: Sequence[Case], code: Mapping[str, bytes]) -> dict[str, Ended]:
    printed = dict(re.findall(rb"\n<([^>]*)>(.*?)(?=\n<)", console, re.DOTALL))
    ended = {}
    for case in cases:
        line = next(line for line in lines if line.startswith(f"case={case.name} "))
        words = [word.partition("=")[::2] for word in line.split()]
        io = tuple(int(value, 16) for name, value in words if name == "ioio")
        ended[case.name] = Ended(dict(words), io, printed[case.name.encode()], len(code[case.name]))
    return ended
