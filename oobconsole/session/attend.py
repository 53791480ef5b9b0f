"""A person at a console: the screen as it is, live output, the keyboard's rules, and the escape keys."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final

from oobconsole.console.console import NOBODY, Console
from oobconsole.console.reader import Notice, Reader
from oobconsole.session.actions import Actions
from oobconsole.session.escape import Command, EscapeFilter, Typed
from oobconsole.session.once import once
from oobconsole.session.pipe import END_SECONDS, first_done, gather, hung_up, type_at_once, type_in
from oobconsole.session.prompt import Keys
from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.room import Member
from oobconsole.session.screen_notices import notices_for
from oobconsole.session.when import begins
from oobconsole.session.within import within
from oobconsole.terminal.restore import scrolled_away

#: Which part of the time after which a held command counts has passed at most, if a key has come within it.
_WITHIN: Final = 0.99


class Attended:
    """The session of one person.

    Args:
        request: what the person asked for.
        console: the console.
        offset: where in the output it begins; None: with the screen as it is.
        watch: whether the person only watches, and does not want the keyboard.
        raw: whether nothing is kept from the terminal.
    """

    def __init__(self, request: Request, console: Console, *, offset: int | None, watch: bool, raw: bool) -> None:
        self._request = request
        self._console = console
        self._peer = request.peer
        self._terminal = request.terminal
        self._room = request.services.seats.room(console)
        self._offset = offset
        self._watch = watch
        self._prefix = console.settings.escape
        self._told_watching = False
        self._typing = asyncio.Lock()
        self._escape = EscapeFilter(self._prefix.encode())
        self._notices = notices_for(
            request.peer,
            request.terminal,
            self._want_redraw,
            once(console),
            filtered=console.settings.filter and not raw,
            raw=raw,
        )
        self._keys = Keys(request.peer, self._notices, f"{self._prefix}.".encode() if self._prefix else b"")

    async def run(self) -> ExitStatus:
        """Run the session to its end, which may be `~.`, the end of input, a lost right, or the server's stop."""
        drawing = b""
        if self._offset is None:
            self._offset, drawing = await self._drawing()
        elif self._notices.covers and self._terminal is not None:
            drawing = scrolled_away(self._terminal.size()[0])
        self._reader: Reader = self._console.attach(self._offset)
        self._member: Member = self._room.join(self._request.who, self._reader, watch=self._watch)
        self._actions = Actions(self._request, self._console, self._room, self._member, self._notices, self._keys)
        try:
            if self._terminal is not None:
                self._terminal.lend(self._notices.end)
                self._terminal.on_resize(self._notices.resized)
            await self._notices.begin(drawing, self._console.before(self._reader.position))
            await self._notices.welcome(self._welcome())
            return await first_done(
                self._show(), self._type(), self._breaks(), hung_up(self._peer), self._ended(), self._notices.run()
            )
        finally:
            self._give_back()
            self._room.leave(self._member, self._peer.why_gone)
            self._reader.close()

    def _welcome(self) -> str:
        console, holder, prefix = self._console, self._room.holder, self._prefix
        about = [f"{console.name} is {console.state.name.lower()}"]
        if console.state in NOBODY:
            about[0] += f" ({console.reason_now})"
        elif console.refuses:
            about.append(console.refuses)
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
        """Return the keys that detach from this client. OpenSSH's client has escape keys of its own: it keeps a `~`
        that follows Enter, and its own `~.` would leave the terminal as the guest has set it. For `~~` it sends one
        `~`. Whether it was started with `-e none` cannot be known."""
        keys = f"{self._prefix}."
        if self._terminal is not None and self._terminal.client.startswith("OpenSSH_") and keys.startswith("~"):
            return f"~{keys} (with ssh -e none: {keys})"
        return keys

    # -- output -------------------------------------------------------------------------------------

    async def _show(self) -> ExitStatus:
        while True:
            try:
                item = await self._reader.next(at_once=self._notices.output_at_once)
            except EOFError:
                return ExitStatus.FAILED
            if not isinstance(item, Notice):
                await self._notices.output(item)
                await gather(item)
            elif item.kind == "end":
                await self._leave(item.text)
            elif item.kind == "redraw":
                await self._redraw()
            elif item.kind == "state" and "offset" in item.detail:
                await self._begin_anew(item.text)
            elif self._request.may_know(item):
                await self._notices.say(item.text)
                await self._notices.welcome_again(self._welcome())

    async def _drawing(self) -> tuple[int, bytes]:
        """Return the bytes that draw the console's present screen on this terminal, and the offset up to which they
        show the output."""
        size = self._terminal.size() if self._terminal else (0, 0)
        return await self._request.services.seats.screen(self._console).redraw(*size)

    def _want_redraw(self) -> None:
        self._reader.wake(Notice("", "redraw"))

    async def _redraw(self) -> None:
        """Draw the guest's screen on the terminal, whatever it shows now."""
        offset, drawing = await self._drawing()
        self._reader.skip_to(offset)
        before = self._console.before(self._reader.position)
        await self._notices.begin(self._notices.lent.restored() + drawing, before)

    async def _begin_anew(self, text: str) -> None:
        """Begin with the empty screen of another guest. The old guest's screen scrolls out of the terminal, with a
        line behind it."""
        if self._notices.covers and self._terminal is not None:
            offset, drawing = await self._drawing()
            self._reader.skip_to(offset)
            line = f"\r\n{begins(time.time())}\r\n".encode()
            scrolled = scrolled_away(self._terminal.size()[0], line)
            await self._notices.begin(
                self._notices.lent.restored() + scrolled + drawing, self._console.before(self._reader.position)
            )
        else:
            self._notices.new_guest()
        await self._notices.say(text)

    # -- the end ------------------------------------------------------------------------------------

    def _give_back(self) -> None:
        """Give the terminal back as a shell wants it, whatever the guest has set. A second call does nothing."""
        if self._terminal is not None:
            self._terminal.on_resize(None)
            self._terminal.give_back()

    async def _leave(self, reason: str) -> None:
        """Give the terminal back, so that the last message is on the user's own screen."""
        self._give_back()
        await self._peer.tell(reason)

    async def _ended(self) -> ExitStatus:
        reason = await self._member.ended
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._leave(reason)
        return ExitStatus.FAILED

    # -- input --------------------------------------------------------------------------------------

    async def _type(self) -> ExitStatus:
        while (typed := await self._next()) is not None:
            command = typed.command
            if typed.guest:
                async with self._typing:
                    await self._to_guest(typed.guest)
            if typed.doubted:
                await self._doubt(typed.doubted)
            self._keys.put_back(typed.rest)
            if command is Command.DETACH:
                self._peer.put_back(self._keys.rest())  # for the menu, if that is where we go back to
                await self._leave(f"detached from {self._console.name}")
                return ExitStatus.OK
            if command is not None:
                self._told_watching = self._told_watching and command is not Command.ROLE
                await self._actions.do(command)
        return ExitStatus.OK

    async def _next(self) -> Typed | None:
        """Return what is typed next, or a command that nothing has followed in time; None: the input has ended. Input
        that came while a command was held follows that command, even if the server sees it late. While this waits,
        keys that are only for the guest are typed at once, and are not returned."""
        escape = self._escape
        holds = escape.holds
        data = await (self._keys.read(self._type_at_once) if holds is None else within(holds, self._keys.read))
        if data is None:
            return escape.expire()
        if data:
            pause = self._keys.pause
            return escape.feed(data, pause if holds is None else min(pause, _WITHIN * holds))
        last = escape.end()
        return last if last.guest or last.command else None

    def _type_at_once(self, data: bytes, pause: float) -> bool:
        """Do what `_type` does with keys that are only for the guest, if nobody has to wait for it. Else return
        False, and do nothing."""
        if self._typing.locked() or not self._escape.passes(data):
            return False
        if not type_at_once(self._room, self._member, data):
            return False
        self._notices.key()
        self._escape.feed(data, pause)
        self._told_watching = False
        return True

    async def _doubt(self, keys: bytes) -> None:
        """Tell the user about keys that went to the guest, but may have been meant as a command: a slow link may have
        joined them with text, or a program did not wait."""
        shown = keys.decode(errors="replace")
        await self._notices.say(
            f"{shown} came at once with other text, as in a paste, and went to the guest: type it by itself",
            asked=True,
        )

    async def _breaks(self) -> ExitStatus:
        """Send a break whenever the client itself asks for one (RFC 4335), and not by our escape key."""
        while self._terminal is not None:
            wanted = await self._terminal.break_wanted()
            async with self._typing:  # behind what was typed before it
                sent = await self._actions.send_break(late=wanted.is_late)
            wanted.answer(sent)
            if wanted.refused:
                await self._notices.say(f"{wanted.refused} more breaks were not sent: too many waited already")
        return await hung_up(self._peer)

    async def _to_guest(self, data: bytes) -> None:
        self._notices.key()
        if await type_in(self._room, self._member, data):
            self._told_watching = False
        elif not self._told_watching:
            self._told_watching = True
            how = f": {self._prefix}r, then k, asks for the keyboard" if self._prefix else ""
            await self._notices.say(f"you watch, and what you type goes nowhere{how}")
