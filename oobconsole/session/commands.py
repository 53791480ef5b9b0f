"""What stands after `ssh HOST`, and after the local `oobconsole`: understood first, then done."""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, NoReturn

from oobconsole.access import Principal, Right
from oobconsole.session import history, listing, player, sending, status, switch, verbs_server, waiting
from oobconsole.session.attend import Attended
from oobconsole.session.pipe import Pipe
from oobconsole.session.request import Denied, ExitStatus, Handler, Peer, Request, UsageError, count, echo
from oobconsole.session.state import Consoles
from oobconsole.session.tui.terminal import Terminal
from oobconsole.session.visit import visit
from oobconsole.session.words import Joined, Words, divide
from oobconsole.terminal.text import escaped, is_plain

#: A command line may be this long, in characters: `send` carries text.
COMMAND_MAX: Final = 65536
#: One without a text, in characters and in words: argparse needs the square of their number.
WORDS_LENGTH_MAX: Final = 4096
WORDS_MAX: Final = 64
_ERROR_MAX: Final = 500
_SHOWN_MAX: Final = 64  # characters of a first word that nobody knows, in the log


class _Parser(argparse.ArgumentParser):
    """argparse, without printing and exiting.

    Attributes:
        takes_value: of each option, by its name.
    """

    def __init__(self, **options: Any) -> None:
        self.takes_value: dict[str, bool] = {}
        super().__init__(**options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        action = super().add_argument(*names, **options)
        self.takes_value |= dict.fromkeys(action.option_strings, action.nargs != 0)
        return action

    def error(self, message: str) -> NoReturn:
        usage = " ".join(self.format_usage().removeprefix("usage: ").split())  # argparse breaks its lines
        raise UsageError(f"{message}; usage: {usage}")


@dataclass(frozen=True)
class Verb:
    """One command.

    Attributes:
        summary: what it does, in a line.
        arguments: adds its arguments to a parser.
        handle: does it.
        text: its last argument is a text, to the end of the line (words.py).
        options_behind: may stand between the console's name and the text, too.
    """

    summary: str
    arguments: Callable[[argparse.ArgumentParser], object]
    handle: Handler
    text: bool = False
    options_behind: bool = False


def _nothing(parser: argparse.ArgumentParser) -> None:
    """No arguments."""


def _console(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("console", metavar="CONSOLE")


def _attach(parser: argparse.ArgumentParser) -> None:
    _console(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--lines", type=count, metavar="N", help="begin with the last N lines")
    where.add_argument("--from-start", action="store_true", help="begin with the oldest output that is kept")
    where.add_argument("--from", type=count, metavar="OFFSET", dest="offset", help="begin at an absolute offset")
    parser.add_argument(
        "--force", action="store_true", help="end another program that has the line open, such as virsh console"
    )
    parser.add_argument("--raw", action="store_true", help="no screen, no filter: bytes as they are")
    parser.add_argument("--json-notices", action="store_true", help="notices as JSON on standard error")


def _json(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _ls(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    _json(how)
    how.add_argument("--names", action="store_true", help="only their names, one a line")


async def _handle_attach(request: Request) -> ExitStatus:
    return await _begin(request, watch=False)


async def _handle_watch(request: Request) -> ExitStatus:
    return await _begin(request, watch=True)


async def _begin(request: Request, *, watch: bool) -> ExitStatus:
    console, args = request.console(Right.WATCH), request.args
    if args.force:
        request.console(Right.FORCE)
        request.consoles.room(console).take_line(request.who)
    offset = args.offset
    if args.from_start:
        offset = console.start
    elif args.lines is not None:
        offset = console.tail(args.lines)
    elif args.raw and offset is None:
        offset = console.end
    if request.terminal is not None:
        return await Attended(request, console, offset=offset, watch=watch, raw=args.raw).run()
    return await Pipe(request, console, offset=offset, watch=watch, as_json=args.json_notices).run()


async def _handle_help(request: Request) -> ExitStatus:
    verb = request.args.verb
    if verb is None:
        width = max(map(len, VERBS))
        lines = [f"  {name:<{width}}  {known.summary}" for name, known in VERBS.items()]
        return await request.print(
            ["ssh HOST CONSOLE is short for ssh HOST attach CONSOLE, ssh -t HOST for ssh -t HOST menu", *lines]
        )
    if verb not in VERBS:
        raise UsageError(f"there is no command {echo(verb)}; 'help' lists them")
    return await request.print(_parser(verb).format_help().strip().split("\n"))


def _help(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("verb", nargs="?", metavar="COMMAND")


async def _handle_menu(request: Request) -> ExitStatus:
    if request.terminal is None:
        await listing.handle_ls(replace(request, args=argparse.Namespace(json=False, names=False)))
        await request.peer.tell("for a menu: ssh -t HOST; 'help' lists the commands")
        return ExitStatus.USAGE

    async def run_in_menu(command: str, heard: Peer) -> ExitStatus:
        return await run(command, heard, request.terminal, request.consoles, request.who)

    return await visit(request, request.terminal, run_in_menu)


VERBS: Final[dict[str, Verb]] = {
    "menu": Verb("choose a console from a menu; what ssh -t HOST alone does, too", _nothing, _handle_menu),
    "attach": Verb("attach to a console, with the keyboard if it is free", _attach, _handle_attach),
    "watch": Verb("attach to a console, without the keyboard", _attach, _handle_watch),
    "ls": Verb("the consoles: state, who is attached, last activity", _ls, listing.handle_ls),
    "who": Verb("who is attached where, and who has the keyboard", _json, listing.handle_who),
    "events": Verb("what happens, as it happens", _json, listing.handle_events),
    "send": Verb("type a text into a guest", sending.send_arguments, sending.handle_send, text=True),
    "wait": Verb(
        "wait until a guest prints something",
        waiting.wait_arguments,
        waiting.handle_wait,
        text=True,
        options_behind=True,
    ),
    "power": Verb("reset a guest, switch it off or on, send an NMI", switch.power_arguments, switch.handle_power),
    "reload": Verb("read the server's configuration again", _nothing, verbs_server.handle_reload),
    "audit": Verb("the audit log's last number and hash", verbs_server.audit_arguments, verbs_server.handle_audit),
    "log": Verb("what a guest printed, and who typed what", history.log_arguments, history.handle_log),
    "replay": Verb("what a guest printed, as it came", player.replay_arguments, player.handle_replay),
    "search": Verb(
        "look for a pattern in what a guest printed",
        history.search_arguments,
        history.handle_search,
        text=True,
        options_behind=True,
    ),
    "status": Verb("how the server does", _json, status.handle_status),
    "help": Verb("what a command does, and its options", _help, _handle_help),
}

_PARSERS: Final = ThreadPoolExecutor(2, thread_name_prefix="commands")
_FIRST: Final = re.compile(rf"({'|'.join(VERBS)})(?:[ \t\r\n]|$)")


def _parser(verb: str) -> _Parser:
    parser = _Parser(prog=verb, add_help=False, allow_abbrev=False, description=VERBS[verb].summary)
    VERBS[verb].arguments(parser)
    return parser


def parse(command: str | None, *, local: bool = False) -> tuple[str, argparse.Namespace]:
    """Understand a command line; none at all is the menu.

    Args:
        local: its words are quoted one by one; ssh has joined those of its user.

    Raises:
        UsageError: with what is wrong and what would be right.
    """
    line = (command or "").lstrip(" \t\r\n")
    if len(line) > COMMAND_MAX:
        raise UsageError(f"a command has at most {COMMAND_MAX} characters; this one has {len(line)}")
    first = _FIRST.match(line)
    try:
        if first is not None and VERBS[first[1]].text:
            return first[1], _parse_text(first[1], line[first.end() :], local=local)
        return _parse_words(line)
    except UsageError as error:
        text = str(error)
        text = text if len(text) <= _ERROR_MAX else text[:_ERROR_MAX] + "…"
        raise UsageError(escaped(text.replace("\t", " "))) from error


def _parse_text(verb: str, line: str, *, local: bool) -> argparse.Namespace:
    parser = _parser(verb)
    divided = divide(Words(line) if local else Joined(line), parser.takes_value, behind=VERBS[verb].options_behind)
    return parser.parse_args(divided.for_argparse())


def _parse_words(line: str) -> tuple[str, argparse.Namespace]:
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
    verb, rest = (words[0], words[1:]) if words[0] in VERBS else ("attach", words)
    if VERBS[verb].text:
        raise UsageError(f"{verb} is to be written without quotes: what is behind it is taken as it stands")
    return verb, _parser(verb).parse_args(rest)


def described(command: str | None, is_console: Callable[[str], bool]) -> str:
    """A command for the log: its verb and its console. What is typed by `send` is nobody else's business."""
    words = (command or "menu")[:WORDS_LENGTH_MAX].split()
    console = next((word for word in words[:WORDS_MAX] if is_console(word)), "")
    if not words or words[0] in VERBS:
        return " ".join(filter(None, (*words[:1], console)))
    return f"attach {console}" if words[0] == console else words[0][:_SHOWN_MAX]


async def _understood(command: str | None, *, local: bool) -> tuple[str, argparse.Namespace]:
    """As `parse`. A pattern may take longer to be understood than the event loop can be held: it is beside it."""
    first = _FIRST.match((command or "").lstrip(" \t\r\n"))
    if first is None or not VERBS[first[1]].text:
        return parse(command, local=local)
    return await asyncio.get_running_loop().run_in_executor(_PARSERS, partial(parse, command, local=local))


async def run(
    command: str | None, peer: Peer, terminal: Terminal | None, consoles: Consoles, who: Principal
) -> ExitStatus:
    """Do a command of `who`; `terminal` is the user's, when there is one."""
    try:
        verb, args = await _understood(command, local=who.local)
        return await VERBS[verb].handle(Request(args, peer, terminal, consoles, who))
    except UsageError as error:
        await peer.tell(_no_shell(command or "", consoles, who) or str(error))
        return ExitStatus.USAGE
    except Denied as error:
        await peer.tell(str(error))
        return ExitStatus.DENIED


def _no_shell(command: str, consoles: Consoles, who: Principal) -> str:
    """What to tell scp, rsync, mosh, and whoever else wants a shell to do something; empty: nobody does."""
    first, _, rest = command[:WORDS_LENGTH_MAX].strip().partition(" ")
    is_console = consoles.find(first) is not None and bool(consoles.access.rights(who, first))
    if not rest or not is_plain(first) or "'" in first or first in VERBS or is_console:
        return ""
    return f"there is no shell here, and no command or console {echo(first)}; 'help' lists the commands"
