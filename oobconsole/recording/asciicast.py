"""asciicast v2 (docs.asciinema.org/manual/asciicast/v2): a header line, then an event a line, in JSON. Sans I/O."""

from __future__ import annotations

import codecs
import json
from typing import Final

_decoder: Final = codecs.getincrementaldecoder("utf-8")


class Asciicast:
    """What goes into one file.

    Args:
        began: when, in seconds since 1970; a file that is gone on with keeps the time of its header.
    """

    __slots__ = ("_began", "_decoder", "_last")

    def __init__(self, began: float) -> None:
        self._began = began
        self._last = 0.0
        self._decoder = _decoder("replace")

    def header(self, title: str, rows: int, columns: int) -> bytes:
        """The first line."""
        fields = {"version": 2, "width": columns, "height": rows, "timestamp": int(self._began), "title": title}
        return json.dumps(fields).encode() + b"\n"

    def output(self, at: float, data: bytes) -> bytes:
        """The guest printed `data`. A character that is not complete waits for its other bytes; bytes that are no
        UTF-8 become U+FFFD: the format has nothing else for them."""
        text = self._decoder.decode(data)
        return self._event(at, "o", text) if text else b""

    def marker(self, at: float, label: str) -> bytes:
        """Something happened beside the output."""
        return self._event(at, "m", label)

    def _event(self, at: float, code: str, text: str) -> bytes:
        """A clock that is set back must not make time run backwards: players would stop there."""
        self._last = max(self._last, round(at - self._began, 6))
        return json.dumps([self._last, code, text], ensure_ascii=False).encode("utf-8", "replace") + b"\n"
