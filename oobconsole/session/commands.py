"""What stands after `ssh host`: validated first, then done."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from oobconsole.console.console import Console
from oobconsole.session import session
from oobconsole.session.session import ExitStatus, Peer
from oobconsole.session.state import Consoles
from oobconsole.session.tui.menu import Terminal, choose

USAGE = "usage: ssh -t HOST CONSOLE (attach), ssh HOST CONSOLE (pipe), ssh HOST ls (list), ssh HOST (menu)"


class UsageError(Exception):
    """A command that cannot be done as it stands, in one sentence."""


@dataclass(frozen=True)
class Attach:
    """Attach to a console."""

    console: Console


@dataclass(frozen=True)
class List:
    """List the consoles."""


@dataclass(frozen=True)
class Menu:
    """Let the user choose."""


def parse(command: str | None, consoles: Consoles) -> Attach | List | Menu:
    """Understand a command line.

    Raises:
        UsageError: with what is wrong and what would be right.
    """
    try:
        words = shlex.split(command or "")
    except ValueError as error:
        raise UsageError(f"{command!r}: {error}") from error
    if not words:
        return Menu()
    if len(words) > 1:
        raise UsageError(f"'{words[0]}' takes no arguments. {USAGE}")
    if words[0] == "ls":
        return List()
    if words[0] == "help":
        raise UsageError(USAGE)
    console = consoles.find(words[0])
    if console is None:
        raise UsageError(f"there is no console {words[0]!r}; 'ssh HOST ls' lists them")
    return Attach(console)


async def run(command: str | None, peer: Peer, terminal: Terminal | None, consoles: Consoles) -> ExitStatus:
    """Do a command; `terminal` is the user's, when there is one."""
    try:
        action = parse(command, consoles)
    except UsageError as error:
        await peer.tell(str(error))
        return ExitStatus.USAGE
    if isinstance(action, List):
        return await _handle_list(peer, terminal, consoles)
    if isinstance(action, Attach):
        return await _handle_attach(action.console, peer, terminal, consoles)
    return await _handle_menu(peer, terminal, consoles)


async def _handle_list(peer: Peer, terminal: Terminal | None, consoles: Consoles) -> ExitStatus:
    newline = "\r\n" if terminal else "\n"
    width = max(len("CONSOLE"), *(len(row[0]) for row in consoles.rows()))
    lines = [f"{'CONSOLE':<{width}}  STATE    ATTACHED  MACHINE"]
    lines += [f"{n:<{width}}  {s:<7}  {a:>8}  {m}" for n, s, a, m in consoles.rows()]
    await peer.write((newline.join(lines) + newline).encode())
    return ExitStatus.OK


async def _handle_attach(console: Console, peer: Peer, terminal: Terminal | None, consoles: Consoles) -> ExitStatus:
    if terminal is None:
        return await session.pipe(console, peer, consoles)
    return await session.attend(console, peer, consoles)


async def _handle_menu(peer: Peer, terminal: Terminal | None, consoles: Consoles) -> ExitStatus:
    if terminal is None:
        await _handle_list(peer, None, consoles)
        await peer.tell(USAGE)
        return ExitStatus.USAGE
    while (name := await choose(terminal, consoles.rows)) is not None:
        console = consoles.find(name)
        if console is not None:
            await session.attend(console, peer, consoles)
    return ExitStatus.OK
