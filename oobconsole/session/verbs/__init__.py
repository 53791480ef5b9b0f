"""What each verb does: one file for each line of the table in `oobconsole/verbs.py`, named after the verb.

Such a file contains two functions, and `load` checks that both are there:

- `arguments(parser)` adds the verb's arguments and options to an `argparse` parser;
- `handle(request)` carries the command out, and returns the exit status that the client gets.

CONTRIBUTING.md has a worked example of a new verb.
"""

from __future__ import annotations

from argparse import ArgumentParser
from importlib import import_module
from typing import Protocol, runtime_checkable

from oobconsole.session.request import ExitStatus, Request
from oobconsole.verbs import Verb


@runtime_checkable
class Implementation(Protocol):
    """The two functions of a verb's file."""

    def arguments(self, parser: ArgumentParser) -> None:
        """Add the verb's arguments to `parser`."""

    async def handle(self, request: Request) -> ExitStatus:
        """Carry the command out.

        Raises:
            UsageError, Denied: the user gets the sentence and the exit status that belong to these.
            HungUp: the client is gone.
        """


def load(verb: Verb) -> Implementation:
    """Return the module of a verb. It is imported at the first call.

    Raises:
        TypeError: the module lacks one of the two functions.
    """
    module = import_module(f"{__name__}.{verb.name}")
    if not isinstance(module, Implementation):
        raise TypeError(f"{module.__name__} needs the functions `arguments` and `handle`")
    return module
