"""What the escape keys of a person at a console do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from oobconsole.console.console import Console, ConsoleState
from oobconsole.console.reader import Notice
from oobconsole.errors import LineFault
from oobconsole.events import Kind
from oobconsole.session import switch
from oobconsole.session.escape import Command
from oobconsole.session.lastline import text_from
from oobconsole.session.notices import Notices
from oobconsole.session.pipe import type_in
from oobconsole.session.prompt import Keys
from oobconsole.session.request import Request
from oobconsole.session.room import Member, Room
from oobconsole.session.when import begins

#: For how many seconds a break waits until the guest has read what was typed before it, and until a broken link is
#: there again.
BREAK_SECONDS: Final = 5.0
#: How many bytes of the output `~l` looks at. A guest need not ever end a line.
LAST_MAX: Final = 65536


class Actions:
    """The escape keys of one person at one console.

    Args:
        request: what the person has asked for.
        console: the console.
        room: the people at the console.
        member: the person, in that room.
        notices: where answers are shown.
        keys: what the person types.
    """

    def __init__(
        self, request: Request, console: Console, room: Room[Console], member: Member, notices: Notices, keys: Keys
    ) -> None:
        self._request = request
        self._console = console
        self._room = room
        self._member = member
        self._notices = notices
        self._keys = keys
        self._prefix = console.settings.escape
        self._do: dict[Command, Callable[[], Awaitable[object]]] = {
            Command.HELP: self._help,
            Command.BREAK: self.send_break,
            Command.SYSRQ: self._sysrq,
            Command.WHO: self._who,
            Command.MESSAGE: self._message,
            Command.ROLE: self._role,
            Command.POWER: self._power,
            Command.LAST: self._last,
            Command.SIZE: self._size,
            Command.DRAW: self._draw,
        }

    async def do(self, command: Command) -> None:
        """Do what the key says. Then type what the terminal itself has sent for the guest meanwhile."""
        await self._do[command]()
        reports = self._keys.take_reports()
        if reports:
            await type_in(self._room, self._member, reports)

    async def _say(self, text: str) -> None:
        await self._notices.say(text, asked=True)

    async def _help(self) -> None:
        p = self._prefix
        await self._say(
            f"{p}.  detach       {p}{p[-1]}  send {p}      {p}h  this help  (after Enter)\n"
            f"{p}b  break        {p}s  SysRq key   {p}p  power: reset, NMI, off, on\n"
            f"{p}w  who is here  {p}m  message     {p}r  keyboard: watch, ask, hand over, take\n"
            f"{p}l  last lines   {p}d  draw anew   {p}z  type the terminal's size into the guest"
        )

    async def _who(self) -> None:
        await self._say("\n".join(self._room.who()))

    async def _draw(self) -> None:
        """Have the screen drawn again, behind the output that has come so far."""
        self._member.reader.wake(Notice("", "redraw"))

    def _may_type(self) -> bool:
        return self._room.may_type(self._member)

    async def _may_act(self, what: str) -> bool:
        """Return whether the person has the keyboard. If not, say how to ask for it."""
        if self._may_type():
            return True
        await self._say(f"{what} needs the keyboard: {self._prefix}r, then k, asks for it")
        return False

    async def send_break(self, *, late: bool = False) -> bool:
        """Send a break if the user has the keyboard. Says, and returns, whether the break was sent.

        Args:
            late: the client was told already that the break is not sent, because what was typed before it had to wait
                for too long.
        """
        if not await self._may_act("a break"):
            return False
        failed = self._why_no_break() if late else await self._send_break()
        self._emit(Kind.BREAK, sent=not failed)
        await self._say(failed or "break sent")
        return not failed

    async def _send_break(self, key: bytes = b"") -> str:
        """Send a break, and then `key`. Returns why it was not sent, in words; empty: it was sent."""
        console = self._console
        try:
            async with asyncio.timeout(BREAK_SECONDS):
                sent = await console.send_break(key, self._member.who, self._may_type)
        except TimeoutError:
            return self._why_no_break()
        except LineFault as error:
            return f"no break was sent: {error}"
        if sent:
            return ""
        if not self._may_type():
            return "no break was sent: you do not have the keyboard any more"
        why = console.refuses or f"{console.name} is {console.state.name.lower()}, or its line has none"
        return f"no break was sent: {why}"

    def _why_no_break(self) -> str:
        """Return why no break was sent within `BREAK_SECONDS`, in words. It will not be sent later, either."""
        console = self._console
        if console.break_unanswered:
            return f"the line has not said in {BREAK_SECONDS:g} s whether the break was sent"
        if console.state is ConsoleState.AWAY:
            return f"no break was sent: {console.reason}"
        if not console.takes_input:
            return f"no break was sent: {console.name} takes no input now"
        waiting = f" ({console.input_waiting} bytes)" if console.input_waiting else ""
        return f"no break was sent: the guest has not read what was typed before{waiting}"

    async def _sysrq(self) -> None:
        if not await self._may_act("SysRq"):
            return
        key = await self._keys.ask("SysRq key (h lists them, Escape cancels)", alone=True)
        if not key.isalnum() or not await self._may_act("SysRq"):
            await self._say("no SysRq was sent")
            return
        failed = await self._send_break(key)
        self._emit(Kind.SYSRQ, key=key.decode(), sent=not failed)
        await self._say(failed or f"SysRq {key.decode()} sent")

    async def _message(self) -> None:
        text = await self._keys.ask_line("message to everybody here (Enter sends, Escape cancels):")
        if text:
            self._room.message(self._member, text)

    async def _role(self) -> None:
        holder = self._room.holder
        has = "the console is shared" if self._room.shared else "the keyboard is free"
        if holder is not None:
            has = "you have the keyboard" if holder is self._member else f"{holder.who.name} has the keyboard"
        key = await self._keys.ask(
            f"{has}: k ask for it, h hand it over, w only watch, f take it by force", b"khwf", alone=True
        )
        actions = {b"k": self._room.ask, b"h": self._room.hand_over, b"w": self._room.watch, b"f": self._room.force}
        action = actions.get(key)
        await self._say(action(self._member) if action else "nothing has changed")

    async def _power(self) -> None:
        await switch.ask(self._request.services, self._console, self._member.who, self._keys, self._say)

    async def _last(self) -> None:
        """Show the last lines of the output."""
        start, earliest = self._console.tail(self._request.services.tail_lines), self._console.end - LAST_MAX
        title = f"the last lines, of which the first {earliest - start} bytes are left out"
        text = await self._with_guests(max(start, earliest))
        await self._notices.show(title if start < earliest else "the last lines", text.rstrip("\n").split("\n"))

    async def _with_guests(self, start: int) -> str:
        """Return the text from that offset on, with a line of ours where another guest begins."""
        text, at = "", start
        for offset, when in self._console.begun:
            if offset >= start:
                text += await text_from(self._console, at, offset)
                at = offset
                text += ("\n" if text and not text.endswith("\n") else "") + begins(when) + "\n"
        return text + await text_from(self._console, at)

    async def _size(self) -> None:
        """Type a command into the guest's shell that tells it the terminal's size, if the person confirms that."""
        terminal = self._request.terminal
        rows, columns = terminal.size() if terminal else (0, 0)
        if not rows or not columns:
            await self._say("your terminal does not say how large it is")
            return
        line = f"stty rows {rows} columns {columns}"
        if not await self._may_act("typing"):
            return
        answer = await self._keys.ask(
            f"type '{line}' into the guest? y does it, at a shell's prompt only", b"y", alone=True
        )
        if answer != b"y" or not await type_in(self._room, self._member, f"{line}\r".encode()):
            await self._say("nothing was typed")

    def _emit(self, kind: Kind, **detail: str | bool) -> None:
        self._request.services.events.emit(kind, self._console.name, self._member.who, **detail)
