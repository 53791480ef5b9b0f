"""Others' words (QEMU's, libvirt's, a hook's, a guest's name) made so that no terminal acts on them."""

from __future__ import annotations

import json
import re
from typing import Final

#: Of what others say, so many characters are told.
BRIEF_MAX: Final = 500
#: Joiners of scripts and of emoji: they are not printable by themselves, and no terminal acts on them.
_JOINERS: Final = "\u200c\u200d"
#: What JSON leaves as it is, and a terminal or an encoder might not: DEL and C1, bidirectional controls, surrogates.
_UNESCAPED: Final = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """One line: what is not printable becomes `?`, a tab or a line's end a blank."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else " " if c in "\t\r\n" else "?" for c in text)


def brief(text: str) -> str:
    """As `harmless`, and no longer than `BRIEF_MAX` characters."""
    return harmless(text if len(text) <= BRIEF_MAX else text[:BRIEF_MAX] + "…")


def as_json(value: object) -> str:
    """JSON in one line, in the characters that it is about; only what a terminal might act on is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
