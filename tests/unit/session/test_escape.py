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
        (b"~hh", [Command.HELP, b"h"]),
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
    assert pieces_of(EscapeFilter(), data) == items


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
        (b"abc", b"abx\rabcbxa", [b"abx\r", Command.BREAK, b"xa"]),
    ],
)
def test_prefixes(prefix: bytes, data: bytes, items: list[bytes | Command]) -> None:
    assert joined(pieces_of(EscapeFilter(prefix), data)) == items
    one = EscapeFilter(prefix)
    assert joined([item for byte in data for item in pieces_of(one, bytes((byte,)))]) == items


def test_what_stands_behind_a_command_is_left_to_who_does_it() -> None:
    assert EscapeFilter().feed(b"ls\r~mhello~.") == Typed(b"ls\r", Command.MESSAGE, b"hello~.")


prefixes = st.sampled_from([b"~", b"~~~", b"^", b"~^", b""])


@given(prefix=prefixes, pieces=st.lists(typed))
def test_any_packets_are_the_same(prefix: bytes, pieces: list[bytes]) -> None:
    cut, whole = EscapeFilter(prefix), EscapeFilter(prefix)
    assert joined([item for piece in pieces for item in pieces_of(cut, piece)]) == joined(
        pieces_of(whole, b"".join(pieces))
    )


@given(data=st.binary())
def test_without_a_tilde_nothing_changes(data: bytes) -> None:
    data = data.replace(b"~", b"")
    assert b"".join(item for item in pieces_of(EscapeFilter(), data) if isinstance(item, bytes)) == data
