"""Escape keys, however the packets cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.session.escape import Command, EscapeFilter, Typed
from oobconsole.session.typed import AT_ONCE_SECONDS, SevenBit

typed = st.lists(
    st.sampled_from(
        [b"~", b"~.", b"~~", b"~?", b"\r", b"\n", b"a", b".", b"?", b"\x03", b"\xc3\xa9", b"\x1b[24;5R", b"\x1b["]
    )
).map(b"".join)


def outcome(typed: Typed) -> list[bytes | Command]:
    return [item for item in (typed.guest, typed.command) if item]


def pieces_of(escape: EscapeFilter, data: bytes, pause: float = 0.0) -> list[bytes | Command]:
    """Everything that `data` completes, in order, when it comes so many seconds behind what came before."""
    out: list[bytes | Command] = []
    while data:
        typed, pause = escape.feed(data, pause), 0.0
        out += outcome(typed)
        data = typed.rest
    return out


def quiet(escape: EscapeFilter) -> list[bytes | Command]:
    """What counts because nothing follows."""
    return outcome(escape.expire())


def joined(items: list[bytes | Command]) -> list[bytes | Command]:
    """Bytes that follow each other as one."""
    out: list[bytes | Command] = []
    for item in items:
        if out and isinstance(item, bytes) and isinstance(out[-1], bytes):
            out[-1] += item
        else:
            out.append(item)
    return out


@pytest.mark.parametrize(
    ("data", "items"),
    [
        (b"~.", [Command.DETACH]),
        (b"~h", [Command.HELP]),
        (b"\r\n\r~.", [b"\r\n\r", Command.DETACH]),
        (b"~.\r\n", [Command.DETACH]),
        (b"~\r~.", [b"~\r~."]),
        (b"~hh", [b"~hh"]),
        (b"~?~.", [b"~?~."]),
        (b"ls ~.", [b"ls ~."]),
        (b"~~.", [b"~."]),
        (b"~~", [b"~"]),
        (b"~~~.", [b"~~~."]),
        (b"~a~.", [b"~a~."]),
        (b"cd ~\r", [b"cd ~\r"]),
        (b"\x00\xff\x1b[A", [b"\x00\xff\x1b[A"]),
        (b"\r\x1b[24;5R~.", [b"\r\x1b[24;5R", Command.DETACH]),
        (b"\r\x1b[?1;2c\x1b[0n~.", [b"\r\x1b[?1;2c\x1b[0n", Command.DETACH]),
        (b"\r\x1b[O\x1b[I\x1b[8;24;80t~.", [b"\r\x1b[O\x1b[I\x1b[8;24;80t", Command.DETACH]),  # faults.md 10
        (b"\r\x9b24;5R~.", [b"\r\x9b24;5R", Command.DETACH]),  # faults.md 10, a variation: C1 controls
        (b"\r\xc2\x9b24;5R~.", [b"\r\xc2\x9b24;5R", Command.DETACH]),
        (b"~b\xc2\x9bA", [Command.BREAK, b"\xc2\x9bA"]),
        ("\r雛5R~.".encode(), ["\r雛5R~.".encode()]),
        (b"x\x1b[24;5R~.", [b"x\x1b[24;5R~."]),
        (b"\r\x1b[A~.", [b"\r\x1b[A~."]),
        (b"\r\x1b[24;~.", [b"\r\x1b[24;~."]),
        (b"~b\x1b[A", [Command.BREAK, b"\x1b[A"]),
        (b"~m\x1b[200~a\x1b[201~", [Command.MESSAGE, b"\x1b[200~a\x1b[201~"]),
        (b"", []),
    ],
)
def test_what_is_a_command(data: bytes, items: list[bytes | Command]) -> None:
    escape = EscapeFilter()
    got = outcome(first := escape.feed(data))
    got += [first.rest] if first.rest else quiet(escape)
    assert joined(got) == items


@pytest.mark.parametrize(
    ("prefix", "data", "items"),
    [
        (b"", b"\r~.", [b"\r~."]),
        (b"^", b"~.^.", [b"~.^."]),
        (b"^", b"\r^.", [b"\r", Command.DETACH]),
        (b"~~~", b"~.", [b"~."]),
        (b"~~~", b"\r~~~.", [b"\r", Command.DETACH]),
        (b"~~~", b"\r~~~~.", [b"\r~~~."]),
        (b"~~~", b"\r~~.~~~.", [b"\r~~.~~~."]),
        (b"abc", b"abx\rabcb", [b"abx\r", Command.BREAK]),
    ],
)
def test_prefixes(prefix: bytes, data: bytes, items: list[bytes | Command]) -> None:
    """Typed key by key, as fast as a person can."""
    assert typed_by_hand(EscapeFilter(prefix), data) == items


def typed_by_hand(escape: EscapeFilter, data: bytes, pause: float = 0.06) -> list[bytes | Command]:
    """One key after another, and then nothing."""
    out: list[bytes | Command] = []
    for byte in data:
        if escape.holds is not None and escape.holds <= pause:
            out += quiet(escape)
        out += pieces_of(escape, bytes((byte,)), pause)
    return joined(out + quiet(escape))


@pytest.mark.parametrize("line_end", [b"\r", b"\n", b"\r\n"])
def test_by_hand_a_command_may_follow_a_line(line_end: bytes) -> None:
    assert typed_by_hand(EscapeFilter(), b"ls" + line_end + b"~.") == [b"ls" + line_end, Command.DETACH]


prefixes = st.sampled_from([b"~", b"~~~", b"^", b"~^", b""])


KEYS = {ord("h"): Command.HELP} | {command.value[0]: command for command in Command}


@given(prefix=prefixes, pieces=st.lists(typed))
def test_nothing_is_lost_but_commands_and_doubled_prefixes(prefix: bytes, pieces: list[bytes]) -> None:
    escape = EscapeFilter(prefix)
    items = [item for piece in pieces for item in pieces_of(escape, piece)] + quiet(escape)
    guest = b"".join(item for item in items if isinstance(item, bytes))
    given_ = b"".join(pieces)
    held = 1  # the beginning of one more prefix, at the end
    if prefix:
        assert len(given_) - len(guest) <= (len(prefix) + 1) * (len(items) + given_.count(prefix) + held)
    assert prefix or guest == given_


PASTE = b"cat <<E\r~bob/.profile\r~sam/bin\r~ops\r~.x\r~.\r~?\rE\r~b"
MARKED = b"\x1b[200~" + PASTE + b"\x1b[201~"


@given(
    st.lists(
        st.sampled_from(
            [
                b"a",
                b"~",
                b"\r",
                b".",
                b"b/",
                b"\x1b[A",
                b"\x1b[200~",
                b"\x1b[201~",
                b"ls\r",
                b"\xc2",
                b"\x9b",
                b"200~",
                b"\xe9",
            ]
        ),
        max_size=12,
    )
)
def test_what_passes_is_what_the_guest_would_be_given(pieces: list[bytes]) -> None:
    """The caller may type what passes before `feed` has seen it."""
    escape = EscapeFilter(b"~")
    for piece in pieces:
        passes = escape.passes(piece)
        typed = escape.feed(piece)
        assert not passes or typed == Typed(piece, None, b"")


def test_keys_that_may_be_a_command_do_not_pass() -> None:
    escape = EscapeFilter(b"~")
    assert escape.passes(b"ls\r")
    assert not escape.passes(b"~")
    escape.feed(b"~")
    assert not escape.passes(b".")
    escape.feed(b".")
    assert not escape.passes(b"x")  # it follows a command that is held
    escape.feed(b"x")
    assert escape.passes(b"x")


@pytest.mark.parametrize("size", range(1, len(MARKED) + 1))
def test_a_marked_paste_is_the_guests_byte_for_byte(size: int) -> None:
    """faults.md 10: however the packets cut it, no part of it is a command, and its end mark is the guest's, too."""
    escape = EscapeFilter()
    cut = [MARKED[at : at + size] for at in range(0, len(MARKED), size)]
    assert joined([item for piece in cut for item in pieces_of(escape, piece)]) == [MARKED]
    assert escape.holds is None
    assert pieces_of(escape, b"\r~.", 1.0) + quiet(escape) == [b"\r", Command.DETACH]


@pytest.mark.parametrize("at", range(1, len(MARKED)))
def test_a_paste_in_two_packets(at: int) -> None:
    """faults.md 10."""
    escape = EscapeFilter()
    assert joined(pieces_of(escape, MARKED[:at]) + pieces_of(escape, MARKED[at:] + b"~.")) == [MARKED + b"~."]


@pytest.mark.parametrize("csi", [b"\x9b", b"\xc2\x9b"])
def test_a_paste_that_is_marked_by_c1_controls(csi: bytes) -> None:
    """faults.md 10, a variation: xterm behind S8C1T. However slowly the packets come, no part is a command; and what
    looks like another form of the end mark ends nothing."""
    inside = b"x\r~sb\r\x1b[201~\r~." + ("雛201~\r~.\r".encode() if csi == b"\xc2\x9b" else b"")
    paste = csi + b"200~" + inside + csi + b"201~"
    for at in range(1, len(paste)):
        escape = EscapeFilter()
        got = pieces_of(escape, paste[:at], 1.0) + pieces_of(escape, paste[at:], 1.0)
        assert joined(got) == [paste], at
        assert escape.holds is None
        assert pieces_of(escape, b"\r~.", 1.0) + quiet(escape) == [b"\r", Command.DETACH]


@pytest.mark.parametrize("at", range(1, 8))
def test_characters_with_a_byte_of_c1_are_text(at: int) -> None:
    """Bytes of characters that look like C1 CSI begin no paste, however the packets cut them."""
    data = "雛200~".encode()
    escape = EscapeFilter()
    assert joined(pieces_of(escape, data[:at]) + pieces_of(escape, data[at:])) == [data]
    assert pieces_of(escape, b"\r~.", 1.0) + quiet(escape) == [b"\r", Command.DETACH]


def test_a_paste_without_an_end_is_over_after_a_while() -> None:
    """faults.md 10: or nobody could leave any more."""
    escape = EscapeFilter()
    escape.feed(b"\x1b[200~x", 1.0)
    assert escape.feed(b"\r~.", 1.0).command is None
    escape.feed(b"\r", 4.0)
    assert pieces_of(escape, b"~.", 0.1) + quiet(escape) == [Command.DETACH]


@pytest.mark.parametrize(
    "data",
    [
        b"cat <<E\r~bob/.profile\r~sam/bin\r~ops\r~.x\rE\r",
        b"a\r~.\rb\r",
        b"a\rb\r~.\x03x",
        b"~sam/bin/x\r",
        b"~bob\r",
        b"~ls/x",
        b"~.ssh/x",
        b"x" * 100 + b"\r~.\x03",
        b"~mary\rx\r",
        b"~mary has a little lamb",
        b"~mary has a little lamb\r",
        b"~m hello\r",
        b"~b\tx",
        b"~pry",
        b"~py",
        b"~rf\r",
        b"~sh\r\n",
        b"~w\r",
        b"ls\r~.",
        b"ls\r\n~.\r\n",
        b"ls\n~.\nx\n",
        b"ls\r~?",
        b"ls\r~b",
        b"~~old~~ new\r",
        b"ls\r~~",
        b"~.\r~.x",
        b"\xc3\xa9\r~.",
    ],
)
def test_a_paste_without_marks_is_the_guests(data: bytes) -> None:
    """faults.md 10: byte for byte, in one packet, in two that are cut anywhere, and in one for each byte."""
    ways = [[data], [bytes((byte,)) for byte in data]]
    ways += [[data[:at], data[at:]] for at in range(1, len(data))]
    for way in ways:
        escape = EscapeFilter()
        got: list[bytes | Command] = []
        pause = 7.0
        for packet in way:
            got += pieces_of(escape, packet, pause)
            pause = AT_ONCE_SECONDS / 2
        assert joined(got + quiet(escape)) == [data], way


def test_what_may_have_been_meant_is_named() -> None:
    """Keys that a slow link joins are not lost silently."""
    escape = EscapeFilter()
    assert escape.feed(b"~mary has a little lamb\r", 1.0) == Typed(b"~mary has a little lamb\r", None, b"", b"~m")
    assert escape.feed(b"ls\r~.", 1.0) == Typed(b"ls\r", None, b"")
    assert escape.expire() == Typed(b"~.", None, b"", b"~.")
    assert escape.feed(b"\r", 1.0) == Typed(b"\r", None, b"")
    assert escape.feed(b"~.", 0.1) == Typed(b"", None, b"")
    assert escape.expire() == Typed(b"", Command.DETACH, b"")


@pytest.mark.parametrize("data", [b"root\n~.\n", b"~.", b"ls\r~.", b"~.\r"])
def test_a_script_that_ends_there_has_detached(data: bytes) -> None:
    """`ssh -tt HOST web1 <<EOF`: no paste is the end of all input."""
    escape = EscapeFilter()
    escape.feed(data, 1.0)
    assert escape.end().command is Command.DETACH


def test_nothing_is_lost_at_the_end() -> None:
    escape = EscapeFilter(b"~~~")
    assert escape.feed(b"ls\r~~", 1.0).guest + escape.end().guest == b"ls\r~~"
    assert escape.feed(b"x\r~~~b", 1.0).guest + escape.end().guest == b"x\r~~~b"


def test_what_is_held_too_long_counts() -> None:
    """The event loop was late, and more has come meanwhile."""
    escape = EscapeFilter()
    escape.feed(b"~b", 1.0)
    assert escape.feed(b"x", 0.5) == Typed(b"", Command.BREAK, b"x")


@pytest.mark.parametrize("key", [key for key in KEYS if chr(key).isalpha()])
def test_a_home_directory_is_typed_by_hand(key: int) -> None:
    """faults.md 10: `~bob/` key by key: another key within a moment makes the letter the guest's."""
    keys = b"\r~" + bytes((key,)) + b"ob/.x\r"
    assert typed_by_hand(EscapeFilter(), keys, 0.3) == [keys]
    assert typed_by_hand(EscapeFilter(), b"\r~" + bytes((key,)), 0.3) == [b"\r", KEYS[key]]


@given(data=st.binary())
def test_without_a_tilde_nothing_changes(data: bytes) -> None:
    data = data.replace(b"~", b"")
    assert b"".join(item for item in pieces_of(EscapeFilter(), data) if isinstance(item, bytes)) == data


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (b"\x9bA\x9b1;5B\x8fP", b"\x1b[A\x1b[1;5B\x1bOP"),
        (b"\xc2\x9bA\xc2\x8fP", b"\x1b[A\x1bOP"),
        ("é雛ÏÛx".encode() + b"\x9bA", "é雛ÏÛx".encode() + b"\x1b[A"),
        (b"\xe9x\xe9\xff\x1b[A\x1bOP\x1b", b"\xe9x\xe9\xff\x1b[A\x1bOP\x1b"),
        (b"\x9b200~x\x9bA\x1b[201~\x9b201~\x9bA", b"\x1b[200~x\x9bA\x00[201~\x1b[201~\x1b[A"),
        (b"\xc2\x9b200~x\x9b201~\xc2\x9b201~\x8fP", b"\x1b[200~x\x9b201~\x1b[201~\x1bOP"),
        (b"\x1b[200~x\x9b201~\x1b\x1b[201~\x9bA", b"\x1b[200~x\x9b201~\x1b\x1b[201~\x1b[A"),
        ("雛200~".encode() + b"\x9bA", "雛200~".encode() + b"\x1b[A"),
    ],
)
def test_c1_controls_become_sequences_of_seven_bits(typed: bytes, expected: bytes) -> None:
    for first in range(len(typed) + 1):
        for second in range(first, len(typed) + 1):
            seven = SevenBit()
            parts = (typed[:first], typed[first:second], typed[second:])
            assert b"".join(map(seven.translate, parts)) == expected, parts
            assert not seven.held
