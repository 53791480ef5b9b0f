"""What a guest may do to a user's terminal, and what not."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oobconsole.session.safe import SafeFilter
from oobconsole.terminal.model import _ESCAPES, _SEQUENCES

PASS = [
    b"plain text\r\n\ttab \x08\x07",
    b"\x1b[1;31mred\x1b[38;5;196m\x1b[38:2::1:2:3mtrue\x1b[0m",
    b"\x1b[2J\x1b[H\x1b[10;20H\x1b[?25l\x1b[?1049h\x1b[?2004h\x1b[?1h\x1b=",
    b"\x1b[3;20r\x1b[5S\x1b[2T\x1bD\x1bM\x1b7\x1b8\x1b[s\x1b[u\x1b#8",
    b"\x1b(0lqqk\x1b(B\x0e\x0f",
    "é € 😀 ─│┌ \u00a0".encode(),
    b"latin-1: caf\xe9 ",
    b"\x1b[4h\x1b[4l\x1b[2 q\x1b[!p\x1bc\x1b[?6h\x1b[?5h",
    b"\x1b[?12;25h\x1b[?47h\x1b[?1047l\x1b[?1048h\x1b[?66h\x1b[?67l\x1b[?2026h\x1b[?4;8h",
    b"\x1b[3g\x1bH\x1b[g\x1b[?5W\x1b#5",
    b"\x1b%G\x1bg\x1b[1q\x1b\\",
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
    "XTFMTKEYS": b"\x1b[>4;1f\x1b[?4g",
    "S8C1T: C1 controls for keys": b"\x1b G",
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
    "mouse's codes": b"\x1b[?1005h\x1b[?1006h\x1b[?1015;1016h",
    "keys for the wheel": b"\x1b[?1007h",
    "margins at the sides": b"\x1b[?69h\x1b[?69l",
    "132 columns": b"\x1b[?40h\x1b[?3h\x1b[?3l",
    "no alternate screen": b"\x1b[?1046l",
    "XTSAVE and XTRESTORE": b"\x1b[?1000s\x1b[?1000r",
    "pointer": b"\x1b[>3p",
    "LNM: two characters for Enter": b"\x1b[20h\x1b[20l",
    "SRM: local echo": b"\x1b[12l\x1b[012;20h",
    "CRM": b"\x1b[3h",
    "Linux console's own": b"\x1b[9;1]\x1b[12;3]",
    "status line": b"\x1b[2$~\x1b[1$}",
    "DECSCL": b'\x1b[61"p',
    "VT52": b"\x1b[?2l",
    "keyboard lock": b"\x1b[2h",
    "a window of Tektronix's": b"\x1b[?38h",
    "other bytes for keys": b"\x1b[?1034h\x1b[?1036h\x1b[?1050;1061h\x1b[?7727h",
    "other widths for emoji": b"\x1b[?2027h",
    "BiDi by the terminal": b"\x1b[8l\x1b[?2501h",
    "going back over a row's beginning": b"\x1b[?45h",
    "a log file": b"\x1b[?46h",
    "modes that nobody knows": b"\x1b[?4711h\x1b[42h\x1b[h\x1b[?l",
    "large characters": b"\x1b#3\x1b#4\x1b#6",
    "protected characters": b'\x1bV\x1bW\x1b[1"q\x96\x97',
    "single bytes for UTF-8": b"\x1b%@",
    "C1 CSI": b"\x9bc",
    "C1 OSC": b"\x9d0;x\x9c",
    "C1 DCS": b"\x90$qm\x9c",
    "C1 in UTF-8": "\u009b6n".encode(),
    "C1 in overlong UTF-8": b"\xe0\x82\x9b",
    "rectangles": b"\x1b[65;1;1;5;20$x\x1b[1;1;5;20$z\x1b[1;1;5;20${\x1b[1;1;2;2;1;3;3;1$v",
    "attributes of rectangles": b"\x1b[1;1;2;2;1$r\x1b[1;1;2;2;1$t\x1b[2*x",
    "columns": b"\x1b[2 @\x1b[2 A\x1b[2'}\x1b[2'~\x1b6\x1b9",
    "scrolling as nobody else does": b"\x1b[2^",
    "memory lock": b"\x1bl\x1bm",
    "attributes that are saved": b"\x1b[#{\x1b[#}\x1b[#p\x1b[#q",
    "pages": b"\x1b[2U\x1b[2V\x1b[1 P",
    "mouse tracking by SD": b"\x1b[1;2;3;4;5T",
    "title modes": b"\x1b[>1T",
    "colons": b"\x1b[5:5H\x1b[2:1J",
    "other character sets": b"\x1b*0\x1bn\x1bN\x1b+0\x1bo\x1bO\x1b~\x1b$)C\x1b(%5\x8e\x8f",
    "other escapes": b"\x1bF\x1b`\x1ba\x1b@\x1b L\x1b%/G\x81\xc2\x82",
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
        b"\xc2", b"\xe2", b"\x9b", b"\xf4", b"\x80", b"\xff", b"\x9c", b"\x9d", b"\x85", b"\xa0", b"1" * 300, b"(",
        "月".encode(), b"\xff\xfe\x80\x9b", b"\xed\xa0\x80",
    ]
)  # fmt: skip
outputs = st.lists(st.one_of(tokens, st.binary(max_size=6)), max_size=20).map(b"".join)


@pytest.mark.parametrize("data", PASS)
def test_what_a_console_needs_passes(data: bytes) -> None:
    assert SafeFilter().feed(data) == data


@pytest.mark.parametrize("name", DROP)
def test_what_acts_is_dropped_whole(name: str) -> None:
    assert SafeFilter().feed(b"before " + DROP[name] + b"\r\nafter") == b"before \r\nafter"


@pytest.mark.parametrize("prefix", ["", *"<=>?"])
def test_no_control_sequence_passes_that_the_model_does_not_know(prefix: str) -> None:
    """real-guests.md F2, a variation: a box of DECFRA's was gone behind a notice, and nobody knew. LEDs are no part
    of the screen, and colours and modes have tests of their own."""
    known = {*_SEQUENCES, "m", "q"}
    for intermediate in ("", *map(chr, range(0x20, 0x30)), "#$"):
        for final in set(map(chr, range(0x40, 0x7F))) - {"h", "l"}:
            for parameters in ("", "1", "1;2", "1:2", "65;1;1;5;20"):
                sequence = f"\x1b[{prefix}{parameters}{intermediate}{final}".encode()
                shown = SafeFilter().feed(sequence)
                assert shown in (b"", sequence)
                assert not shown or prefix + intermediate + final in known, sequence


def test_no_escape_sequence_passes_that_the_model_does_not_know() -> None:
    """real-guests.md F2, a variation. What changes nothing: ST, DECSWL, UTF-8, a visual bell."""
    known = {*_ESCAPES, "\\", "g", "#5", "%G", "(0", "(B", ")0", ")B"}
    for intermediate in ("", *map(chr, range(0x20, 0x30)), "%/", "$("):
        for final in set(map(chr, range(0x30, 0x7F))) - (set() if intermediate else set("PX[]^_k")):
            shown = SafeFilter().feed(f"\x1b{intermediate}{final}".encode())
            assert not shown or shown[1:].decode() in known
    for byte in range(0x80, 0xA0):
        shown = SafeFilter().feed(bytes((byte,)) + b"\x18")
        assert not shown.strip(b"\x18") or shown[1:2].decode() in known


def test_a_national_character_set_is_ascii() -> None:
    """real-guests.md F2, a variation: a terminal would show another character than the model has for `#`."""
    assert SafeFilter().feed(b"\x1b(A#\x1b)K\x0e{\x1b(0q") == b"\x1b(B#\x1b)B\x0e{\x1b(0q"


def test_modes_are_dropped_one_by_one() -> None:
    assert SafeFilter().feed(b"\x1b[?25;1000;7h") == b"\x1b[?25;7h"


def test_no_byte_of_half_a_character_is_a_control() -> None:
    assert SafeFilter().feed(b"\xe2\x9b6n.") == b"\xe26n."


#: Strings that do end: inline images (OSC 1337, sixel, kitty's in one piece), the clipboard, a title of Chinese in
#: which 0x9C stands, and those that only noise makes.
LONG = {
    "OSC 1337": b"\x1b]1337;File=inline=1:" + b"QUJD" * 50_000 + b"\x07",
    "sixel": b"\x1bPq" + b'"1;1;9;9#0;2;0;0;0#0~~@@vv$-' * 7_000 + b"\x1b\\",
    "OSC 52": b"\x1b]52;c;" + b"QUJD" * 10_000 + b"\x1b\\",
    "kitty": b"\x1b_Ga=T,f=100;" + b"QUJD" * 50_000 + b"\x1b\\",
    "PM": b"\x1b^" + b"x" * 200_000 + b"\x1b\\",
    "SOS": b"\x1bX" + b"x" * 200_000 + b"\x9c",
    "C1 DCS": b"\x90q" + b"~" * 200_000 + "\u009c".encode(),
    "Chinese title": "\x1b]0;1月 月 月\x07".encode(),
    "no UTF-8": b"\x1b]0;\xe6\x9cA\xff\xf0\x9f\x9cB\xc2C\x07",
    "cancelled": b"\x1b]52;c;" + b"QUJD" * 50_000 + b"\x18",
    "a control sequence": b"\x1b[" + b"1;" * 5000 + b"m",
    "an escape sequence": b"\x1b" + b"(" * 5000 + b"0",
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("size", [1, 4096, 1 << 20])
@pytest.mark.parametrize("name", LONG)
def test_of_long_strings_that_end_no_byte_is_shown(name: str, size: int, strict: bool) -> None:
    """faults.md 14: 0 bytes of them, however long, in however small pieces and over however long a time."""
    data = b"before " + LONG[name] + b"after"
    safe = SafeFilter(strict=strict)
    shown = b"".join(safe.feed(data[i : i + size], now=i / size * 0.9) for i in range(0, len(data), size))
    assert shown == b"before after"
    assert safe.at_rest


@pytest.mark.parametrize(
    "begin", [b"\x1b]52;c;", b"\x1bP", b"\x1b_G", b"\x1b^", b"\x1bX", b"\x9d", b"\x1bk", b"\xc2\x90"]
)
def test_a_string_without_an_end_gives_up(begin: bytes) -> None:
    """faults.md 14: at the next line feed; or when nothing more of it came for a second."""
    assert SafeFilter().feed(begin + b"A" * 5000 + b"\nlogin: ") == b"\nlogin: "
    for cut in (b"", b"\x1b", b"\xe6"):
        safe = SafeFilter()
        assert safe.feed(begin + b"A" * 5000, now=100.0) == b""
        assert safe.feed(b"A" * 100_000 + cut, now=100.9) == b""
        assert safe.feed(b"login: ", now=101.95) == b"login: "


def test_output_that_is_hostile_is_as_cheap_as_it_can_be() -> None:
    """security.md 10: by the number of steps in Python, which no busy machine changes: far fewer than bytes."""
    for part in (
        b"\xff\xfe\x80\x9b",
        b"A",
        b"\x1b[1;1;",
        b"\xe0\x82\x9b",
        b"\x84\x85",
        b"\x05",
        b"\x1b",
    ):
        for strict in (False, True):
            safe = SafeFilter(strict=strict)
            data = (part * 2048)[:2048]
            safe.feed(b"\x1b]52;c;" if part == b"A" else data)
            assert _steps(lambda safe=safe, data=data: safe.feed(data)) < len(data) / 4  # type: ignore[misc]


def _steps(call: Callable[[], object]) -> int:
    """How many lines of Python run."""
    count = 0

    def trace(*_: object) -> object:
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        call()
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b[31mred\x1b[0m\ttab\r\n", b"\x1b[31mred\x1b[0m\ttab\r\n"),
        (b"no \x1b\x0e\x1b\x07\x1b\x7fcontrol behind an escape", b"no control behind an escape"),
        (b"\x1b[2J\x1b[Hscreen\x1b(0\x0e\x1bc\x00\x7f", b"screen"),
        ("é \u202egnp.exe\u200b".encode(), "é gnp.exe".encode()),
        ("👨\u200d👩\u200d👧 ❤\ufe0f می\u200cروم 東京\u3000駅".encode(),) * 2,  # faults.md 12: joiners, wide spaces
    ],
)
def test_strict_shows_text_and_colours(data: bytes, shown: bytes) -> None:
    assert SafeFilter(strict=True).feed(data) == shown


@settings(max_examples=300)
@given(outputs, st.lists(st.integers(min_value=0, max_value=300)), st.booleans())
@example(data=b"\x1b[" + b"1" * 300 + b"\n1m\xe6\x9cA", cuts=[*range(310)], strict=True)
@example(data=b"\xff\xff\xed\xa0\x80\x9dA\n", cuts=[], strict=True)
def test_how_output_is_cut_makes_no_difference(data: bytes, cuts: list[int], strict: bool) -> None:
    whole, parts = SafeFilter(strict=strict), SafeFilter(strict=strict)
    edges = [0, *sorted(cuts), len(data)]
    got = b"".join(parts.feed(data[a:b]) for a, b in itertools.pairwise(edges))
    assert got == whole.feed(data)
    assert parts.at_rest == whole.at_rest
    single = SafeFilter(strict=strict)
    assert b"".join(single.feed(data[i : i + 1]) for i in range(len(data))) == got


@given(outputs, st.booleans())
@example(data=b"\xc3\x80c", strict=False)
@example(data=b"\xed\x00\xa0\xa0", strict=True)
def test_nothing_that_passes_acts(data: bytes, strict: bool) -> None:
    shown = SafeFilter(strict=strict).feed(data)
    assert not ACTS.search(CHARACTER.sub(b"\xff", shown))
    again = SafeFilter(strict=strict).feed(shown + b" ")
    assert not ACTS.search(CHARACTER.sub(b"\xff", again))
    assert not strict or again == shown + b" "


@pytest.mark.parametrize("data", [*PASS, b"\x1b]0;a title\x07text", "\x1b]2;窓\x1b\\text".encode()])
def test_what_passes_and_titles_alter_nothing(data: bytes) -> None:
    for cut in range(len(data) + 1):
        seen = SafeFilter()
        seen.feed(data[:cut])
        seen.feed(data[cut:])
        assert not seen.altered, cut


@pytest.mark.parametrize(
    "data",
    [
        *(DROP[name] for name in DROP if not DROP[name].startswith(b"\x1b]")),
        b"\x1b[5j",
        b"\x1b[?69h",
        b"\x1b[?25;69h",
        b"\x1b(A",
        b"\x9b5A",
        "\u009b5A".encode(),
        b"\x1b[5\x18A",
        b"\x1b[5\rA",
        b"\x1bPq#0~\x1b\\",
        b"\x1bktitle\x1b\\",
        b"\x1b]0;title\nA",
        b"\x1b]0;title\x1b[A",
        b"\x1b[" + b"1;" * 200 + b"H",
        b"\xe2\x84A",
    ],
)
def test_what_is_dropped_otherwise_is_noticed_however_it_is_cut(data: bytes) -> None:
    for cut in range(len(data) + 1):
        seen = SafeFilter()
        seen.feed(data[:cut])
        seen.feed(data[cut:] + b".")
        assert seen.altered, cut


@given(outputs)
def test_what_has_passed_is_altered_no_more(data: bytes) -> None:
    """A terminal whose output is filtered shows what its model does."""
    behind = SafeFilter()
    behind.feed(SafeFilter().feed(data))
    assert not behind.altered
