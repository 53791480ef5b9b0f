"""Escape keys, however the packets cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.session.escape import Command, EscapeFilter, Typed

typed = st.lists(
    st.sampled_from(
        [b"~", b"~.", b"~~", b"~?", b"\r", b"\n", b"a", b".", b"?", b"\x03", b"\xc3\xa9", b"\x1b[24;5R", b"\x1b["]
    )
).map(b"".join)


def pieces_of(escape: EscapeFilter, data: bytes) -> list[bytes | Command]:
    """Everything that `data` completes, in order."""
    out: list[bytes | Command] = []
    while data:
        guest, command, data = escape.feed(data)
        out += [guest] if guest else []
        out += [command] if command else []
    return out


def quiet(escape: EscapeFilter) -> list[bytes | Command]:
    """What counts because nothing follows."""
    command = escape.expire().command
    return [command] if command else []


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
        (b"ls\r~.", [b"ls\r", Command.DETACH]),
        (b"ls\n~?x", [b"ls\n", Command.HELP, b"x"]),
        (b"~h", [Command.HELP]),
        (b"~hh", [b"~hh"]),
        (b"~?~.", [Command.HELP, Command.DETACH]),
        (b"ls ~.", [b"ls ~."]),
        (b"~~.", [b"~."]),
        (b"\r~~~.", [b"\r~~."]),
        (b"~a~.", [b"~a~."]),
        (b"~\r~.", [b"~\r", Command.DETACH]),
        (b"cd ~\r", [b"cd ~\r"]),
        (b"\x00\xff\x1b[A", [b"\x00\xff\x1b[A"]),
        (b"\r\x1b[24;5R~.", [b"\r\x1b[24;5R", Command.DETACH]),
        (b"\r\x1b[?1;2c\x1b[0n~.", [b"\r\x1b[?1;2c\x1b[0n", Command.DETACH]),
        (b"x\x1b[24;5R~.", [b"x\x1b[24;5R~."]),
        (b"\r\x1b[A~.", [b"\r\x1b[A~."]),
        (b"\r\x1b[24;~.", [b"\r\x1b[24;~."]),
        (b"", []),
    ],
)
def test_what_is_a_command(data: bytes, items: list[bytes | Command]) -> None:
    escape = EscapeFilter()
    assert joined(pieces_of(escape, data) + quiet(escape)) == items


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
    whole, one = EscapeFilter(prefix), EscapeFilter(prefix)
    assert joined(pieces_of(whole, data) + quiet(whole)) == items
    assert joined([item for byte in data for item in pieces_of(one, bytes((byte,)))] + quiet(one)) == items


def test_what_stands_behind_a_command_is_left_to_who_does_it() -> None:
    assert EscapeFilter().feed(b"ls\r~mhello~.\r") == Typed(b"ls\r", Command.MESSAGE, b"hello~.\r")


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


@pytest.mark.parametrize("size", range(1, len(MARKED) + 1))
def test_a_marked_paste_is_the_guests_byte_for_byte(size: int) -> None:
    """faults.md 10: however the packets cut it, no part of it is a command, and its end mark is the guest's, too."""
    escape = EscapeFilter()
    cut = [MARKED[at : at + size] for at in range(0, len(MARKED), size)]
    assert joined([item for piece in cut for item in pieces_of(escape, piece)]) == [MARKED]
    assert not escape.holds
    assert pieces_of(escape, b"\r~.") == [b"\r", Command.DETACH]


@pytest.mark.parametrize("at", range(1, len(MARKED)))
def test_a_paste_in_two_packets(at: int) -> None:
    """faults.md 10."""
    escape = EscapeFilter()
    assert joined(pieces_of(escape, MARKED[:at]) + pieces_of(escape, MARKED[at:] + b"~.")) == [MARKED + b"~."]


def test_a_paste_without_an_end_is_over_after_a_while() -> None:
    """faults.md 10: or nobody could leave any more."""
    escape = EscapeFilter()
    escape.feed(b"\x1b[200~x", 1.0)
    assert escape.feed(b"\r~.", 2.0).command is None
    escape.feed(b"\r", 6.0)
    assert escape.feed(b"~.", 6.1).command is Command.DETACH


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
    ],
)
def test_a_paste_without_marks_is_the_guests(data: bytes) -> None:
    """faults.md 10: several lines at once, or a home directory, were typed by nobody."""
    escape = EscapeFilter()
    assert joined(pieces_of(escape, data) + quiet(escape)) == [data]


@pytest.mark.parametrize("key", [key for key in KEYS if chr(key).isalpha()])
def test_a_home_directory_is_typed_by_hand(key: int) -> None:
    """faults.md 10: `~bob/` key by key: another key within a moment makes the letter the guest's."""
    escape = EscapeFilter()
    keys = b"\r~" + bytes((key,)) + b"ob/.x\r"
    assert joined([item for byte in keys for item in pieces_of(escape, bytes((byte,)))]) == [keys]
    for byte in b"~" + bytes((key,)):
        assert pieces_of(escape, bytes((byte,))) == []
    assert escape.holds
    assert quiet(escape) == [KEYS[key]]


def test_a_large_packet_that_ends_like_a_command_is_waited_for() -> None:
    escape = EscapeFilter()
    assert pieces_of(escape, b"x" * 100 + b"\r~.") == [b"x" * 100 + b"\r"]
    assert pieces_of(escape, b"profile\r") == [b"~.profile\r"]
    assert pieces_of(escape, b"x" * 100 + b"\r~.") + quiet(escape) == [b"x" * 100 + b"\r", Command.DETACH]


@given(data=st.binary())
def test_without_a_tilde_nothing_changes(data: bytes) -> None:
    data = data.replace(b"~", b"")
    assert b"".join(item for item in pieces_of(EscapeFilter(), data) if isinstance(item, bytes)) == data
