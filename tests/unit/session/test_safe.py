"""What a guest may do to a user's terminal, and what not."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from oobconsole.session.safe import SafeFilter

PASS = [
    b"plain text\r\n\ttab \x08\x07",
    b"\x1b[1;31mred\x1b[38;5;196m\x1b[38:2::1:2:3mtrue\x1b[0m",
    b"\x1b[2J\x1b[H\x1b[10;20H\x1b[?25l\x1b[?1049h\x1b[?2004h\x1b[?1h\x1b=",
    b"\x1b[3;20r\x1b[5S\x1b[2T\x1bD\x1bM\x1b7\x1b8\x1b[s\x1b[u\x1b#8",
    b"\x1b(0lqqk\x1b(B\x0e\x0f",
    "é € 😀 ─│┌ \u00a0".encode(),
    b"latin-1: caf\xe9 ",
    b"\x1b[4h\x1b[20l\x1b[2 q\x1b[!p\x1bc",
]
#: Sequences that make a terminal answer or act outside its window, by their names.
DROP = {
    "DA1": b"\x1b[c",
    "DA1 with a parameter": b"\x1b[0c",
    "DA2": b"\x1b[>c",
    "DA3": b"\x1b[=c",
    "DECID": b"\x1bZ",
    "DSR": b"\x1b[5n",
    "CPR": b"\x1b[6n",
    "DECXCPR": b"\x1b[?6n",
    "DECRQM": b"\x1b[?2004$p",
    "DECRQM, ANSI": b"\x1b[4$p",
    "XTVERSION": b"\x1b[>q",
    "XTSMGRAPHICS": b"\x1b[?1;1S",
    "DECREQTPARM": b"\x1b[x",
    "DECRQCRA": b"\x1b[1;1;1;1;5;5*y",
    "DECTST": b"\x1b[4;1y",
    "XTREPORTSGR": b"\x1b[1;1;1;1#|",
    "title report": b"\x1b[21t",
    "resize": b"\x1b[8;10;10t",
    "DECSCPP": b"\x1b[132$|",
    "print": b"\x1b[5i",
    "kitty keyboard": b"\x1b[?u\x1b[>1u",
    "XTMODKEYS": b"\x1b[>4;2m\x1b[?4m",
    "ENQ": b"\x05",
    "title": b"\x1b]0;title\x07",
    "clipboard": b"\x1b]52;c;cm0=\x1b\\",
    "colour query": b"\x1b]11;?\x1b\\",
    "DECRQSS": b"\x1bP$qm\x1b\\",
    "XTGETTCAP": b"\x1bP+q544e\x1b\\",
    "APC": b"\x1b_Gi=1,a=q;AAAA\x1b\\",
    "PM": b"\x1b^x\x1b\\",
    "SOS": b"\x1bXx\x1b\\",
    "screen's title": b"\x1bktitle\x1b\\",
    "mouse": b"\x1b[?1000h",
    "mouse, disguised by a zero": b"\x1b[?01000h",
    "focus": b"\x1b[?1004h",
    "VT52": b"\x1b[?2l",
    "keyboard lock": b"\x1b[2h",
    "single bytes for UTF-8": b"\x1b%@",
    "C1 CSI": b"\x9bc",
    "C1 OSC": b"\x9d0;x\x9c",
    "C1 DCS": b"\x90$qm\x9c",
    "C1 in UTF-8": "\u009b6n".encode(),
    "C1 in overlong UTF-8": b"\xe0\x82\x9b",
    "parameters in the middle": b"\x1b[1?6n",
    "cancelled": b"\x1b[6\x18",
}
#: What an answer or an action is made by, wherever it stands.
ACTS = re.compile(rb"\x05|\x1b[PX^_\]kZ]|\x1b\[[0-?]*[cntix]|\x1b\[\?0*100[0-4]h|[\x80-\x9f]c")
#: Of UTF-8: what looks like C1 in it is none.
CHARACTER = re.compile(rb"[\xc3-\xdf][\x80-\xbf]|\xc2[\xa0-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
tokens = st.sampled_from(
    [
        *PASS,
        *DROP.values(),
        *(bytes((byte,)) for byte in b"\x1b[]?0169;cnhmPk\\\x07\x18\n\x05\x7f"),
        b"\xc2", b"\xe2", b"\x9b", b"\xf4", b"\x80", b"\xff",
    ]
)  # fmt: skip
outputs = st.lists(st.one_of(tokens, st.binary(max_size=6)), max_size=20).map(b"".join)


@pytest.mark.parametrize("data", PASS)
def test_what_a_console_needs_passes(data: bytes) -> None:
    assert SafeFilter().feed(data) == data


@pytest.mark.parametrize("name", DROP)
def test_what_acts_is_dropped_whole(name: str) -> None:
    assert SafeFilter().feed(b"before " + DROP[name] + b"\r\nafter") == b"before \r\nafter"


def test_modes_are_dropped_one_by_one() -> None:
    assert SafeFilter().feed(b"\x1b[?25;1000;7h") == b"\x1b[?25;7h"


def test_no_byte_of_half_a_character_is_a_control() -> None:
    assert SafeFilter().feed(b"\xe2\x9b6n.") == b"\xe26n."


def test_a_string_without_an_end_costs_a_line() -> None:
    assert SafeFilter().feed(b"\x1b]52;c;" + b"A" * 5000 + b"\nlogin: ") == b"\nlogin: "


def test_a_string_without_an_end_or_a_line_costs_64_kib() -> None:
    filtered = SafeFilter().feed(b"\x1bP" + b"A" * 100_000)
    assert set(filtered) == set(b"A")
    assert 100_000 - len(filtered) < 66_000


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b[31mred\x1b[0m\ttab\r\n", b"\x1b[31mred\x1b[0m\ttab\r\n"),
        (b"no \x1b\x0e\x1b\x07\x1b\x7fcontrol behind an escape", b"no control behind an escape"),
        (b"\x1b[2J\x1b[Hscreen\x1b(0\x0e\x1bc\x00\x7f", b"screen"),
        ("é \u202egnp.exe\u200b".encode(), "é gnp.exe".encode()),
    ],
)
def test_strict_shows_text_and_colours(data: bytes, shown: bytes) -> None:
    assert SafeFilter(strict=True).feed(data) == shown


@given(outputs, st.lists(st.integers(min_value=0, max_value=300)), st.booleans())
def test_how_output_is_cut_makes_no_difference(data: bytes, cuts: list[int], strict: bool) -> None:
    whole, parts = SafeFilter(strict=strict), SafeFilter(strict=strict)
    edges = [0, *sorted(cuts), len(data)]
    got = b"".join(parts.feed(data[a:b]) for a, b in itertools.pairwise(edges))
    assert got == whole.feed(data)
    assert parts.at_rest == whole.at_rest


@given(outputs, st.booleans())
@example(data=b"\xc3\x80c", strict=False)
@example(data=b"\xed\x00\xa0\xa0", strict=True)
def test_nothing_that_passes_acts(data: bytes, strict: bool) -> None:
    shown = SafeFilter(strict=strict).feed(data)
    assert not ACTS.search(CHARACTER.sub(b"\xff", shown))
    again = SafeFilter(strict=strict).feed(shown + b" ")
    assert not ACTS.search(CHARACTER.sub(b"\xff", again))
    assert not strict or again == shown + b" "


def test_an_endless_sequence_becomes_text() -> None:
    filtered = SafeFilter().feed(b"\x1b[" + b"1;" * 5000 + b"c")
    assert re.fullmatch(rb"[1;]+c", filtered)
