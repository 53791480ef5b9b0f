"""Checks texts that a script gives: patterns to look for, and texts to type."""

from __future__ import annotations

import asyncio
import re
import shlex
import time
from collections.abc import Iterable
from typing import Final

import regex

from oobconsole.client.errors import CommandRefused
from oobconsole.spellings import all_spellings

#: The most seconds that one look for a pattern takes. A look that needs more is made again when more output has come.
LOOK_SECONDS: Final = 0.5
_USAGE: Final = 2
#: Characters that are keys to a shell that reads a line, but for the line feed: a Tab completes a word, Ctrl-C drops
#: the line.
_KEYS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_CONTROLS: Final = re.compile(r"[\\\x00-\x1f\x7f]")

Match = regex.Match[str]
Pattern = regex.Pattern[str]


def compiled(pattern: str) -> Pattern:
    """Compile a pattern as `expect` uses it: a dot also means a line feed, and a letter with an accent means both of
    Unicode's spellings.

    Raises:
        CommandRefused: it is not a regular expression.
    """
    try:
        return regex.compile(all_spellings(pattern), regex.DOTALL)
    except (regex.error, OverflowError, RecursionError, ValueError) as error:
        raise CommandRefused("expect", _USAGE, f"{pattern!r} is no regular expression: {error}") from error


def encoded(text: str) -> bytes:
    """The bytes of a text that is typed, in UTF-8.

    Raises:
        CommandRefused: the text has characters that UTF-8 cannot carry, such as half a surrogate pair.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CommandRefused("send", _USAGE, f"{text!r} is no text that UTF-8 can carry") from error


def as_word(command: str) -> str:
    """A command as one word that can be typed at a POSIX shell. Where it has characters that would be keys, they are
    written as numbers, which the shell's own `printf` reads."""
    if not _KEYS.search(command):
        return shlex.quote(command)
    numbered = _CONTROLS.sub(lambda found: f"\\0{ord(found[0]):03o}", command)
    return f'"$(printf %b {shlex.quote(numbered)})"'


async def first_of(patterns: Iterable[Pattern], text: str, at: int) -> tuple[Match | None, bool]:
    """Which of the patterns has come first, and was a look too slow to end?

    A pattern has come as soon as there is enough text for a match, though more text might make the match longer. So
    the answer is the same when the text comes in one piece and when it comes in many. Of two patterns that have come
    with the same character, the match that begins earlier counts. Of two matches that begin together, the later
    pattern counts.

    In a thread, as a pattern may need all the time that it has, and time limits count meanwhile.
    """
    first: Match | None = None
    late = False
    for pattern in patterns:
        try:
            found = await asyncio.to_thread(pattern.search, text, at, timeout=LOOK_SECONDS, concurrent=True)
            if found is not None and (first is None or await asyncio.to_thread(_comes_before, found, first)):
                first = found
        except TimeoutError:
            late = True
    return first, late


def _comes_before(found: Match, first: Match) -> bool:
    """Whether a match has come before `first`, which is one of a pattern before. Raises `TimeoutError`."""
    if found.start() == first.start():
        return True
    if found.end() <= first.start() or first.end() <= found.start():
        return found.start() < first.start()
    deadline = time.monotonic() + LOOK_SECONDS
    return (_came_at(found, deadline), found.start()) < (_came_at(first, deadline), first.start())


def _came_at(found: Match, deadline: float) -> int:
    """The position behind the character with which there was enough text for a match. It is looked for by bisection,
    as more text never makes less of a match; but for patterns that name the end of the text, for which the position
    is one at which there was a match."""
    few, enough = found.start(), found.end()
    while enough - few > 1:
        middle = (few + enough) // 2
        left = max(0.001, deadline - time.monotonic())
        if found.re.search(found.string, found.pos, middle, timeout=left, concurrent=True):
            enough = middle
        else:
            few = middle
    return enough
