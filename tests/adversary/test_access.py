"""Every way in which L2 can reach its serial port with `in` and `out` reaches the console, leaves L2's registers as
AMD64 has it, and L1 is told of none of them. `ins` and `outs`: test_string_io.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.adversary.cases import CODE_AGAIN, EXIT_DB, EXIT_GP, EXIT_UD, Case, Ended, Mode, parametrize, run_cases
from tests.adversary.lab import Adversary

COM1 = 0x3F8
SCR = 0x3FF
#: Of registers, whose upper half only 64-bit code has.
NARROW, WIDE = 0x55667788, 0x1122334455667788
MCR_LSR_MSR = 0xB06000  # as after reset, with a terminal that is there: docs/devices/uart16550.md
#: MCR 0, SCR 0x5a; leaves RAX as it was.
SET_UP = (
    "mov %ax, %bx; xor %al, %al; mov $0x3fc, %dx; outb %al, %dx;"
    "mov $0x5a, %al; mov $0x3ff, %dx; outb %al, %dx; mov %bx, %ax; xor %bx, %bx;"
)


def _in_every_mode(mode: Mode, **extra: Any) -> Iterator[Case]:
    """`in` and `out` of each size, within the range and across both of its ends."""
    start = WIDE if mode is Mode.LONG else NARROW

    def case(name: str, asm: str, port: int, rax: int, after: int, prints: bytes = b"") -> Case:
        code = f"{SET_UP if name.startswith('in') else ''} mov ${port:#x}, %dx; {asm}"
        regs = {"rax": rax, "rdx": 0xABCD0000}
        return Case(
            f"{mode.name}-{name}", mode, code, regs, {"rax": after, "rdx": 0xABCD0000 | port}, prints, **extra
        )

    def out(name: str, asm: str, port: int, rax: int, prints: bytes) -> Case:
        return case(name, asm, port, rax, rax, prints)

    yield out("out8", "outb %al, %dx", COM1, start & ~0xFF | ord("a"), b"a")
    yield out("out16", "outw %ax, %dx", COM1, start & ~0xFFFF | ord("b"), b"b")
    yield out("out32", "outl %eax, %dx", COM1, ord("c"), b"c")
    yield out("out16-from-below", "outw %ax, %dx", COM1 - 1, ord("d") << 8 | 0x11, b"d")
    yield out("out32-from-below", "outl %eax, %dx", COM1 - 3, ord("e") << 24 | 0x112233, b"e")
    yield case("in8", "inb %dx, %al", SCR, start, start & ~0xFF | 0x5A)
    yield case("in16", "inw %dx, %ax", SCR - 1, start, start & ~0xFFFF | 0x5AB0)
    yield case("in32", "inl %dx, %eax", SCR - 3, start, 0x5A << 24 | MCR_LSR_MSR)
    yield case("in16-beyond", "inw %dx, %ax", SCR, start, start & ~0xFFFF | 0xFF5A)
    yield case("in32-beyond", "inl %dx, %eax", SCR, start, 0xFFFFFF5A)
    yield case("in16-from-below", "inw %dx, %ax", COM1 - 1, start, start & ~0xFFFF | 0x00FF)
    yield case("in32-from-below", "inl %dx, %eax", COM1 - 3, start, 0x00FFFFFF)


def _out(name: str, asm: str, prints: bytes, **rest: Any) -> Case:
    return Case(name, Mode.LONG, asm, {"rdx": COM1, "rax": 0x41}, prints=prints, **rest)


def _io_breakpoint(
    name: str, asm: str, at: int, *, rax: int, port: int = COM1, after: int | None = None, **rest: Any
) -> Case:
    """With DR0 at a port: DR7 says that it is one of I/O, of one byte."""
    code = f"mov %rbx, %dr0; mov %rcx, %dr7; {asm}"
    regs = {"rax": rax, "rdx": port, "rbx": at, "rcx": 0x20001}
    return Case(name, Mode.LONG, code, regs, {"rax": rax if after is None else after}, **rest)


ENCODINGS = [
    _out("prefix-rep", ".byte 0xf3, 0xee", b"A"),
    _out("prefix-segment", ".byte 0x64, 0xee", b"A"),
    _out("prefix-address-size", ".byte 0x67, 0xee", b"A"),
    _out("prefix-rex", ".byte 0x4f, 0xee", b"A"),
    _out("fifteen-bytes", ".fill 14, 1, 0x3e; outb %al, %dx", b"A"),
    _out("sixteen-bytes-fault", ".fill 15, 1, 0x3e; outb %al, %dx", b"", exit=EXIT_GP, stops_at=0),
    _out("lock-faults", ".byte 0xf0, 0xee", b"", exit=EXIT_UD, stops_at=0),
    Case("only-dx-counts", Mode.LONG, "outb %al, %dx", {"rdx": 0xFFFFFFFFFFFF03F8, "rax": 0x42}, prints=b"B"),
    # A REX prefix wins over an operand-size prefix, unless it stands before it (AMD APM vol. 3, 1.2.7).
    Case(
        "rex-over-operand-size",
        Mode.LONG,
        f"{SET_UP} mov $0x3fc, %dx; .byte 0x66, 0x48, 0xed",
        {"rax": WIDE},
        {"rax": 0x5A << 24 | MCR_LSR_MSR, "rdx": 0x3FC},
    ),
    Case(
        "rex-before-operand-size",
        Mode.LONG,
        f"{SET_UP} mov $0x3fe, %dx; .byte 0x48, 0x66, 0xed",
        {"rax": WIDE},
        {"rax": WIDE & ~0xFFFF | 0x5AB0, "rdx": 0x3FE},
    ),
    # The control: what is not ours L1 is told of, and these tests see that.
    Case(
        "another-port",
        Mode.LONG,
        "outb %al, %dx",
        {"rdx": 0x13F8, "rax": 0x43},
        prints=b"",
        io=(0x13F8 << 16 | 0x10,),
    ),
    # The trap comes after the instruction that was traced (AMD APM vol. 2, 13.1.4).
    _out("single-step", "outb %al, %dx; nop", b"A", rflags=0x100, exit=EXIT_DB, stops_at=1),
    # An I/O breakpoint compares the port at which the CPU executes the access. One at that port strikes behind it,
    # and finds L2's own registers; one at ours does not strike: a deviation (docs/qemu-assumptions.md).
    _io_breakpoint("io-breakpoint-at-ours", "outb %al, %dx", COM1, rax=0x41, prints=b"A"),
    _io_breakpoint(
        "io-breakpoint-at-out", "outb %al, %dx; nop", 0xEC, rax=0x41, prints=b"A", exit=EXIT_DB, stops_at=7
    ),
    _io_breakpoint(
        "io-breakpoint-at-in", "inb %dx, %al; nop", 0xEC, port=SCR - 1, rax=0x41, after=0xB0, exit=EXIT_DB, stops_at=7
    ),
    # STI's shadow ends with the instruction after it: run_cases() sees that none is left.
    _out("after-sti", "sti; outb %al, %dx", b"A"),
    # One physical instruction at two linear addresses: each goes on where it was.
    Case(
        "code-mapped-twice",
        Mode.LONG,
        """lea 1f(%rip), %rbx
        jmp *%rbx
        1: outb %al, %dx
        lea (%rip), %rsi
        2: inc %eax
        add $0x40000, %rbx
        loop 3f
        jmp 4f
        3: jmp *%rbx
        4: lea 2b(%rip), %rdi
        xor %ebx, %ebx""",
        {"rdx": COM1, "rax": ord("0"), "rcx": 2},
        {"rax": ord("2"), "rcx": 0, "rsi": CODE_AGAIN + 17, "rdi": CODE_AGAIN + 17},
        b"01",
    ),
    # The descriptor in memory has no say once CS was loaded from it (AMD APM vol. 2, 4.5.2).
    Case(
        "descriptor-changed-later",
        Mode.PROTECTED_32,
        "movl $0, 0x1018; movl $0, 0x101c; outl %eax, %dx; movl $0xffff, 0x1018; movl $0xcf9b00, 0x101c;"
        "mov $0x3ff, %dx; inb %dx, %al",
        {"rdx": 0x3FC, "rax": 0x66000000},
        {"rax": 0x66000066, "rdx": 0x3FF},
    ),
]


def _flags(name: str, asm: str, flags: int, **rest: Any) -> Case:
    """Flags are as the last arithmetic before the access has left them, whatever they were before that."""
    code = f"push $0x2; popfq; {asm}; pushfq; popq %rsi"
    regs = {"rdx": COM1, "rax": 0x41, "rbx": 0x3F0, "rcx": 0x310}
    return Case(name, Mode.LONG, code, regs, {"rsi": flags | 2} | rest.pop("after", {}), **rest)


CF, PF, SF = 0x1, 0x4, 0x80
FLAGS = [
    _flags("flags-add", "add %rcx, %rbx; outb %al, %dx", PF, after={"rbx": 0x700}, prints=b"A"),
    _flags("flags-sub", "sub %rcx, %rbx; outb %al, %dx", 0, after={"rbx": 0xE0}, prints=b"A"),
    _flags("flags-inc", "stc; inc %rcx; outb %al, %dx", CF | PF, after={"rcx": 0x311}, prints=b"A"),
    _flags("flags-logic", "or $-1, %rbx; outb %al, %dx", SF | PF, after={"rbx": (1 << 64) - 1}, prints=b"A"),
    _flags("flags-twice", "add %rcx, %rbx; outb %al, %dx; outb %al, %dx", PF, after={"rbx": 0x700}, prints=b"AA"),
    _flags(
        "flags-in",
        "mov $0x3fd, %dx; add %rcx, %rbx; inb %dx, %al",
        PF,
        after={"rbx": 0x700, "rdx": 0x3FD, "rax": 0x60},
    ),
    # The TSS allows COM1 alone, as ioperm(2) of Linux does, and not the port at which the CPU executes it.
    *(
        _flags(
            f"flags-user-{name}",
            f"add %rcx, %rbx; {asm}",
            PF,
            after={"rbx": 0x700, "rdx": COM1 + 5, "rax": rax},
            cpl=3,
            ports=(COM1, SCR),
        )
        for name, asm, rax in (
            ("out", "mov $0x3fd, %dx; outb %al, %dx", 0x41),
            ("in", "mov $0x3fd, %dx; inb %dx, %al", 0x60),
        )
    ),
]

USER_MODES = [Mode.PROTECTED_16, Mode.PROTECTED_32, Mode.COMPATIBILITY, Mode.LONG]


def _user(name: str, asm: str, prints: bytes, **rest: Any) -> Iterator[Case]:
    """The same at CPL 3 in every mode that has one."""
    for mode in USER_MODES:
        regs = {"rdx": COM1, "rax": 0x6675}
        fault: dict[str, Any] = {} if prints else {"exit": EXIT_GP, "stops_at": 0}
        yield Case(f"{mode.name}-user-{name}", mode, asm, regs, prints=prints, cpl=3, **fault, **rest)


PRIVILEGES = [
    *_user("denied", "outb %al, %dx", b""),
    *_user("denied-in", "inb %dx, %al", b""),
    *_user("by-iopl", "outb %al, %dx", b"u", iopl=3),
    *_user("by-tss", "outb %al, %dx", b"u", ports=(COM1, COM1)),
    *_user("half-by-tss", "outw %ax, %dx", b"", ports=(COM1, COM1)),
    *_user("neighbour-by-tss", "outb %al, %dx", b"", ports=(COM1 + 1, SCR)),
    Case(
        "user-half-below",
        Mode.LONG,
        "outw %ax, %dx",
        {"rdx": COM1 - 1, "rax": 0x4141},
        cpl=3,
        ports=(COM1, SCR),
        exit=EXIT_GP,
        stops_at=0,
    ),
    # Virtual-8086 mode asks the bitmap whatever IOPL is (AMD APM vol. 3, OUT).
    Case("v86-denied", Mode.V86, "outb %al, %dx", {"rdx": COM1}, cpl=3, iopl=3, exit=EXIT_GP, stops_at=0),
]

CASES = [
    *(case for mode in Mode if mode is not Mode.V86 for case in _in_every_mode(mode)),
    *_in_every_mode(Mode.V86, cpl=3, iopl=3, ports=(COM1 - 3, SCR + 3)),
    *ENCODINGS,
    *FLAGS,
    *PRIVILEGES,
]


@pytest.fixture(scope="module")
def ended(adversary: Adversary, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ended]:
    """All cases, run in one boot."""
    return run_cases(adversary, CASES, tmp_path_factory.mktemp("access"))


@parametrize(CASES)
def test_access(case: Case, ended: Mapping[str, Ended]) -> None:
    ended[case.name].check(case)
