from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from oobconsole.recording.asciicast import Asciicast
from tests.support.pace import scaled


def events(lines: bytes) -> list[list[object]]:
    return [json.loads(line) for line in lines.split(b"\n")[:-1]]


def test_the_header_is_as_the_format_says() -> None:
    header = json.loads(Asciicast(1700000000.5).header("web1", 25, 132))
    assert header == {"version": 2, "width": 132, "height": 25, "timestamp": 1700000000, "title": "web1"}


def test_a_character_that_comes_in_two_pieces_is_one() -> None:
    cast = Asciicast(1000.0)
    assert events(cast.output(1001.5, b"gr\xc3") + cast.output(1002, b"\xbc\xc3") + cast.output(1003, b"\x9f")) == [
        [1.5, "o", "gr"],
        [2, "o", "ü"],
        [3, "o", "ß"],
    ]


def test_what_is_no_utf_8_is_replaced() -> None:
    assert events(Asciicast(0).output(1, b"a\xffb\x1b[0m\0")) == [[1, "o", "a\ufffdb\x1b[0m\0"]]


def test_every_line_is_json_and_utf_8_whatever_is_printed() -> None:
    """faults.md 30: what broke another program's recordings, also when it comes byte by byte."""
    printed = "\0\a\r\u2028\u0085".encode() + b"gr\xfcn \xed\xa0\x80 \xf0\x9f\x98\x80" + b"x" * 200_000 + b"\xe2\x82"
    for size in (1, 7, len(printed)):
        cast = Asciicast(1000.0)
        pieces = [printed[at : at + size] for at in range(0, len(printed), size)]
        lines = b"".join(cast.output(1001, piece) for piece in pieces)
        lines.decode("utf-8")  # raises for what is none
        text = "".join(str(event[2]) for event in events(lines))
        assert text.startswith("\0\a\r\u2028\u0085gr\ufffdn \ufffd\ufffd\ufffd 😀xxx")
        assert text.count("x") == 200_000


@given(st.binary(max_size=64), st.integers(1, 400), st.booleans())
def test_an_event_is_written_as_the_json_module_writes_it(piece: bytes, times: int, cut: bool) -> None:
    """Long text of ASCII is written in another way than the rest."""
    data = piece * times + (b"\xc3" if cut else b"")
    cast = Asciicast(1000.0)
    wanted = json.dumps([1.5, "o", (piece * times).decode("utf-8", "replace")], ensure_ascii=False)
    if piece.isascii():
        assert cast.output(1001.5, data) == (wanted.encode() + b"\n" if piece else b"")
    shown = cast.output(1001.5, b"\xbc" * cut + b"x" * 2000)
    assert events(shown)[0][2] == ("\u00fc" * cut if piece.isascii() else "") + "x" * 2000 or not piece.isascii()


def test_time_never_runs_backwards() -> None:
    cast = Asciicast(1000.0)
    assert [e[0] for e in events(cast.output(1005, b"a") + cast.marker(900, "b") + cast.output(1006, b"c"))] == [
        5,
        5,
        6,
    ]


def test_asciinema_plays_it(tmp_path: Path) -> None:
    cast = Asciicast(1000.0)
    lines = (
        cast.header("web1", 24, 80) + cast.output(1000, "grüße\r\n".encode()) + cast.marker(1000.5, "attached bob")
    )
    (tmp_path / "x.cast").write_bytes(lines + cast.output(1001, b"login: "))
    command = [sys.executable, "-m", "asciinema", "cat", str(tmp_path / "x.cast")]
    done = subprocess.run(
        command, capture_output=True, timeout=scaled(30), check=True, env={"LANG": "C.UTF-8", "HOME": str(tmp_path)}
    )
    assert done.stdout == "grüße\r\nlogin: ".encode()
