"""Regular expressions over what guests print: they match characters and not bytes, and are bounded in time and
length.

Why a time limit? Somebody may make a pattern and a guest's text so that matching them takes for ever. So each search
has a time limit, and runs where neither the event loop nor other threads wait for it.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import regex

from oobconsole import matchorder
from oobconsole.spellings import all_spellings, as_typed

#: How many characters a pattern may have.
PATTERN_MAX: Final = 1000
#: A quantifier, recursion or reference. What a pattern without these finds is never longer than the pattern.
_UNBOUNDED: Final = re.compile(r"[*+{]|\\[XLRg1-9]|\(\?[R&\d(P]")

#: How many elements a pattern may have with its repetitions written out. Why is there a limit? `regex` writes counted
#: repetitions out, and `(a{1000}){1000}` has a million elements, which takes a second and 100 MB. Three levels of
#: that take all the memory there is, or end the process.
EXPANDED_MAX: Final = 5000
#: How many groups of a pattern may keep what they match. A group keeps each match: 140 groups in 64 KiB of text took
#: 440 MB.
GROUPS_MAX: Final = 20
#: The beginning of a counted repetition, `{N`. What stands before it says what is repeated.
_COUNTED: Final = re.compile(r"\{([0-9]*)")
#: The flag x, with which blanks and comments could stand anywhere in a repetition.
_VERBOSE: Final = re.compile(r"\(\?[A-Za-z0-9^-]*x")

_CLASS: Final = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]")
_NEGATED_CLASS: Final = re.compile(r"\[\^\]?(?:\\.|[^\]\\])*\]")
_LINE_END: Final = re.compile(r"[\n\r]|\\[nr]")
#: A carriage return that no quantifier makes optional.
_RETURN: Final = re.compile(r"(?:\r|\\r)(?![?*{])")

Pattern = regex.Pattern[str]
Match = regex.Match[str]


class BadPattern(ValueError):
    """A pattern cannot be used. The message says why; it can stand behind the pattern."""


class TooSlow(Exception):
    """A pattern took too long to match. The message is one sentence that names the pattern."""


def compile_pattern(text: str, *, multiline: bool = False) -> Pattern:
    """Compile a pattern in the syntax of Python's `re`, and more (the package `regex`). A letter with an accent,
    outside a character class, matches in both of Unicode's spellings, whichever was typed.

    Args:
        text: the pattern.
        multiline: whether `^` and `$` also match at the ends of lines within the text.

    Raises:
        BadPattern: the text is no regular expression, or goes beyond a limit.
    """
    if len(text) > PATTERN_MAX:
        raise BadPattern(f"is too long: a pattern has at most {PATTERN_MAX} characters")
    if _VERBOSE.search(text):
        raise BadPattern("has the flag x, which is not supported: a pattern is one line, and blanks count")
    if _expanded(text) > EXPANDED_MAX:
        raise BadPattern(
            f"repeats too much: with its repetitions written out it may have at most {EXPANDED_MAX} elements"
        )
    spelt = all_spellings(text)
    if spelt != text and _expanded(spelt) <= EXPANDED_MAX:
        text = spelt
    try:
        # Not kept: what somebody asks for once would stay in memory until 500 others have been asked for.
        found = regex.compile(text, regex.MULTILINE if multiline else 0, cache_pattern=False)
    except (regex.error, OverflowError, RecursionError, MemoryError, ValueError) as error:
        raise BadPattern(f"is no regular expression: {error}") from error
    if found.groups > GROUPS_MAX:
        raise BadPattern(f"has {found.groups} groups, and may have {GROUPS_MAX}: (?:…) groups without keeping")
    return found


def _expanded(text: str) -> int:
    """Return an upper bound for the number of elements that a pattern has with its counted repetitions written out.

    What is not looked at, such as an escape, makes the number larger and never smaller. A repetition of a group
    counts as one of the whole pattern, and so do the repetitions of the groups around it.
    """
    elements, times, begin = len(text), 1, 0
    for found in _COUNTED.finditer(text):
        count = int(found[1] or 0)  # without a minimum nothing is written out
        before = text[begin : found.start()]
        begin = found.end()
        if before.endswith(")"):
            times *= max(count, 1)
        else:
            elements += count * (len(before) - before.find("[") if before.endswith("]") else 1)
    return elements * times


def is_bounded(pattern: Pattern) -> bool:
    """Return whether what the pattern finds is never longer than the pattern itself."""
    return not _UNBOUNDED.search(pattern.pattern)


def wants_line_end(pattern: Pattern) -> bool:
    """Return whether the pattern names a line feed or a carriage return, other than as what must not come."""
    return bool(_LINE_END.search(_NEGATED_CLASS.sub("", _without_backslashes(pattern))))


def wants_return(pattern: Pattern) -> bool:
    """Return whether the pattern names a carriage return that may not be missing, as far as that is easily seen."""
    return bool(_RETURN.search(_CLASS.sub("", _without_backslashes(pattern))))


def _without_backslashes(pattern: Pattern) -> str:
    """Return the pattern without the backslashes that it looks for."""
    return pattern.pattern.replace(r"\\", "")


def find(pattern: Pattern, text: str, *, seconds: float, begin: int = 0) -> Match | None:
    """Look for a pattern in a text. Other threads run meanwhile.

    Args:
        pattern: the pattern.
        text: the text.
        seconds: how much processor time of this process it may take, which is what `regex` counts (clock(3)). So a
            busy machine changes nothing about what is found: with a load of twenty, half a second of it takes eleven
            on the wall.
        begin: from which character on. `^` still sees the character before it.

    Raises:
        TooSlow: the search took longer than `seconds`.
    """
    try:
        return pattern.search(text, begin, timeout=seconds, concurrent=True)
    except TimeoutError as error:
        raise _too_slow(pattern) from error


def comes_before(found: Match, first: Match, *, seconds: float) -> bool:
    """Return whether a match has come before another one, as `matchorder.comes_before` says. Raises `TooSlow`."""
    try:
        return matchorder.comes_before(found, first, seconds=seconds)
    except TimeoutError as error:
        raise _too_slow(found.re) from error


def _too_slow(pattern: Pattern) -> TooSlow:
    shown = as_typed(pattern)
    shown = shown if len(shown) <= 64 else shown[:64] + "…"
    return TooSlow(f"{shown!r} takes too long to match: make it simpler")


class Matcher:
    """Threads for searches of one kind of asker, so that other kinds of askers do not wait for them."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def find(self, pattern: Pattern, text: str, *, seconds: float, begin: int = 0) -> Match | None:
        """Look for a pattern in one of the threads, as the function `find` does. Raises `TooSlow`."""
        call = partial(find, pattern, text, seconds=seconds, begin=begin)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    async def comes_before(self, found: Match, first: Match, *, seconds: float) -> bool:
        """Compare two matches in one of the threads, as the function `comes_before` does. Raises `TooSlow`."""
        call = partial(comes_before, found, first, seconds=seconds)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)
