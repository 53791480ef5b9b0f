"""Understands a command line: with which verb it begins, and what the arguments of that verb are."""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NoReturn

from oobconsole.session.freetext import Joined, Words, divide
from oobconsole.session.request import UsageError, echo
from oobconsole.session.verbs import load
from oobconsole.terminal.text import escaped
from oobconsole.verbs import VERBS, Verb

#: How long a command line may be, in characters. `send` carries text, so it is long.
COMMAND_MAX: Final = 65536
#: How long a command line without a text may be, in characters and in words. argparse takes time that grows with the
#: square of the number of words.
WORDS_LENGTH_MAX: Final = 4096
WORDS_MAX: Final = 64
_ERROR_MAX: Final = 500
#: The options that ask for a verb's help in place of carrying the verb out.
HELP_OPTIONS: Final = ("-h", "--help")

_PARSERS: Final = ThreadPoolExecutor(2, thread_name_prefix="commands")
_FIRST: Final = re.compile(rf"({'|'.join(VERBS)})(?:[ \t\r\n]|$)")


class _HelpWanted(Exception):
    """A command line asks what its verb does."""


class _Help(argparse.Action):
    """What `-h` and `--help` do. argparse carries out an option where it stands, so it does not matter whether an
    argument is missing, or what stands behind the option."""

    def __call__(self, *_: object) -> NoReturn:
        raise _HelpWanted


class Parser(argparse.ArgumentParser):
    """argparse's parser, which neither prints nor exits.

    Attributes:
        takes_value: for each option, by its name, whether it takes a value.
    """

    def __init__(self, **options: Any) -> None:
        self.takes_value: dict[str, bool] = {}
        super().__init__(add_help=False, allow_abbrev=False, **options)
        # The method of the base class, because these two are not among the verb's own options: behind a console's
        # name, where a text begins, they are text. The usage does not show them, so that it stays short.
        super().add_argument(*HELP_OPTIONS, action=_Help, nargs=0, help=argparse.SUPPRESS)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        action = super().add_argument(*names, **options)
        self.takes_value |= dict.fromkeys(action.option_strings, action.nargs != 0)
        return action

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` with the message and the usage, in one line."""
        usage = " ".join(self.format_usage().removeprefix("usage: ").split())  # argparse breaks the usage into lines
        raise UsageError(f"{message}; usage: {usage}")


def parser_of(verb: Verb) -> Parser:
    """Return the parser that understands the words behind a verb, and describes them."""
    parser = Parser(prog=verb.name, description=verb.summary)
    load(verb).arguments(parser)
    return parser


def explained(verb: Verb) -> list[str]:
    """Return the lines that explain a verb: its usage, what it does, and its arguments and options."""
    return parser_of(verb).format_help().strip().split("\n")


def parse(command: str | None, *, local: bool = False) -> tuple[Verb, argparse.Namespace]:
    """Understand a command line.

    Somebody who writes `-h` or `--help` behind a verb gets the verb `help` with that verb as its argument. A text
    begins behind the console's name (`session/freetext.py`), so there these two words are text.

    Args:
        command: the command line; empty or None: the menu.
        local: whether its words are quoted one by one. ssh has joined the words of its user, so their quotes are
            gone.

    Raises:
        UsageError: what is wrong, and what would be right.
    """
    line = _line(command)
    if len(line) > COMMAND_MAX:
        raise UsageError(f"a command has at most {COMMAND_MAX} characters; this one has {len(line)}")
    verb = _with_text(line)
    try:
        if verb is not None:
            return _or_help(verb, lambda: _parse_text(verb, line[len(verb.name) + 1 :], local=local))
        return _parse_words(line)
    except UsageError as error:
        text = str(error)
        text = text if len(text) <= _ERROR_MAX else text[:_ERROR_MAX] + "…"
        raise UsageError(escaped(text.replace("\t", " "))) from error


async def understand(command: str | None, *, local: bool) -> tuple[Verb, argparse.Namespace]:
    """Do as `parse` does. A command with a pattern is understood in a thread, because compiling a pattern may take
    longer than the event loop can be held."""
    if _with_text(_line(command)) is None:
        return parse(command, local=local)
    return await asyncio.get_running_loop().run_in_executor(_PARSERS, partial(parse, command, local=local))


def _line(command: str | None) -> str:
    return (command or "").lstrip(" \t\r\n")


def _with_text(line: str) -> Verb | None:
    """Return the verb with which a line begins, if the last argument of that verb is a text; otherwise None."""
    first = _FIRST.match(line)
    return VERBS[first[1]] if first is not None and VERBS[first[1]].text else None


def _or_help(verb: Verb, arguments: Callable[[], argparse.Namespace]) -> tuple[Verb, argparse.Namespace]:
    """Return the verb with its arguments, or the verb `help` if that is what the arguments ask for."""
    try:
        return verb, arguments()
    except _HelpWanted:
        return VERBS["help"], argparse.Namespace(verb=verb.name)


def _parse_text(verb: Verb, line: str, *, local: bool) -> argparse.Namespace:
    parser = parser_of(verb)
    divided = divide(Words(line) if local else Joined(line), parser.takes_value, behind=verb.options_behind)
    return parser.parse_args(divided.for_argparse())


def _parse_words(line: str) -> tuple[Verb, argparse.Namespace]:
    if len(line) > WORDS_LENGTH_MAX:
        raise UsageError(
            f"a command without a text has at most {WORDS_LENGTH_MAX} characters; this one has {len(line)}"
        )
    try:
        words = shlex.split(line) or ["menu"]
    except ValueError as error:
        raise UsageError(f"{echo(line)} cannot be understood: {error}") from error
    if len(words) > WORDS_MAX:
        raise UsageError(f"a command has at most {WORDS_MAX} words; this one has {len(words)}")
    if words[0] in HELP_OPTIONS:
        return VERBS["help"], argparse.Namespace(verb=None)
    first, rest = (words[0], words[1:]) if words[0] in VERBS else ("attach", words)
    if VERBS[first].text:
        raise UsageError(f"{first} is to be written without quotes: what is behind it is taken as it stands")
    verb = VERBS[first]
    return _or_help(verb, lambda: parser_of(verb).parse_args(rest))
