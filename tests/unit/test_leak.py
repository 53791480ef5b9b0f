"""`make leak` rests on these: a walk that maps too much, or a search that misses, would hide a leak."""

from __future__ import annotations

import string
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.leak.exits import ENTRY, EXIT, IOIO, RECORD, Exits, Hit
from tests.leak.memory import ALL, LARGE, PAGE, PRESENT, USER_HALF, Ram, Run, runs

SECRET = (string.ascii_letters + string.digits)[:32].encode()
MIB = 1 << 20
FRAMES_2M = 512
DEVICE = 1 << 51 | PRESENT  # how KVM marks a guest's devices
VMCB = 0x7000


@given(
    before=st.binary(max_size=40),
    first=st.integers(0, 24),
    length=st.integers(8, 32),
    after=st.binary(max_size=40),
    minimum=st.integers(1, 8),
)
def test_any_piece_of_the_least_size_is_found(
    before: bytes, first: int, length: int, after: bytes, minimum: int
) -> None:
    piece = SECRET[first : first + length]
    found = runs(before + piece + after, SECRET, minimum)
    assert any(run.at <= len(before) and run.at + run.length >= len(before) + len(piece) for run in found)


@given(st.binary(max_size=200))
def test_what_is_found_is_there(data: bytes) -> None:
    for run in runs(data, SECRET, 1):
        assert data[run.at : run.at + run.length] == SECRET[run.first : run.first + run.length]


def test_shorter_pieces_and_pieces_outside_are_not_found() -> None:
    assert runs(b"-" + SECRET[:7] + b"-", SECRET, 8) == set()
    assert runs(SECRET, SECRET, 8, 0, 7) == set()
    assert runs(SECRET, SECRET, 8, 4, 20) == {Run(4, 4, 16)}


class Board:
    """4 MiB of memory with page tables in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("wb") as file:
            file.truncate(4 * MIB)

    def put(self, at: int, data: bytes) -> None:
        with self.path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    def entry(self, table: int, index: int, value: int) -> None:
        self.put(table + index * 8, struct.pack("<Q", value))


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """Tables at pages 1 to 4: frame 16, frame 300, two device pages, 2 MiB from frame 512."""
    made = Board(tmp_path / "ram")
    for level in range(3):
        made.entry((1 + level) * PAGE, 0, (2 + level) * PAGE | PRESENT)
    made.entry(4 * PAGE, 0, 16 * PAGE | PRESENT)
    made.entry(4 * PAGE, 1, 300 * PAGE | PRESENT)
    made.entry(4 * PAGE, 2, 17 * PAGE)  # not present
    made.entry(4 * PAGE, 3, 18 * PAGE | DEVICE)
    made.entry(3 * PAGE, 1, 2 * MIB | PAGE | LARGE | PRESENT)  # bit 12 of a large page is PAT
    made.entry(3 * PAGE, 2, 4 * MIB | LARGE | PRESENT)  # beyond the memory
    made.entry(3 * PAGE, 3, 4 * MIB | PRESENT)  # a table there
    return made


def test_the_walk_maps_what_the_tables_map_and_no_more(board: Board) -> None:
    with Ram(board.path) as ram:
        assert ram.mapped(PAGE) == {16, 300, *range(FRAMES_2M, 2 * FRAMES_2M)}


def test_a_process_is_the_lower_half_of_its_root_table(board: Board) -> None:
    board.entry(5 * PAGE, USER_HALF, 2 * PAGE | PRESENT)
    with Ram(board.path) as ram:
        assert ram.mapped(5 * PAGE, USER_HALF) == set()
        assert ram.mapped(5 * PAGE, ALL)


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_memory_is_searched_but_for_the_frames_left_out(board: Board, stride: int) -> None:
    spread = b"".join(bytes((byte,)) + b"\xee" * (stride - 1) for byte in SECRET)
    inside, outside = 16 * PAGE + 100, 20 * PAGE + 101
    board.put(inside, spread)
    board.put(outside, spread)
    with Ram(board.path) as ram:
        searched, found = ram.search(SECRET, 8, without={16})
        assert found == {Run(outside, 0, 32, stride)}
        assert searched < len(ram)
        assert {run.at for run in ram.search(SECRET, 8, without=set())[1]} == {inside, outside}


def test_memory_that_was_never_written_to_is_skipped_and_the_rest_is_not(board: Board) -> None:
    board.put(3 * MIB, b"x")
    with Ram(board.path) as ram:
        pieces = list(ram.pieces(without=set()))
        assert any(start <= 3 * MIB < stop for start, stop in pieces)
        assert any(start <= 4 * PAGE < stop for start, stop in pieces)


def record(kind: int, *, code: int = 0x60, info: int = 0, rip: int = 0, rax: int = 0, r9: bytes = b"") -> bytes:
    registers = [0] * 16
    registers[9] = int.from_bytes(r9[:8], "little")
    return RECORD.pack(kind, VMCB, 0x1000, code, info, rip, rax, *registers)


def exits(path: Path, *records: bytes) -> Exits:
    path.write_bytes(b"".join(records))
    return Exits(path)


def test_a_secret_spelled_by_outs_is_found_between_other_exits(tmp_path: Path) -> None:
    out = [record(EXIT, code=IOIO, info=0x2F8 << 16, rax=byte) for byte in SECRET]
    seen = exits(tmp_path / "exits", *(part for one in out for part in (one, record(EXIT))))
    assert Hit("AL at out 0x2f8 exits", 32) in seen.search(SECRET)
    assert seen.count() == 64
    assert seen.count("out 0x2f8") == 32


def test_a_byte_in_al_counts_where_the_driver_moves_it(tmp_path: Path) -> None:
    byte, at = SECRET[0], 0xFFFF_FFFF_8123_4567
    driver = record(EXIT, code=IOIO, info=0x2F8 << 16, rip=at)
    interrupted = [record(EXIT, rip=rip, rax=byte) for rip in (at - 1, at, at + 1, at + 2)]
    seen = exits(
        tmp_path / "exits", driver, record(EXIT, rip=at, rax=0), record(ENTRY, rip=at, rax=byte), *interrupted
    )
    assert seen.instructions(0x2F8) == {at}
    assert seen.moving(SECRET, {at}) == 2


def test_a_secret_that_l1_types_is_found_in_the_vmcb(tmp_path: Path) -> None:
    typed = [(record(EXIT, code=IOIO, info=0x2F8 << 16 | 1), record(ENTRY, rax=byte)) for byte in SECRET]
    seen = exits(tmp_path / "exits", *(part for pair in typed for part in pair))
    assert Hit("AL at VMRUN after in 0x2f8 exits", 32) in seen.search(SECRET)


def test_a_piece_in_one_register_is_found_and_shorter_ones_are_not(tmp_path: Path) -> None:
    assert exits(tmp_path / "a", record(EXIT, r9=SECRET[5:])).search(SECRET) == [Hit("registers at INTR exits", 8)]
    assert exits(tmp_path / "b", record(EXIT, r9=SECRET[5:8])).search(SECRET) == []


def test_registers_that_l1_itself_sets_are_no_news_to_it(tmp_path: Path) -> None:
    assert exits(tmp_path / "exits", record(ENTRY, r9=SECRET)).search(SECRET) == []


def test_a_record_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    assert exits(tmp_path / "exits", record(EXIT), record(EXIT)[:-1]).count() == 1
