"""Patterns that find a letter with an accent in both of Unicode's spellings, whichever was typed (UAX 15).

NFC spells such a letter as one code point, and NFD as a letter and its marks. The pattern is changed, and not what a
guest prints, so that offsets stay right.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

import regex

#: One element of a pattern: an escape, the name of a group, a character class, or a character with the marks that
#: belong to it.
_TOKEN: Final = regex.compile(r"\\.|\(\?(?:P?<(?![=!])|P[=>]|&)\w*|\[\^?\]?(?:\\.|[^\]\\])*\]|\X", regex.DOTALL)
#: What `all_spellings` makes of a character.
_SPELLINGS: Final = re.compile(r"\(\?:([^()|]+(?:\|[^()|]+)+)\)")


def all_spellings(text: str) -> str:
    """Return the pattern `text` with a group in the place of each character that Unicode can spell in several ways.
    Character classes, escapes and the names of groups stay as they are."""
    return "".join(map(_spellings, _TOKEN.findall(text)))


def _spellings(token: str) -> str:
    if token.isascii() or token[0] in "[(\\":
        return token
    forms = dict.fromkeys((token, unicodedata.normalize("NFC", token), unicodedata.normalize("NFD", token)))
    return f"(?:{'|'.join(forms)})" if len(forms) > 1 else token


def as_typed(pattern: regex.Pattern[str]) -> str:
    """Return the pattern as it was given to `all_spellings`, to be shown. `pattern` was compiled of what that
    returned."""

    def first(found: re.Match[str]) -> str:
        forms = found[1].split("|")
        alike = len({unicodedata.normalize("NFC", form) for form in forms}) == 1
        return forms[0] if alike else found[0]

    return _SPELLINGS.sub(first, pattern.pattern)
