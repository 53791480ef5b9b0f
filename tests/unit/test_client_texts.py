"""Which of several patterns has come first, whatever pieces the output comes in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.client.texts import compiled, first_of

#: What is looked for, what would be a failure, what the guest prints, and which of the two has come first.
CASES = [
    ("login: .*\n", "FAILED", "web1 login: FAILED again\n", "FAILED"),
    ("login: .*", "FAILED", "web1 login: FAILED again\n", "login: .*"),
    ("login: .*\n", "FAILED.*", "web1 login: FAILED again\n", "FAILED.*"),
    ("login: ", "FAILED", "web1 login: \nFAILED", "login: "),
    ("login: ", "FAILED", "FAILED\nweb1 login: ", "FAILED"),
    ("done", "error.*fatal", "error, but done; fatal", "done"),
    (r"\d+ passed.*ok", r"panic|oops", "3 passed, panic, ok", "panic|oops"),
    (r"a+b", r"aab", "aaab", r"a+b"),
    ("begin.*end", "b.*d", "begin end", "b.*d"),  # two that begin together
]


def first(patterns: Sequence[str], text: str, size: int) -> str | None:
    """The pattern that an `expect` finds which looks whenever a piece of so many characters has come."""

    async def look() -> str | None:
        every = [compiled(pattern) for pattern in patterns]
        for end in [*range(size, len(text), size), len(text)]:
            found, late = await first_of(every, text[:end], 0)
            assert not late
            if found is not None:
                return patterns[every.index(found.re)]
        return None

    return asyncio.run(look())


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(("wanted", "fail", "text", "winner"), CASES)
def test_the_answer_does_not_depend_on_the_pieces(wanted: str, fail: str, text: str, winner: str, size: int) -> None:
    """faults.md 5, variation: a wanted match that begins first but ends later counted only if all of it was there."""
    assert first([wanted, fail], text, size) == winner


_PATTERNS = st.lists(st.sampled_from(["a", "b", "c", ".*", ".+", "[ab]", "d"]), min_size=1, max_size=4).map("".join)


@given(_PATTERNS, _PATTERNS, st.text("abcd", max_size=12), st.integers(1, 6))
def test_no_pair_of_patterns_depends_on_them(wanted: str, fail: str, text: str, size: int) -> None:
    """faults.md 5, variation. Two matches that begin together are left out: there the failure counts."""
    begins = {(found := compiled(pattern).search(text)) and found.start() for pattern in (wanted, fail)}
    if len(begins) == 2:
        assert first([wanted, fail], text, size) == first([wanted, fail], text, 1)
