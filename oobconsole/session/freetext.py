"""Takes apart command lines that end with a text: `send web1 TEXT`, `wait web1 REGEX`, `search web1 REGEX`. Sans I/O.

How is a text told from options? ssh joins the words of its command line with blanks, and the user's shell has taken
the quotes away. So words alone do not say whether they are a text or an option. Their place says it: options come
before the console's name, and everything behind the name is the text, character for character.

Two things are taken off a text: a `--` before it, and quotes around the whole of it, which programs put there for a
shell.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from oobconsole.session.request import UsageError, echo

#: How many words may stand before a text.
HEAD_MAX: Final = 64
#: A word of a command line. A quote that is not closed is a character like any other.
_WORD: Final = re.compile(r"""(?:'[^']*'|"[^"]*"|[^ \t\r\n])+""")
_QUOTED: Final = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_IN_SINGLE: Final = re.compile(r"""'[^']*'(?:"'"'[^']*')*""")  # as `shlex.quote` does it
_IN_DOUBLE: Final = re.compile(r"""\"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_ENDS_OPTIONS: Final = "--"
_BLANKS: Final = " \t\r\n"


class Divided(NamedTuple):
    """A command line that was taken apart.

    Attributes:
        head: options, and the console's name.
        text: what stands behind the name; None: nothing does.
    """

    head: list[str]
    text: str | None

    def for_argparse(self) -> list[str]:
        """Return the words as `FreeText` expects them. The text gets a character before it, because argparse would
        take a text that begins with `-` for an option."""
        return self.head if self.text is None else [*self.head, "=" + self.text]


class FreeText(argparse.Action):
    """The last argument of a command line, which is a text.

    Args:
        understand: makes a value of the text; it may raise `ArgumentTypeError`.
    """

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        understand: Callable[[str], object] = str,
        **options: Any,
    ) -> None:
        super().__init__(option_strings, dest, **options)
        self._understand = understand

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        """Set the argument to what its text means (called by argparse). Raises `argparse.ArgumentError`."""
        try:
            setattr(namespace, self.dest, self._understand(values[1:]))
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from error


class Line(Protocol):
    """The text behind a verb: its words, and where each begins."""

    def word(self, number: int) -> str | None:
        """Return the word of that number, without its quotes; None: there is none."""

    def text(self, number: int) -> str | None:
        """Return everything from that word on; None: nothing is there."""


class Words:
    """A line whose words are known, because the local command has quoted each of them."""

    def __init__(self, line: str) -> None:
        self._words = [_unquoted(found[0]) for found in _WORD.finditer(line)]

    def word(self, number: int) -> str | None:
        return self._words[number] if number < len(self._words) else None

    def text(self, number: int) -> str | None:
        """Return everything from that word on. Several words become one text, with blanks between them."""
        return " ".join(self._words[number:]) if number < len(self._words) else None


class Joined:
    """A line as it comes from `ssh HOST …`: nobody knows what its words were before ssh joined them."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._words = _WORD.finditer(line)
        self._found: list[tuple[str, int]] = []  # each word so far, and where it ends

    def word(self, number: int) -> str | None:
        """Return the word of that number. If several blanks stand before the word, all but one belong to it, because
        a text may be indented."""
        while len(self._found) <= number:
            found = next(self._words, None)
            if found is None:
                return None
            indent = found.start() - self._found[-1][1] - 1 if self._found else 0
            self._found.append((" " * indent + _unquoted(found[0]), found.end()))
        return self._found[number][0]

    def text(self, number: int) -> str | None:
        """Return everything behind one blank behind the word before. Further blanks belong to the text."""
        begin = self._found[number - 1][1] + 1
        return without_quotes(self._line[begin:]) if begin < len(self._line) else None


def _unquoted(word: str) -> str:
    return _QUOTED.sub(lambda quoted: quoted[1] or quoted[2] or "", word)


def without_quotes(text: str) -> str:
    """Return a text without quotes that stand around the whole of it, as a shell or `shlex.quote` writes them."""
    if _IN_SINGLE.fullmatch(text):
        return text[1:-1].replace("'\"'\"'", "'")
    if _IN_DOUBLE.fullmatch(text):
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    return text


def divide(line: Line, options: Mapping[str, bool], *, behind: bool) -> Divided:
    """Tell options, the console's name and the text apart.

    Args:
        line: the words behind the verb.
        options: the verb's own options, and whether each takes a value.
        behind: whether options may also stand behind the console's name. If they may not, an option there is refused,
            because nobody knows whether it was meant as an option or as text. A `--` before it says that it is text.

    Raises:
        UsageError: too many words stand before the text, or an option stands where the text begins.
    """
    head, at = _until_name(line, options)
    if at < 0:
        return Divided(head, None)
    more, end = _options(line, options, at)
    if line.word(end) == _ENDS_OPTIONS:
        return Divided([*more, *head], line.text(end + 1))
    if more and not behind:
        raise UsageError(
            f"{echo(more[0])} stands where the text begins: an option of ours comes before the console's name, "
            "and a -- before a text that begins with one"
        )
    return Divided([*more, *head], line.text(end))


def _until_name(line: Line, options: Mapping[str, bool]) -> tuple[list[str], int]:
    """Return everything up to the console's name, and the number of the word behind the name; -1: there is no
    name."""
    head, at = _options(line, options, 0, any_option=True)
    if line.word(at) == _ENDS_OPTIONS:
        at += 1
    name = line.word(at)
    return (head, -1) if name is None else ([*head, name.strip(_BLANKS)], at + 1)


def _options(line: Line, options: Mapping[str, bool], at: int, *, any_option: bool = False) -> tuple[list[str], int]:
    """Return options with their values, and the number of the word behind them."""
    found: list[str] = []
    while (word := line.word(at)) is not None and word != _ENDS_OPTIONS:
        name, assigned, _ = word.strip(_BLANKS).partition("=") if any_option else word.partition("=")
        if not (name in options or (any_option and name.startswith("-"))):
            break
        found.append(word.strip(_BLANKS))
        at += 1
        value = line.word(at) if options.get(name) and not assigned else None
        if value is not None:
            found.append(value.strip(_BLANKS))
            at += 1
        if len(found) > HEAD_MAX:
            raise UsageError(f"more than {HEAD_MAX} words stand before the text")
    return found, at


def misplaced(text: str, options: Collection[str]) -> str:
    """Return what to tell somebody who has written an option behind a text, where it is part of the text; empty:
    nobody has."""
    found = re.search(rf"(?:^|\s)({'|'.join(options)})(?:[\s=]|$)", text)
    return f"{found[1]} is looked for as part of the text: options come before the console's name" if found else ""
