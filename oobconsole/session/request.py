"""What a user asks for, and how it is answered: shared by every verb."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from oobconsole.access import Principal, Right
from oobconsole.console.console import Console
from oobconsole.console.reader import Notice
from oobconsole.events import Kind
from oobconsole.session.services import Services
from oobconsole.session.tui.terminal import Terminal
from oobconsole.verbs import Verb
from oobconsole.words import as_json


class ExitStatus(IntEnum):
    """The exit status of a command, which an ssh client passes on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DENIED = 3
    TIMEOUT = 4
    PARTIAL = 5


class UsageError(Exception):
    """A command that cannot be done as it stands, in one sentence."""


class Denied(Exception):
    """A command that this user may not do, in one sentence."""


#: A function that takes input without waiting. It is given the input, and the seconds since the input before that
#: (`Peer.pause`). It returns False if it cannot take the input, and has then done nothing.
AtOnce = Callable[[bytes, float], bool]


class Peer(Protocol):
    """The other end: an SSH channel, or anything that reads and writes bytes."""

    @property
    def why_gone(self) -> str:
        """Why the other end is gone, for other users at the same console. Empty: it is there, or left by itself."""

    @property
    def pause(self) -> float:
        """The seconds between the arrival of the input that `read` returned last, and the arrival of the input before
        that. Input that could not be received for a while, because too much waited to be read, counts as without a
        pause.
        """

    async def read(self, at_once: AtOnce | None = None) -> bytes:
        """Wait for input, and return it. Empty: no more will come.

        Args:
            at_once: while this waits, input may be taken by this function. What the function does not take is
                returned.
        """

    def put_back(self, data: bytes) -> None:
        """Put input back, so that the next `read` returns it first: the caller was not meant to have it."""

    async def write(self, data: bytes) -> None:
        """Send, waiting while the other end is slow. Raises `HungUp` when it is gone."""

    def takes(self, size: int) -> bool:
        """Return whether so many bytes of output can be sent now, without waiting."""

    def put(self, data: bytes) -> None:
        """Send bytes without waiting, right after `takes` has allowed it."""

    async def tell(self, text: str) -> None:
        """Say something that does not come from the guest: on standard error, if the client has one."""

    async def error(self, data: bytes) -> None:
        """Send bytes to standard error as they are."""

    async def gone(self) -> None:
        """Wait until the other end has hung up."""


#: Carries out a command line; the peer is who gets the answer.
Run = Callable[[str, Peer], Awaitable[ExitStatus]]


@dataclass(frozen=True)
class Request:
    """One command of one user.

    Attributes:
        args: the arguments of the command, validated.
        peer: the client, which gets the answer.
        terminal: the user's terminal; None: there is none.
        services: what the server gives to every session.
        who: the user.
        verb: the line of the verb table (`oobconsole/verbs.py`) for the verb with which the command began.
        run: carries out another command of the same user. Its peer may be another one.
    """

    args: argparse.Namespace
    peer: Peer
    terminal: Terminal | None
    services: Services
    who: Principal
    verb: Verb
    run: Run
    _grants: object = field(init=False, repr=False, compare=False)  # of when the command began

    def __post_init__(self) -> None:
        object.__setattr__(self, "_grants", self.services.access.grants)  # the class is frozen

    def keep_right(self) -> None:
        """For a verb that lasts: look whether the user still has the verb's right at the console.

        Raises:
            UsageError, Denied: as `console`. A reload has taken the right away since the verb began.
        """
        if self.services.access.grants is not self._grants:
            self._need(self._right)

    def console(self, also: Right | None = None) -> Console:
        """Return the console that the command names.

        Args:
            also: a right that is needed besides the verb's own.

        Raises:
            UsageError: there is none of that name that this user may know of.
            Denied: the user may know of the console, but has not the right.
        """
        console = self.services.directory.find(self.args.console)
        if console is None:
            raise self._unknown()
        self._need(also or self._right)
        return console

    def may_know(self, notice: Notice) -> bool:
        """Return whether the user may be told a notice. One about another console is only for users with a right
        there."""
        return notice.kind != "moved" or bool(self.services.access.rights(self.who, str(notice.detail["to"])))

    def recorded(self) -> str:
        """The name of the console that was named, which may be gone: what it printed is found all the same.

        Raises:
            UsageError, Denied: as `console`.
        """
        name: str = self.args.console
        if not self.services.knows(name):
            raise self._unknown()
        self._need(self._right)
        return name

    async def hung_up(self) -> ExitStatus:
        """Wait until the client has hung up: a command that it did not wait for has failed."""
        await self.peer.gone()
        return ExitStatus.FAILED

    @property
    def _right(self) -> Right:
        if self.verb.right is None:
            raise LookupError(f"the verb table names no right for {self.verb.name}: a bug in oobconsole")
        return self.verb.right

    def _unknown(self) -> UsageError:
        """Return the error that there is no such console. A user without a right at an existing console gets the
        same."""
        return UsageError(f"there is no console {echo(self.args.console)}; 'ls' lists them")

    def _need(self, right: Right) -> None:
        name = self.args.console
        rights = self.services.access.rights(self.who, name)
        if not rights:
            raise self._unknown()
        if right not in rights:
            self.services.events.emit(Kind.DENIED, name, self.who, right=str(right))
            raise Denied(f"you have no right to {right} at {name}; a [[grant]] of the server gives it")

    async def print(self, lines: Iterable[str]) -> ExitStatus:
        """Answer with lines of text, given without their ends. Returns the exit status OK."""
        newline = "\r\n" if self.terminal else "\n"  # nothing between us and a terminal adds the return
        await self.peer.write("".join(line + newline for line in lines).encode())
        return ExitStatus.OK

    async def print_as_made(self, lines: AsyncIterable[str]) -> ExitStatus:
        """Answer with lines that take time to be made: they are sent some at a time, not when all are there."""
        some: list[str] = []
        async for line in lines:
            some.append(line)
            if len(some) == _LINES_AT_ONCE:
                await self.print(some)
                some.clear()
        return await self.print(some)

    async def print_json(self, rows: AsyncIterable[object]) -> ExitStatus:
        """Answer with one JSON object in each line."""
        return await self.print_as_made(as_json(row) async for row in rows)


_LINES_AT_ONCE = 64
_ECHO_MAX = 64  # characters of a wrong command that an answer repeats


def echo(text: str) -> str:
    """Return what a user has written, cut to a length and quoted, so that it acts on no terminal."""
    return repr(text if len(text) <= _ECHO_MAX else text[:_ECHO_MAX] + "…")
