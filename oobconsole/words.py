"""Others' words (QEMU's, libvirt's, a hook's, a guest's name) made so that no terminal acts on them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Final

from oobconsole.terminal.text import replaced

#: Of what others say, so many characters are told.
BRIEF_MAX: Final = 500
_BLANKS: Final = re.compile(r"[\t\r\n]")
#: What JSON leaves as it is, and a terminal or an encoder might not: DEL and C1, bidirectional controls, surrogates.
_UNESCAPED: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """One line: what is no text becomes `?`, a tab or a line's end a blank."""
    return replaced(_BLANKS.sub(" ", text))


def brief(text: str) -> str:
    """As `harmless`, and no longer than `BRIEF_MAX` characters."""
    return harmless(text if len(text) <= BRIEF_MAX else text[:BRIEF_MAX] + "…")


def as_json(value: object) -> str:
    """JSON in one line, in the characters that it is about; only what a terminal might act on is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Few:
    """Lets so much be said in so many seconds, and says once that there is more.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._since = -seconds
        self._said = 0

    def say(self, text: str) -> str:
        """What is to be said of it; empty: nothing."""
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
