"""`ins` and `outs` at L2's serial port: in every mode, with every prefix, into and across missing pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.adversary.cases import (
    DATA,
    EXIT_DB,
    EXIT_GP,
    EXIT_PF,
    NOT_MAPPED,
    NOT_PRESENT,
    Case,
    Ended,
    Mode,
    parametrize,
    run_cases,
)
from tests.adversary.lab import LONG_TEXT, Adversary

COM1 = 0x3F8
SCR = 0x3FF
DF, TF = 0x400, 0x100
#: Below 64 KiB, where 16-bit addresses reach in flat segments, too.
LOW = 0xF000
FS_BASE, GS_BASE = DATA + 0x2000, DATA + 0x4000
SET_UP = "xor %al, %al; mov $0x3fc, %dx; outb %al, %dx; mov $0x5a, %al; mov $0x3ff, %dx; outb %al, %dx;"


def _moved(mode: Mode, start: int, by: int) -> int:
    """An address that wraps as wide as addresses are."""
    return (start + by) % (1 << 16 if mode.code == ".code16" else 1 << 32)


def _outs(name: str, mode: Mode, asm: str, text: bytes, prints: bytes, moved: int, **rest: Any) -> Case:
    """OUTS of `text`; RSI moves by `moved`, RCX falls to 0."""
    at = rest.pop("at", DATA)
    start = rest.pop("start", mode.base + (at - DATA))
    count = rest.pop("count", 0)
    after = {"rsi": _moved(mode, start, moved), "rcx": rest.pop("left", 0)}
    regs = {"rdx": COM1, "rsi": start, "rcx": count}
    return Case(name, mode, asm, regs, after, prints, at=at, data=text, **rest)


def _ins(name: str, mode: Mode, asm: str, stored: bytes, moved: int, port: int = SCR, **rest: Any) -> Case:
    """INS over eight bytes of 0xee; RDI moves by `moved`, RCX falls to 0."""
    at = rest.pop("at", DATA)
    start = rest.pop("start", mode.base + (at - DATA))
    regs = {"rdi": start, "rcx": rest.pop("count", 0)}
    after = {"rdi": _moved(mode, start, moved), "rcx": rest.pop("left", 0), "rdx": port, "rax": 0x5A}
    before = rest.pop("data", b"\xee" * 8)
    data_after = rest.pop("data_after", stored + before[len(stored) :])
    code = f"{SET_UP} mov ${port:#x}, %dx; {asm}"
    return Case(name, mode, code, regs, after, at=at, data=before, data_after=data_after, **rest)


def _in_every_mode(mode: Mode, **rest: Any) -> Iterator[Case]:
    def outs(name: str, asm: str, text: bytes, prints: bytes, moved: int, **more: Any) -> Case:
        return _outs(f"{mode.name}-{name}", mode, asm, text, prints, moved, **more, **rest)

    def ins(name: str, asm: str, stored: bytes, moved: int, **more: Any) -> Case:
        return _ins(f"{mode.name}-{name}", mode, asm, stored, moved, **more, **rest)

    yield outs("outsb", "outsb", b"a", b"a", 1)
    yield outs("outsb-down", "outsb", b"b", b"b", -1, rflags=DF)
    yield outs("outsw", "outsw", b"c\0", b"c", 2)
    yield outs("outsl", "outsl", b"d\0\0\0", b"d", 4)
    yield outs("rep-outsb", "rep outsb", b"hello", b"hello", 5, count=5)
    yield outs("rep-outsw", "rep outsw", b"h\0i\0", b"hi", 4, count=2)
    yield outs("rep-none", "rep outsb", b"no", b"", 0, count=0)
    yield outs("page-crossing", "rep outsb", b"across pages", b"across pages", 12, count=12, at=DATA + 0xFFA)
    yield outs("word-across-pages", "outsw", b"x\0", b"x", 2, at=DATA + 0xFFF)
    yield outs("nested-fault", "rep outsb", b"nested", b"nested", 6, count=6, at=NOT_MAPPED - 3)
    yield ins("insb", "insb", b"\x5a", 1)
    yield ins("insb-down", "insb", b"\x5a", -1, rflags=DF)
    yield ins("insw", "insw", b"\xb0\x5a", 2, port=SCR - 1)
    yield ins("insl", "insl", b"\x00\x60\xb0\x5a", 4, port=SCR - 3)
    yield ins("insw-beyond", "insw", b"\x5a\xff", 2)
    yield ins("rep-insb", "rep insb", b"\x5a" * 5, 5, count=5)
    yield ins("ins-nested-fault", "rep insb", b"\x5a" * 6, 6, count=6, at=NOT_MAPPED - 3)


def _down(mode: Mode) -> Case:
    end = mode.base + 4
    return _outs(f"{mode.name}-rep-down", mode, "rep outsb", b"olleh", b"hello", -5, start=end, count=5, rflags=DF)


SEGMENTS = [
    _outs("fs", Mode.LONG, "fs outsb", b"f", b"f", 1, at=FS_BASE + 8, start=8),
    _outs("gs", Mode.LONG, "gs outsb", b"g", b"g", 1, at=GS_BASE + 8, start=8),
    _outs("es-in-long-mode", Mode.LONG, ".byte 0x26; outsb", b"e", b"e", 1),
    _outs("fs-32", Mode.PROTECTED_32, "fs outsb", b"f", b"f", 1, at=FS_BASE, start=0),
    _outs("gs-compatibility", Mode.COMPATIBILITY, "gs outsb", b"g", b"g", 1, at=GS_BASE, start=0),
    _outs("fs-real", Mode.REAL, "fs outsb", b"f", b"f", 1, at=FS_BASE, start=0),
    _outs("cs-real", Mode.REAL, "cs outsb", b"c", b"c", 1, at=0x10080, start=0x80),
    _outs("fs-16", Mode.PROTECTED_16, "fs outsb", b"f", b"f", 1, at=FS_BASE, start=0),
    # INS has no choice of segment (AMD APM vol. 3, INS).
    _ins("ins-ignores-fs", Mode.LONG, "fs insb", b"\x5a", 1),
]

ADDRESS_SIZES = [
    # A 32-bit address in 64-bit mode uses ESI and ECX, and clears their upper halves.
    Case(
        "address-32-in-64",
        Mode.LONG,
        "addr32 rep outsb",
        {"rdx": COM1, "rsi": 0x1_0000_0000 + DATA, "rcx": 0x7_0000_0002},
        {"rsi": DATA + 2, "rcx": 0},
        b"ab",
        data=b"ab",
    ),
    # A 16-bit one uses SI and CX, and leaves their upper halves.
    Case(
        "address-16-in-32",
        Mode.PROTECTED_32,
        "addr16 rep outsb",
        {"rdx": COM1, "rsi": 0xABCD0000 + LOW, "rcx": 0x70002},
        {"rsi": 0xABCD0002 + LOW, "rcx": 0x70000},
        b"ab",
        at=LOW,
        data=b"ab",
    ),
    Case(
        "address-16-wraps",
        Mode.PROTECTED_32,
        "addr16 rep outsb",
        {"rdx": COM1, "rsi": 0xFFFF, "rcx": 1},
        {"rsi": 0, "rcx": 0},
        b"w",
        at=0xFFFF,
        data=b"w",
    ),
    _outs("address-32-in-16", Mode.PROTECTED_16, "addr32 rep outsb", b"ab", b"ab", 2, count=2),
    Case(
        "ins-address-32-in-64",
        Mode.LONG,
        f"{SET_UP} addr32 rep insb",
        {"rdi": 0x1_0000_0000 + DATA, "rcx": 0x7_0000_0002},
        {"rdi": DATA + 2, "rcx": 0, "rdx": SCR, "rax": 0x5A},
        data=b"\0\0\0",
        data_after=b"\x5a\x5a\0",
    ),
]

#: More turns than are taken before L2 may be interrupted.
ACROSS = NOT_MAPPED - 70
LONG = [
    Case(
        f"{mode.name}-long{'-address-32' if rest else ''}",
        mode,
        f"{SET_UP} {'addr32 ' if rest else ''}rep insb",
        {"rdi": mode.base + ACROSS - DATA, "rcx": rest << 32 | 200},
        {"rdi": mode.base + ACROSS - DATA + 200, "rcx": 0, "rdx": SCR, "rax": 0x5A},
        at=ACROSS,
        data=b"\xee" * 64,
        data_after=b"\x5a" * 64,
    )
    for mode, rest in ((Mode.LONG, 0), (Mode.LONG, 7), (Mode.PROTECTED_32, 0), (Mode.REAL, 0))
]

_FAULT_AFTER_3 = {"exit": EXIT_PF, "stops_at": 0, "count": 6, "left": 3, "at": NOT_PRESENT - 3}
FAULTS = [
    *(
        _outs(f"{mode.name}-page-fault", mode, "rep outsb", b"123456", b"123", 3, **_FAULT_AFTER_3)
        for mode in (Mode.LONG, Mode.PAE, Mode.LEGACY_PAGED, Mode.COMPATIBILITY)
    ),
    # No part of an element that faults is printed.
    _outs("word-page-fault", Mode.LONG, "outsw", b"no", b"", 0, exit=EXIT_PF, stops_at=0, at=NOT_PRESENT - 1),
    _outs("user-denied", Mode.LONG, "rep outsb", b"no", b"", 0, count=2, left=2, cpl=3, exit=EXIT_GP, stops_at=0),
    _outs("user-by-tss", Mode.LONG, "rep outsb", b"yes", b"yes", 3, count=3, cpl=3, ports=(COM1, COM1)),
    _outs("user-by-iopl", Mode.PROTECTED_32, "rep outsb", b"yes", b"yes", 3, count=3, cpl=3, iopl=3),
    # A trap comes after each turn (AMD APM vol. 3, 1.2.6).
    _outs(
        "string-single-step",
        Mode.LONG,
        "rep outsb",
        b"abc",
        b"a",
        1,
        count=3,
        left=2,
        rflags=TF,
        exit=EXIT_DB,
        stops_at=0,
    ),
    # PF comes from ADD, and nothing else from anywhere.
    *(
        Case(
            f"string-flags{'-user' if cpl else ''}",
            Mode.LONG,
            "push $0x2; popfq; add %rcx, %rbx; outsb; pushfq; popq %rdi",
            {"rdx": COM1, "rsi": DATA, "rbx": 0x3F0, "rcx": 0x310},
            {"rsi": DATA + 1, "rbx": 0x700, "rdi": 0x6},
            b"f",
            data=b"f",
            cpl=cpl,
            ports=(COM1, COM1),
        )
        for cpl in (0, 3)
    ),
    Case(
        "outsw-from-below",
        Mode.LONG,
        "outsw",
        {"rdx": COM1 - 1, "rsi": DATA},
        {"rsi": DATA + 2},
        b"y",
        data=b"xy",
    ),
]

WAIT_FOR_INPUT = "mov $0x3fd, %dx; 1: inb %dx, %al; test $1, %al; jz 1b; mov $0x3f8, %dx; xor %eax, %eax;"
INPUT = [
    Case("fifo-on", Mode.LONG, "outb %al, %dx", {"rdx": 0x3FA, "rax": 1}),
    # The fault comes before the byte is taken: it is there for the next who reads.
    Case(
        "ins-page-fault",
        Mode.LONG,
        f"{WAIT_FOR_INPUT} 2: rep insb",
        {"rdi": NOT_PRESENT - 1, "rcx": 3},
        {"rdi": NOT_PRESENT, "rcx": 2, "rdx": COM1},
        exit=EXIT_PF,
        stops_at=15,
        at=NOT_PRESENT - 1,
        data=b"--",
        data_after=b"x-",
        typed=b"xyz",
    ),
    Case(
        "ins-after-page-fault",
        Mode.LONG,
        "rep insb",
        {"rdi": DATA, "rcx": 2, "rdx": COM1},
        {"rdi": DATA + 2, "rcx": 0},
        data=b"--",
        data_after=b"yz",
    ),
]

CASES = [
    *(case for mode in Mode if mode is not Mode.V86 for case in (*_in_every_mode(mode), _down(mode))),
    *_in_every_mode(Mode.V86, cpl=3, iopl=3, ports=(COM1, SCR + 3)),
    *SEGMENTS,
    *ADDRESS_SIZES,
    *LONG,
    *FAULTS,
    *INPUT,
]


@pytest.fixture(scope="module")
def ended(adversary: Adversary, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ended]:
    """All cases, run in one boot."""
    return run_cases(adversary, CASES, tmp_path_factory.mktemp("string"))


@parametrize(CASES)
def test_string_io(case: Case, ended: Mapping[str, Ended]) -> None:
    ended[case.name].check(case)


def test_interrupted_while_one_instruction_prints(adversary: Adversary) -> None:
    """L1 takes the CPU away 2000 times a second. Gained: nothing: every byte arrives, once."""
    report = adversary.run("interrupted", string=1)
    assert report.exits == []
    assert report.number("interrupts") > 0
    assert report.consoles["a"] == LONG_TEXT * report.number("rounds")
