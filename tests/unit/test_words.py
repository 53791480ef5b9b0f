"""What others say does nothing to a terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.console.console import Console, ConsoleState
from oobconsole.words import BRIEF_MAX, Few, as_json, brief, harmless

EVIL = "\x1b]0;PWN\x07 \x9b2J \u202egnp.exe \x7f\ud800"


@given(st.text(st.characters()))
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    """security.md 18"""
    shown = harmless(text)
    assert len(shown) == len(text)
    assert not {unicodedata.category(c) for c in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@pytest.mark.parametrize(
    "text", ["plain", "d\u00fcrr \u0928\u092e\u0938\u094d\u0924\u0947 \u65e5\u672c", "\U0001f468\u200d\U0001f4bb"]
)
def test_the_worlds_scripts_are_left_as_they_are(text: str) -> None:
    assert harmless(text) == text


def test_the_sequences_of_the_report() -> None:
    """security.md 18"""
    assert harmless(EVIL) == "?]0;PWN? ?2J ?gnp.exe ??"
    assert len(brief("x" * 1_000_000)) == BRIEF_MAX + 1


@given(st.text(st.characters()))
def test_json_stays_what_it_was(text: str) -> None:
    """security.md 18"""
    line = as_json({"reason": text})
    assert not {unicodedata.category(c) for c in line} & {"Cc", "Cs", "Zl", "Zp"}
    if not any(0xD800 <= ord(c) < 0xE000 for c in text):
        assert json.loads(line) == {"reason": text}
    line.encode()


async def test_the_reason_of_a_console() -> None:
    """security.md 18: `ls --json`, events and the log have it, too."""
    console = Console("web1", scrollback=4096)
    console.set_state(ConsoleState.LIVE)
    console.set_state(ConsoleState.FAULT, EVIL)
    assert console.reason == harmless(EVIL)


def test_what_happens_without_end_is_told_now_and_then() -> None:
    """security.md 18: events of a monitor, and a guest that resets itself all the time."""
    now = 100.0
    few = Few(3, 10.0, lambda: now)
    assert [few.say("reset") for _ in range(2)] == ["reset"] * 2
    now += 4
    assert few.say("reset") == "reset; more than that happens, and is not told for 6 s"
    assert [few.say("reset") for _ in range(1000)] == [""] * 1000
    now += 6
    assert few.say("reset") == "reset"
