"""Makes prompt_toolkit lay text out by the widths that the rest of the server uses (`oobconsole.terminal.grid`).

prompt_toolkit asks wcwidth, which gives no column of its own to a spacing vowel, as Hindi, Tamil and many other
scripts have. Terminals give it one. So what prompt_toolkit changed later in such a row came to stand in the wrong
columns.

There is no public way to say so. What is replaced here is the table in which `prompt_toolkit.utils.get_cwidth` looks
(tried with 3.0.53). A prompt_toolkit without that table keeps its own widths; tests/unit/session/test_menu.py fails
then.
"""

from __future__ import annotations

from prompt_toolkit import utils

from oobconsole.terminal.grid import width


class _Widths(dict[str, int]):
    """The columns of texts, by text. Only single characters are kept: guests print any number of texts."""

    def __missing__(self, text: str) -> int:
        if len(text) != 1:
            return sum(map(self.__getitem__, text))
        columns = self[text] = width(text)
        return columns


def use_our_widths() -> None:
    """Use our widths in all screens of this process. A second call changes nothing."""
    if isinstance(getattr(utils, "_CHAR_SIZES_CACHE", None), dict):
        vars(utils)["_CHAR_SIZES_CACHE"] = _Widths()
