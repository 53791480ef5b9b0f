"""Arguments that several verbs have in common: what they are called, and how their text is understood.

A function that understands a text raises `argparse.ArgumentTypeError`, whose sentence the user gets.
"""

from __future__ import annotations

import argparse
from functools import partial

from oobconsole.patterns import BadPattern, Pattern, compile_pattern
from oobconsole.session.request import echo
from oobconsole.session.when import when


def add_console(parser: argparse.ArgumentParser, meaning: str = "the console's name ('ls' lists them)") -> None:
    """Add the console that the verb is about (`request.args.console`). `meaning` is what its help says."""
    parser.add_argument("console", metavar="CONSOLE", help=meaning)


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add the option that makes the answer JSON (`request.args.json`)."""
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def add_since(parser: argparse._ActionsContainer) -> None:
    """Add the moment from which on a recording is read (`request.args.since`, which is a `When` or None)."""
    parser.add_argument(
        "--since", type=when, metavar="TIME", help="begin at that time: 10m (ago), 02:13, 2026-03-01T02:13"
    )


def count(text: str) -> int:
    """Return the number from 0 on that the text means. Raises `argparse.ArgumentTypeError` if it means none."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{echo(text)} is no number")
    return int(text)


def pattern(text: str, *, multiline: bool = False) -> Pattern:
    """Return the regular expression that the text means. Raises `argparse.ArgumentTypeError` if it means none.

    Args:
        multiline: whether `^` and `$` match at the ends of each line of a text.
    """
    try:
        return compile_pattern(text, multiline=multiline)
    except BadPattern as error:
        raise argparse.ArgumentTypeError(f"{echo(text)} {error}") from error


#: As `pattern`, with `multiline`: for what a guest prints on several lines.
multiline = partial(pattern, multiline=True)
