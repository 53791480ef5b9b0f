"""SGR: whatever parameters a guest gives it, the model of a terminal goes on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oobconsole.terminal.model import Terminal
from oobconsole.terminal.pen import PLAIN, Pen


@pytest.mark.parametrize("parameters", ["4:3:", "4:3:9", "4:3::"])
def test_what_stands_behind_the_kind_of_an_underline_does_not_matter(parameters: str) -> None:
    assert PLAIN.changed(parameters) == PLAIN.changed("4:3") == Pen(line="4:3")


@pytest.mark.parametrize("parameters", ["4::", "4:::1", "4:0:1"])
def test_an_underline_whose_kind_is_missing_is_none(parameters: str) -> None:
    assert PLAIN.changed("4").changed(parameters) == PLAIN


@settings(max_examples=2000, deadline=None)
@given(st.text("01234589:;", max_size=12))
def test_any_parameters_are_borne(parameters: str) -> None:
    """A guest that printed `ESC [ 4 : : m` let nobody see its screen any more."""
    terminal = Terminal(2, 4)
    terminal.feed(f"\x1b[{parameters}mx".encode())
    assert terminal.cursor.x == 1
