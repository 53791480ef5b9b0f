"""Instructions (`native/core/decode.c`). Source: AMD APM vol. 3. Arbitrary bytes: `tests/fuzz/decode.c`."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from tests.native.core import IoInsn, MovInsn

MODE_16, MODE_32, MODE_64 = range(3)


@pytest.fixture(scope="module")
def decoder(library: Path) -> ctypes.CDLL:
    """decode.c, in the library of all of native/core."""
    decoder = ctypes.CDLL(str(library))
    for name in ("io", "mov"):
        getattr(decoder, f"oob_decode_{name}").restype = ctypes.c_bool
    for name in ("vmrun", "wrmsr", "rdtsc"):
        getattr(decoder, f"oob_is_{name}").restype = ctypes.c_bool
    return decoder


def io(decoder: ctypes.CDLL, code: str) -> IoInsn | None:
    found, data = IoInsn(), bytes.fromhex(code)
    return found if decoder.oob_decode_io(data, ctypes.c_size_t(len(data)), ctypes.byref(found)) else None


def mov(decoder: ctypes.CDLL, code: str, mode: int = MODE_64) -> MovInsn | None:
    found, data = MovInsn(), bytes.fromhex(code)
    return found if decoder.oob_decode_mov(data, ctypes.c_size_t(len(data)), mode, ctypes.byref(found)) else None


@pytest.mark.parametrize(
    ("code", "length", "size", "out", "port"),
    [
        ("e464", 2, 1, False, 0x64),
        ("e564", 2, 4, False, 0x64),
        ("e660", 2, 1, True, 0x60),
        ("66e760", 3, 2, True, 0x60),
        ("ec", 1, 1, False, None),
        ("66ed", 2, 2, False, None),
        ("48ed", 2, 4, False, None),
        ("4866ed", 3, 2, False, None),  # a REX prefix that is not the last counts for nothing
        ("6648ed", 3, 4, False, None),
        ("ee", 1, 1, True, None),
        ("2eef", 2, 4, True, None),
    ],
)
def test_port_io(decoder: ctypes.CDLL, code: str, length: int, size: int, out: bool, port: int | None) -> None:
    found = io(decoder, code)
    assert found is not None
    assert (found.length, found.size, found.out, found.string) == (length, size, out, False)
    assert found.immediate == (port is not None)
    assert found.imm == (port or 0)


@pytest.mark.parametrize(
    ("code", "size", "address", "out", "rep"),
    [
        ("6c", 1, 8, False, False),
        ("f36d", 4, 8, False, True),
        ("f26e", 1, 8, True, True),
        ("67666f", 2, 4, True, False),
    ],
)
def test_string_io(decoder: ctypes.CDLL, code: str, size: int, address: int, out: bool, rep: bool) -> None:
    found = io(decoder, code)
    assert found is not None
    assert (found.size, found.address, found.out, found.string, found.rep) == (size, address, out, True, rep)


@pytest.mark.parametrize("code", ["", "66", "e4", "90", "f0ec", "66" * 15 + "ec"])
def test_what_is_no_port_io(decoder: ctypes.CDLL, code: str) -> None:
    assert io(decoder, code) is None


@pytest.mark.parametrize(
    ("code", "text", "size", "address"),
    [
        ("ed", "inw %dx, %ax", 2, 8),
        ("ed", "inl (%dx), %eax", 4, 8),
        ("48ed", "inw %dx, %ax", 4, 8),
        ("ec", "inb %dx, %al", 1, 8),
        ("e565", "inw $0x65, %ax", 2, 8),
        ("e565", "inl $0x65, %eax", 4, 8),
        ("e765", "outw %ax, $0x65", 2, 8),
        ("f36f", "rep outsw (%esi), %dx", 2, 4),
        ("f36f", "rep outsl (%si), %dx", 4, 2),
        ("6f", "outsl (%rsi), %dx", 4, 8),
        ("6f", "(bad)", 4, 8),
        ("6f", "outsl", 4, 8),
    ],
)
def test_sizes_are_the_disassemblers(decoder: ctypes.CDLL, code: str, text: str, size: int, address: int) -> None:
    found = io(decoder, code)
    assert found is not None
    decoder.oob_decode_io_sizes(text.encode(), ctypes.byref(found))
    assert (found.size, found.address) == (size, address)


@pytest.mark.parametrize(
    ("code", "mode", "store", "reg", "value"),
    [
        ("8903", MODE_64, True, 0, None),  # mov %eax, (%rbx)
        ("448903", MODE_64, True, 8, None),  # mov %r8d, (%rbx)
        ("8b03", MODE_64, False, 0, None),
        ("89048d10000000", MODE_64, True, 0, None),  # mov %eax, 0x10(,%rcx,4)
        ("894310", MODE_64, True, 0, None),
        ("898310000000", MODE_64, True, 0, None),
        ("890510000000", MODE_64, True, 0, None),  # by RIP
        ("890424", MODE_64, True, 0, None),  # (%rsp)
        ("c70378563412", MODE_64, True, 0, 0x12345678),
        ("a3" + "00" * 8, MODE_64, True, 0, None),
        ("a1" + "00" * 4, MODE_32, False, 0, None),
        ("67a3" + "00" * 2, MODE_32, True, 0, None),
        ("668907", MODE_16, True, 0, None),  # mov %eax, (%bx)
        ("66894710", MODE_16, True, 0, None),
        ("6689871000", MODE_16, True, 0, None),
        ("6689061000", MODE_16, True, 0, None),
        ("67668903", MODE_16, True, 0, None),
    ],
)
def test_stores_and_loads(
    decoder: ctypes.CDLL, code: str, mode: int, store: bool, reg: int, value: int | None
) -> None:
    found = mov(decoder, code, mode)
    assert found is not None
    assert (found.store, found.reg, found.immediate) == (store, reg, value is not None)
    assert found.value == (value or 0)


@pytest.mark.parametrize(
    "code",
    [
        "",
        "89",
        "890d",
        "89c3",  # to a register
        "8904",
        "89048d1000",
        "668903",  # 16 bits
        "488903",  # 64 bits
        "c70b78563412",  # another instruction
        "c7037856",
        "c7c078563412",
        "a30000",
        "8803",
    ],
)
def test_what_is_no_32_bit_move(decoder: ctypes.CDLL, code: str) -> None:
    assert mov(decoder, code) is None


@pytest.mark.parametrize(
    ("code", "name"),
    [("0f01d8", "vmrun"), ("670f01d8", "vmrun"), ("0f30", "wrmsr"), ("0f31", "rdtsc"), ("0f01f9", "rdtsc")],
)
def test_instructions_that_are_looked_for(decoder: ctypes.CDLL, code: str, name: str) -> None:
    data, overridden = bytes.fromhex(code), ctypes.c_bool()
    size = ctypes.c_size_t(len(data))
    found = {
        "vmrun": decoder.oob_is_vmrun(data, size, ctypes.byref(overridden)),
        "wrmsr": decoder.oob_is_wrmsr(data, size),
        "rdtsc": decoder.oob_is_rdtsc(data, size),
    }
    assert [which for which, is_one in found.items() if is_one] == [name]
    assert overridden.value == code.startswith("67")
