"""Makes other programs' words harmless, so that no terminal acts on them: QEMU's, libvirt's, a hook's, a guest's."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Final

from oobconsole.terminal.text import replaced

#: How many characters of what others say are told.
BRIEF_MAX: Final = 500
_BLANKS: Final = re.compile(r"[\t\r\n]")
#: Characters that JSON need not escape, though a terminal might act on them: DEL and C1, bidirectional controls,
#: surrogates.
_UNESCAPED: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """The text as one line: a tab or a line's end becomes a blank, and every other character that is not text a
    `?`."""
    return replaced(_BLANKS.sub(" ", text))


def brief(text: str) -> str:
    """The text as `harmless` makes it, cut to `BRIEF_MAX` characters."""
    return harmless(text if len(text) <= BRIEF_MAX else text[:BRIEF_MAX] + "…")


def as_json(value: object) -> str:
    """JSON in one line. Characters of all scripts stand in it as they are; only what a terminal might act on is
    escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Few:
    """Lets `most` texts be said in `seconds`; the last of them also says that there is more.

    Args:
        clock: gives the time in seconds, and never goes back.
    """

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._since = -seconds
        self._said = 0

    def say(self, text: str) -> str:
        """Return what is to be said in place of `text`; empty: nothing is to be said."""
        now = self._clock()
        if now - self._since >= self._seconds:
            self._since, self._said = now, 0
        self._said += 1
        if self._said < self._most:
            return text
        if self._said > self._most:
            return ""
        left = self._seconds - (now - self._since)
        return f"{text}; more than that happens, and is not told for {left:.0f} s"
