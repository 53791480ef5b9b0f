"""Which verbs read keys, so that INT is Ctrl-C there, and which may send a break to a guest."""

from __future__ import annotations

import pytest

from oobconsole.session.signals import has_breaks, key_of
from oobconsole.verbs import VERBS, Keys, Verb

#: Sessions that read keys at a terminal; only the first of them reads keys without a terminal.
READERS = ["attach", "menu", "watch", "replay"]


@pytest.mark.parametrize("name", VERBS)
def test_int_is_a_key_where_the_session_reads_keys_and_an_end_elsewhere(name: str) -> None:
    assert key_of("INT", f"{name} web1", terminal=True) == (b"\x03" if name in READERS else b"")
    assert key_of("QUIT", f"{name} web1", terminal=False) == (b"\x1c" if name == "attach" else b"")
    assert key_of("TERM", f"{name} web1", terminal=True) == b""


@pytest.mark.parametrize(
    ("command", "terminal", "key"), [(None, True, b"\x03"), ("web1", False, b"\x03"), ("", False, b"")]
)
def test_a_command_line_without_a_verb_is_the_menu_or_attach(command: str | None, terminal: bool, key: bytes) -> None:
    assert key_of("INT", command, terminal=terminal) == key
    assert has_breaks(command)


@pytest.mark.parametrize("name", VERBS)
def test_a_break_can_be_sent_from_a_console_and_from_the_menu(name: str) -> None:
    assert has_breaks(f"{name} web1") == (name in ("attach", "menu", "watch"))


def test_a_new_verb_brings_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    game = Verb("game", "plays with the keys that are typed", keys=Keys.AT_A_TERMINAL)
    monkeypatch.setitem(VERBS, "game", game)
    assert key_of("INT", "game", terminal=True) == b"\x03"
    assert key_of("INT", "game", terminal=False) == b""
    assert not has_breaks("game")
