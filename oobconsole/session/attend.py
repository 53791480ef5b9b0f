"""A person at a console: the screen as it is, live output, the keyboard's rules, and the escape keys."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from oobconsole.console.console import NOBODY, Console
from oobconsole.console.reader import Notice, Reader
from oobconsole.errors import LineFault
from oobconsole.events import Kind
from oobconsole.session import switch
from oobconsole.session.escape import HOLD_SECONDS, Command, EscapeFilter, Typed
from oobconsole.session.pipe import END_SECONDS, first_done, gather, type_in
from oobconsole.session.prompt import Keys
from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.room import Member
from oobconsole.session.safe import SafeFilter, slices
from oobconsole.terminal.restore import Lent

#: A notice waits at most so long, in seconds, for the guest to finish a character or an escape sequence.
WHOLE_SECONDS: Final = 0.2
#: So long, in seconds, a break waits for the guest to read what was typed before it.
BREAK_SECONDS: Final = 5.0


class Attended:
    """One person's session.

    Args:
        offset: where output begins; None: with the screen as it is.
        watch: without the keyboard.
        raw: nothing is kept from the terminal.
    """

    def __init__(self, request: Request, console: Console, *, offset: int | None, watch: bool, raw: bool) -> None:
        self._request = request
        self._console = console
        self._peer = request.peer
        self._room = request.consoles.room(console)
        self._offset = offset
        self._watch = watch
        self._filter = SafeFilter()
        self._filtered = console.settings.filter and not raw
        self._prefix = console.settings.escape
        self._told_watching = False
        self._keys = Keys(request.peer, self._say)
        self._at_rest = asyncio.Event()
        self._lent = Lent(filtered=self._filtered)

    async def run(self) -> ExitStatus:
        """To its end: `~.`, the end of input, a right taken away, or the server's stop."""
        drawing = b""
        terminal = self._request.terminal
        if self._offset is None:
            size = terminal.size() if terminal else (0, 0)
            self._offset, drawing = await self._request.consoles.screen(self._console).redraw(*size)
        self._reader: Reader = self._console.attach(self._offset)
        self._member: Member = self._room.join(self._request.who, self._reader, watch=self._watch)
        try:
            if terminal is not None:
                terminal.lend(self._lent.restored)
            await self._print(drawing)
            await self._peer.tell(self._welcome())
            return await first_done(self._show(), self._type(), self._breaks(), self._hung_up(), self._ended())
        finally:
            self._restore()
            self._room.leave(self._member)
            self._reader.close()

    def _welcome(self) -> str:
        console, holder, prefix = self._console, self._room.holder, self._prefix
        why = f" ({console.reason})" if console.state in NOBODY else ""
        about = [f"{console.name} is {console.state.name.lower()}{why}"]
        others = len(self._room.members) - 1
        if others:
            about.append(f"{others} more attached")
        if self._room.may_type(self._member):
            about.append("shared" if self._room.shared else "you have the keyboard")
        elif holder is not None and not self._watch:
            about.append(f"{holder.who.name} has the keyboard")
        else:
            about.append("you watch")
        return ", ".join(about) + (f"; {self._leaving()} detaches, {prefix}h helps" if prefix else "")

    def _leaving(self) -> str:
        """The keys that detach at this client. OpenSSH's has escapes of its own: it keeps a `~` behind Enter, and
        its own `~.` would leave the terminal as the guest has made it; of `~~` it sends one. That it was started with
        `-e none` cannot be known."""
        keys = f"{self._prefix}."
        terminal = self._request.terminal
        if terminal is not None and terminal.client.startswith("OpenSSH_") and keys.startswith("~"):
            return f"~{keys} (with ssh -e none: {keys})"
        return keys

    # -- output -------------------------------------------------------------------------------------

    async def _show(self) -> ExitStatus:
        while True:
            try:
                item = await self._reader.next()
            except EOFError:
                return ExitStatus.FAILED
            if isinstance(item, Notice):
                await self._between_sequences()
                if item.kind == "end":
                    self._restore()
                await self._peer.tell(item.text)
            else:
                await self._print(item)
                await gather(item)

    async def _print(self, data: bytes) -> None:
        async for part in slices(data):
            await self._print_slice(part)

    async def _print_slice(self, data: bytes) -> None:
        shown = self._filter.feed(data, time.monotonic())
        shown = shown if self._filtered else data
        self._lent.feed(shown)
        if self._filter.at_rest:
            self._at_rest.set()
        else:
            self._at_rest.clear()
        await self._peer.write(shown)

    async def _say(self, text: str) -> None:
        """Tell something beside the output: where it spoils no sequence of the guest's."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WHOLE_SECONDS):
                while not self._filter.at_rest:
                    await self._at_rest.wait()
        await self._peer.tell(text)

    def _restore(self) -> None:
        """Give the terminal back as a shell wants it, whatever the guest has made of it. Idempotent."""
        if self._request.terminal is not None:
            self._request.terminal.give_back()

    async def _between_sequences(self) -> None:
        """Let the guest finish what it has begun: a notice inside of a sequence would spoil both."""
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                while not self._filter.at_rest:
                    item = await self._reader.next(16)
                    if isinstance(item, Notice):
                        await self._peer.tell(item.text)
                    else:
                        await self._print(item)
        except (TimeoutError, EOFError):
            pass  # the sequence may never end; what comes next is shown all the same

    async def _hung_up(self) -> ExitStatus:
        await self._peer.gone()
        return ExitStatus.OK

    async def _ended(self) -> ExitStatus:
        reason = await self._member.ended
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                self._restore()
                await self._say(reason)
        return ExitStatus.FAILED

    # -- input --------------------------------------------------------------------------------------

    async def _type(self) -> ExitStatus:
        escape = EscapeFilter(self._prefix.encode())
        while (typed := await self._next(escape)) is not None:
            guest, command, rest = typed
            if guest:
                await self._to_guest(guest)
            self._keys.put_back(rest)
            if command is Command.DETACH:
                self._peer.put_back(self._keys.rest())  # for the menu, if that is where we go back to
                self._restore()
                await self._say(f"detached from {self._console.name}")
                return ExitStatus.OK
            if command is not None:
                await self._do(command)
                await self._reports()
        return ExitStatus.OK

    async def _next(self, escape: EscapeFilter) -> Typed | None:
        """What is typed next, or that a command stands alone; None at the end of input."""
        try:
            async with asyncio.timeout(HOLD_SECONDS if escape.holds else None):
                data = await self._keys.read()
        except TimeoutError:
            return escape.expire()
        return escape.feed(data, time.monotonic()) if data else None

    async def _breaks(self) -> ExitStatus:
        """The client's own way to send one."""
        while self._request.terminal is not None:
            await self._request.terminal.break_wanted()
            await self._break()
        return await self._hung_up()

    async def _reports(self) -> None:
        """What the terminal itself answered to the guest while we asked its user something."""
        reports = self._keys.take_reports()
        if reports:
            await type_in(self._room, self._member, reports)

    async def _to_guest(self, data: bytes) -> None:
        if await type_in(self._room, self._member, data):
            self._told_watching = False
        elif not self._told_watching:
            self._told_watching = True
            how = f": {self._prefix}r, then k, asks for the keyboard" if self._prefix else ""
            await self._say(f"you watch, and what you type goes nowhere{how}")

    async def _do(self, command: Command) -> None:
        match command:
            case Command.HELP:
                await self._help()
            case Command.BREAK:
                await self._break()
            case Command.SYSRQ:
                await self._sysrq()
            case Command.WHO:
                await self._say("\n".join(self._room.who()))
            case Command.MESSAGE:
                await self._message()
            case Command.ROLE:
                await self._role()
            case Command.POWER:
                await self._power()
            case Command.LAST:
                await self._last()
            case Command.SIZE:
                await self._size()

    # -- the escape keys ----------------------------------------------------------------------------

    async def _help(self) -> None:
        p = self._prefix
        await self._say(
            f"{p}.  detach       {p}{p[-1]}  send {p}      {p}h  this help  (after Enter)\n"
            f"{p}b  break        {p}s  SysRq key   {p}p  power: reset, NMI, off, on\n"
            f"{p}w  who is here  {p}m  message     {p}r  keyboard: watch, ask, hand over, take\n"
            f"{p}l  last lines   {p}z  type the terminal's size into the guest"
        )

    async def _may_act(self, what: str) -> bool:
        if self._room.may_type(self._member):
            return True
        await self._say(f"{what} needs the keyboard: {self._prefix}r, then k, asks for it")
        return False

    async def _break(self) -> None:
        if await self._may_act("a break"):
            failed = await self._send_break()
            self._emit(Kind.BREAK, sent=not failed)
            await self._say(failed or "break sent")

    async def _send_break(self, key: bytes = b"") -> str:
        """Returns why it was not sent."""
        console = self._console
        try:
            async with asyncio.timeout(BREAK_SECONDS):
                sent = await console.send_break(key, self._member.who)
        except TimeoutError:
            waiting = console.input_waiting
            if not waiting:
                return f"the line has not said in {BREAK_SECONDS:g} s whether the break was sent"
            return f"no break was sent: the guest has not read what was typed before ({waiting} bytes)"
        except LineFault as error:
            return f"no break was sent: {error}"
        return (
            "" if sent else f"no break was sent: {console.name} is {console.state.name.lower()}, or its line has none"
        )

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
        self._told_watching = False
        await self._say(action(self._member) if action else "nothing has changed")

    async def _power(self) -> None:
        await switch.ask(self._request.consoles, self._console, self._member.who, self._keys, self._say)

    async def _last(self) -> None:
        start = self._console.tail(self._request.consoles.tail_lines)
        chunk = self._console.read_from(start, self._console.end - start)
        text = SafeFilter(strict=True).feed(chunk.data).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        await self._say("the last lines:")
        await self._peer.write(text)
        await self._say("end of the last lines")

    async def _size(self) -> None:
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
        self._request.consoles.events.emit(kind, self._console.name, self._member.who, **detail)
