"""What stands after `ssh host`: validated first, then done."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

from oobconsole.access import Principal
from oobconsole.console.console import Console
from oobconsole.session import session
from oobconsole.session.session import ExitStatus, Peer
from oobconsole.session.state import Consoles
from oobconsole.session.tui.menu import choose
from oobconsole.session.tui.terminal import Terminal

USAGE: Final = (
    "usage: ssh -t HOST CONSOLE (attach), ssh HOST CONSOLE (byte pipe), ssh HOST ls (list), ssh -t HOST (menu)"
)
_ECHO_MAX: Final = 64  # characters of a wrong command that an answer repeats


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
class Help:
    """Say what there is."""


@dataclass(frozen=True)
class Menu:
    """Let the user choose."""


Action = Attach | List | Help | Menu
_VERBS: Final[dict[str, Action]] = {"ls": List(), "help": Help()}


def parse(command: str | None, consoles: Consoles) -> Action:
    """Understand a command line.

    Raises:
        UsageError: with what is wrong and what would be right.
    """
    try:
        words = shlex.split(command or "")
    except ValueError as error:
        raise UsageError(f"{_echo(command or '')} cannot be understood: {error}") from error
    if not words:
        return Menu()
    action = _VERBS.get(words[0])
    if action is None:
        console = consoles.find(words[0])
        if console is None:
            raise UsageError(f"there is no console {_echo(words[0])}; 'ssh HOST ls' lists them")
        action = Attach(console)
    if len(words) > 1:
        raise UsageError(f"{_echo(words[0])} takes no arguments; {USAGE}")
    return action


def _echo(text: str) -> str:
    return repr(text if len(text) <= _ECHO_MAX else text[:_ECHO_MAX] + "…")


async def run(
    command: str | None, peer: Peer, terminal: Terminal | None, consoles: Consoles, who: Principal
) -> ExitStatus:
    """Do a command of `who`; `terminal` is the user's, when there is one."""
    try:
        action = parse(command, consoles)
    except UsageError as error:
        await peer.tell(str(error))
        return ExitStatus.USAGE
    match action:
        case Attach(console):
            attach = session.pipe if terminal is None else session.attend
            return await attach(console, peer, consoles)
        case List():
            return await _handle_list(peer, terminal, consoles)
        case Help():
            return await _print([USAGE], peer, terminal)
        case Menu():
            return await _handle_menu(peer, terminal, consoles)


async def _handle_list(peer: Peer, terminal: Terminal | None, consoles: Consoles) -> ExitStatus:
    rows = consoles.rows()
    width = max(len("CONSOLE"), *(len(row[0]) for row in rows))
    lines = [f"{'CONSOLE':<{width}}  STATE    ATTACHED  MACHINE"]
    lines += [f"{name:<{width}}  {state:<7}  {attached:>8}  {machine}" for name, state, attached, machine in rows]
    return await _print(lines, peer, terminal)


async def _handle_menu(peer: Peer, terminal: Terminal | None, consoles: Consoles) -> ExitStatus:
    if terminal is None:
        await _handle_list(peer, None, consoles)
        await peer.tell(USAGE)
        return ExitStatus.USAGE
    status = ExitStatus.OK
    while status is ExitStatus.OK and (name := await choose(terminal, consoles.rows, consoles.stopping)) is not None:
        console = consoles.find(name)
        if console is not None:
            status = await session.attend(console, peer, consoles)
    if status is ExitStatus.OK and consoles.stopping.is_set():
        await peer.tell("the console server stops")
        return ExitStatus.FAILED
    return status


async def _print(lines: list[str], peer: Peer, terminal: Terminal | None) -> ExitStatus:
    newline = "\r\n" if terminal else "\n"  # nothing between us and a terminal adds the return
    await peer.write("".join(line + newline for line in lines).encode())
    return ExitStatus.OK
