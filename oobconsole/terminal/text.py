"""Says which characters are text, of whatever script, and which only act on how text is shown."""

from __future__ import annotations

import re
from typing import Final

#: Characters that are not text: controls; separators of lines and paragraphs; what turns the direction of the text
#: that follows, is invisible, or marks where something else begins (soft hyphen, zero width space, invisible
#: operators, byte order mark, annotations, formats of shorthand and music, language tag); halves of surrogates. Some
#: are missing here, because words are spelt with them: the joiners (U+200C, U+200D), direction marks (U+200E, U+200F,
#: U+061C), spaces of every width, the tags of flags, private use, and what Unicode has assigned since this Python was
#: made.
_NO_TEXT: Final = (
    r"\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
)
_NOTHING: Final = re.compile(f"[{_NO_TEXT}]")
_NOTHING_IN_OUTPUT: Final = re.compile(f"(?![\b\n\r])[{_NO_TEXT}]")


def plain(text: str) -> str:
    """The text of a line: tabs, and every character that is neither a control nor a format."""
    return _NOTHING.sub("", text)


def plain_output(text: str) -> str:
    """The text of output: as `plain`, with line ends and backspaces."""
    return _NOTHING_IN_OUTPUT.sub("", text)


def replaced(text: str) -> str:
    """The text of a line, with `?` in the place of each character that is not text."""
    return _NOTHING.sub("?", text)


def is_plain(text: str) -> bool:
    """Return whether a text consists of nothing but text, without tabs."""
    return _NOTHING.search(text) is None and "\t" not in text


def escaped(text: str) -> str:
    """The text of a line; each character that is not text is written as Python escapes it, such as `\\x1b`."""
    return _NOTHING.sub(lambda found: repr(found[0])[1:-1], text)
