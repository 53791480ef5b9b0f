"""Carries out what stands behind `ssh HOST`, or behind the local `oobconsole`, once it is understood."""

from __future__ import annotations

from typing import Final

from oobconsole.access import Principal, Right
from oobconsole.events import Kind
from oobconsole.session.parsing import WORDS_LENGTH_MAX, WORDS_MAX, understand
from oobconsole.session.request import Denied, ExitStatus, Peer, Request, UsageError, echo
from oobconsole.session.services import Services
from oobconsole.session.tui.terminal import Terminal
from oobconsole.session.verbs import load
from oobconsole.terminal.text import is_plain
from oobconsole.verbs import VERBS

_SHOWN_MAX: Final = 64  # characters of a first word that nobody knows, in the log

#: Every verb's file is imported when the server starts, so that no user waits for it.
_IMPLEMENTATIONS: Final = {name: load(verb) for name, verb in VERBS.items()}


async def run(
    command: str | None, peer: Peer, terminal: Terminal | None, services: Services, who: Principal
) -> ExitStatus:
    """Carry out a command. Returns the exit status. If the command is wrong or forbidden, the peer is told.

    Args:
        command: the command line; None: there is none, which means the menu.
        peer: the client.
        terminal: the client's terminal; None: there is none.
        services: what the server gives to sessions.
        who: the user.
    """

    async def run_another(other: str, heard: Peer) -> ExitStatus:
        return await run(other, heard, terminal, services, who)

    try:
        verb, args = await understand(command, local=who.local)
        request = Request(args, peer, terminal, services, who, verb, run_another)
        _require_server_user(request)
        return await _IMPLEMENTATIONS[verb.name].handle(request)
    except UsageError as error:
        await peer.tell(_no_shell(command or "", services, who) or str(error))
        return ExitStatus.USAGE
    except Denied as error:
        await peer.tell(str(error))
        return ExitStatus.DENIED


def _require_server_user(request: Request) -> None:
    """Raise `Denied` if the verb is one for the server's own user, and this user is another."""
    verb, who = request.verb, request.who
    if verb.server_user and not who.local:
        request.services.events.emit(Kind.DENIED, who=who, verb=verb.spoken)
        raise Denied(f"'{verb.spoken}' is for the server's own user: 'oobconsole {verb.spoken}' on its host")


def described(command: str | None, services: Services) -> str:
    """Return a command as the log shows it: its verb and its console. What `send` types is nobody else's business.

    A verb that reads recordings may name a console that is gone. No other command looks for recordings here, because
    the disk may be slow.
    """
    words = (command or "menu")[:WORDS_LENGTH_MAX].split()[:WORDS_MAX]
    if not words:
        return ""
    first, *rest = words
    verb = VERBS.get(first)
    if verb is None:
        return f"attach {first}" if services.directory.find(first) is not None else first[:_SHOWN_MAX]
    known = services.knows if verb.right is Right.LOG else services.directory.find
    return f"{first} {next(filter(known, rest), '')}".rstrip()


def _no_shell(command: str, services: Services, who: Principal) -> str:
    """Return what to tell scp, rsync, mosh, and everybody else who wants a shell to do something. Empty: the command
    is not of that kind."""
    first, _, rest = command[:WORDS_LENGTH_MAX].strip().partition(" ")
    is_console = services.directory.find(first) is not None and bool(services.access.rights(who, first))
    if not rest or not is_plain(first) or "'" in first or first in VERBS or is_console:
        return ""
    return f"there is no shell here, and no command or console {echo(first)}; 'help' lists the commands"
