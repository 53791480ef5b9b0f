"""Verbs that say what there is and what happens: ls, who, events."""

from __future__ import annotations

import time

from oobconsole.access import Right
from oobconsole.console.console import Console
from oobconsole.events import Event, Kind
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request
from oobconsole.terminal.plain import PlainLines
from oobconsole.terminal.text import plain

#: What is looked at for a console's last line, in bytes; more when there is no text in it, but colours, or blanks.
#: The guest decides what it costs: up to some milliseconds, of control sequences that nothing can be made of.
_LAST_SEEN = (1024, 8192)
#: So much of it is shown, in characters.
_LAST_SHOWN = 120


def text_from(console: Console, offset: int, end: int | None = None) -> str:
    """Everything from that offset on, or up to another, as lines of plain text: nothing of a string that it cuts."""
    lines = PlainLines()
    lines.resume(console.before(offset), console.clock(offset - 1))
    printed = console.read_from(offset, (console.end if end is None else end) - offset)
    return "".join([lines.feed(data, now) for now, data in console.divided(printed)])


def last_line(console: Console) -> str:
    """The last line that is not empty, as plain text."""
    for size in _LAST_SEEN:
        for line in reversed(text_from(console, max(console.start, console.end - size)).split("\n")):
            if shown := plain(line).strip():
                return shown[:_LAST_SHOWN]
        if console.end - console.start <= size:
            break
    return ""


def _idle(console: Console) -> float | None:
    return None if console.printed_at is None else time.monotonic() - console.printed_at


def shown_idle(console: Console) -> str:
    """How long ago the guest printed last, in a few characters."""
    seconds = _idle(console)
    if seconds is None:
        return "never"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


async def handle_ls(request: Request) -> ExitStatus:
    """The consoles at which the user has any right."""
    found = request.consoles.visible(request.who)
    if request.args.json:
        return await request.print_json(_row(request, console, machine) for console, machine in found)
    if not found:
        await request.peer.tell(
            "there is no console at which you have any right; a [[grant]] of the server gives them"
        )
        return ExitStatus.OK
    width = max(len("CONSOLE"), *(len(console.name) for console, _ in found))
    lines = [f"{'CONSOLE':<{width}}  STATE    ATTACHED  KEYBOARD    OUTPUT  MACHINE     LAST LINE"]
    for console, machine in found:
        row = _row(request, console, machine)
        lines.append(
            f"{console.name:<{width}}  {row['state']:<7}  {row['attached']:>8}  {row['keyboard'] or '-':<10}  "
            f"{shown_idle(console):>6}  {machine:<10}  {row['last_line']}".rstrip()
        )
    for console, _ in found:
        if reason := request.consoles.vitals.unrecorded.get(console.name):
            await request.peer.tell(f"{console.name} is not recorded: {reason}")
    return await request.print(lines)


def _row(request: Request, console: Console, machine: str) -> dict[str, str | int | float | None]:
    room = request.consoles.room(console)
    idle = _idle(console)
    may_read = room.may(request.who, Right.WATCH)
    return {
        "console": console.name,
        "state": console.state.name.lower(),
        "reason": console.reason,
        "machine": machine,
        "attached": console.attached,
        "keyboard": room.holder.who.name if room.holder else "",
        "idle_s": None if idle is None else round(idle, 3),
        "offset": console.end,
        "unrecorded": request.consoles.vitals.unrecorded.get(console.name, ""),
        "last_line": last_line(console) if may_read else "",
    }


async def handle_who(request: Request) -> ExitStatus:
    """Everybody at the consoles that the user may watch."""
    rooms = [
        room
        for console, _ in request.consoles.visible(request.who)
        if (room := request.consoles.room(console)).may(request.who, Right.WATCH)
    ]
    if request.args.json:
        return await request.print_json(
            {
                "console": room.console.name,
                "user": member.who.name,
                "address": member.who.address,
                "role": room.role(member),
                "keyboard": room.holder is member,
                "since_s": round(time.monotonic() - member.since, 3),
            }
            for room in rooms
            for member in room.members
        )
    return await request.print(f"{room.console.name}  {line}" for room in rooms for line in room.who())


async def handle_events(request: Request) -> ExitStatus:
    """What happens at the consoles that the user may watch, until the client leaves."""

    def may_see(event: Event) -> bool:
        if request.who.local:
            return True
        if event.kind is Kind.LOST:
            return True
        return bool(event.console) and request.consoles.access.may(request.who, Right.WATCH, event.console)

    async def show() -> ExitStatus:
        with request.consoles.events.subscribe() as events:
            while True:
                event = await events.next()
                if may_see(event):
                    await (
                        request.print_json([event.as_dict()]) if request.args.json else request.print([words(event)])
                    )

    async def gone() -> ExitStatus:
        await request.peer.gone()
        return ExitStatus.OK

    async def stopped() -> ExitStatus:
        await request.consoles.stopping.wait()
        await request.peer.tell("the console server stops")
        return ExitStatus.FAILED

    return await first_done(show(), gone(), stopped())


def words(event: Event) -> str:
    """An event, for a person."""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
    about = " ".join(f"{key}={value!r}" for key, value in event.detail.items())
    who = event.who.name if event.who else "-"
    return f"{when}  {event.kind:<14}  {event.console or '-':<12}  {who:<12}  {about}".rstrip()
