"""Checks texts that a script gives: patterns to look for, and texts to type."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterable
from functools import partial
from typing import Final

import regex

from oobconsole.client.errors import CommandRefused
from oobconsole.matchorder import comes_before
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

    matchorder.py says when a pattern has come. Of two matches that begin together, the later pattern counts.

    In a thread, as a pattern may need all the time that it has, and time limits count meanwhile.
    """
    first: Match | None = None
    late = False
    before = partial(comes_before, seconds=LOOK_SECONDS)
    for pattern in patterns:
        try:
            found = await asyncio.to_thread(pattern.search, text, at, timeout=LOOK_SECONDS, concurrent=True)
            if found is not None and (first is None or await asyncio.to_thread(before, found, first)):
                first = found
        except TimeoutError:
            late = True
    return first, late
