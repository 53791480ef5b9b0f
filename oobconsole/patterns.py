"""Regular expressions over what guests print: characters, not bytes, and bounded in time and length.

A user's pattern and a guest's text may be made for each other to take for ever, so each search has a time limit, and
runs where neither the event loop nor other threads wait for it.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import regex

PATTERN_MAX: Final = 1000
#: Without any of these nothing that a pattern finds is longer than the pattern: no quantifier, recursion, reference.
_UNBOUNDED: Final = re.compile(r"[*+{]|\\[XLRg1-9]|\(\?[R&\d(P]")

Pattern = regex.Pattern[str]
Match = regex.Match[str]


class BadPattern(ValueError):
    """A pattern that cannot be used, in words that can stand behind it."""


class TooSlow(Exception):
    """A pattern took too long to match; in one sentence."""


def compile_pattern(text: str, *, multiline: bool = False) -> Pattern:
    """Understand a pattern: the syntax of Python's `re`, and more (the package `regex`).

    Raises:
        BadPattern: it is none, or too long.
    """
    if len(text) > PATTERN_MAX:
        raise BadPattern(f"is too long: a pattern has at most {PATTERN_MAX} characters")
    try:
        return regex.compile(text, regex.MULTILINE if multiline else 0)
    except (regex.error, OverflowError, RecursionError, ValueError) as error:
        raise BadPattern(f"is no regular expression: {error}") from error


def is_bounded(pattern: Pattern) -> bool:
    """Is what it finds never longer than the pattern itself?"""
    return not _UNBOUNDED.search(pattern.pattern)


def find(pattern: Pattern, text: str, *, seconds: float, begin: int = 0) -> Match | None:
    """Look for it from `begin` on, where `^` still knows what stands before. For threads: others run meanwhile.

    Raises:
        TooSlow: it took longer than `seconds`.
    """
    try:
        return pattern.search(text, begin, timeout=seconds, concurrent=True)
    except TimeoutError as error:
        shown = pattern.pattern if len(pattern.pattern) <= 64 else pattern.pattern[:64] + "…"
        raise TooSlow(f"{shown!r} takes too long to match: make it simpler") from error


class Matcher:
    """Threads for searches: of one kind of asker, so that no other has to wait for them."""

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def find(self, pattern: Pattern, text: str, *, seconds: float, begin: int = 0) -> Match | None:
        """As the function. Raises `TooSlow`."""
        call = partial(find, pattern, text, seconds=seconds, begin=begin)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)
