"""One console that a script is attached to: it waits for output, types, and runs commands in the guest's shell."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import regex

from oobconsole.client.attachment import Attachment, Gap
from oobconsole.client.errors import (
    ClientError,
    ExpectFailed,
    ExpectTimeout,
)
from oobconsole.client.texts import Match, Pattern, as_word, compiled, encoded, first_of
from oobconsole.client.transcript import TRANSCRIPT_MAX
from oobconsole.spellings import as_typed
from oobconsole.terminal.model import Terminal

if TYPE_CHECKING:
    from oobconsole.client.connection import Connection

_SHOWN_LINES: Final = 24
#: How `run` marks its output's end, and how many characters that can take.
_MARK_MAX: Final = 64


@dataclass(frozen=True)
class CommandResult:
    """What came of a command in the guest's shell.

    Attributes:
        output: what it printed, without a terminal's escape sequences and with `\\n` for line ends; of more than a
            mebibyte, the last mebibyte.
        status: its exit status.
        missing: how many characters at the beginning of the output were too much to keep.
    """

    output: str
    status: int
    missing: int = 0


@dataclass
class _Search:
    """What one `expect` looks for, and how far it has looked. Several may go on at the same time.

    Attributes:
        patterns: what it looks for.
        begin: the position in the transcript at which it begins.
        again: how many characters are looked at again when more has come; no match may be longer.
        at_cursor: whether the first pattern may also match what stands before the cursor, in a row that has begun
            since.
        looked: the position up to which it has looked.
    """

    patterns: Sequence[Pattern]
    begin: int
    again: int
    at_cursor: bool = False
    looked: int = 0


class Console:
    """A console that the script is attached to. `Connection.attach` makes it.

    Attributes:
        name: the console's name.
    """

    def __init__(self, connection: Connection, name: str, *, watch: bool, offset: int | None) -> None:
        self.name = name
        self._attachment = Attachment(connection, name, watch=watch, offset=offset)
        self._at = 0  # position in the transcript: what `expect` has not given out

    @property
    def offset(self) -> int:
        """The absolute offset of the byte that comes next; -1 until the server has said where it begins."""
        return self._attachment.offset

    @property
    def gaps(self) -> deque[Gap]:
        """The latest 1,000 places where output is missing."""
        return self._attachment.gaps

    @property
    def state(self) -> str:
        """How the guest is, as the server says it: `live`, `away`, `gone`, … (docs/sessions.md)."""
        return self._attachment.state

    @property
    def notices(self) -> deque[str]:
        """The latest 100 lines that the server has said about the console."""
        return self._attachment.notices

    @property
    def transcript(self) -> str:
        """The last mebibyte of output as patterns see it, which is without a terminal's escape sequences."""
        return self._attachment.transcript.text

    @property
    def closed(self) -> bool:
        """Whether the script has left the console."""
        return self._attachment.closed

    # -- its life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Attach; `Connection.attach` calls this, and says what it raises."""
        await self._attachment.start()

    async def close(self) -> None:
        """Leave the console; the guest goes on. Whatever waits in `expect`, `send` or `run` raises `ConsoleEnded`.
        A second call does nothing.
        """
        await self._attachment.close()

    # -- what a script does -------------------------------------------------------------------------

    async def expect(self, pattern: str, *, timeout: float = 30, fail: str | Iterable[str] = ()) -> Match:
        """Wait until the guest prints what matches a pattern, behind the match of the `expect` before.

        Several may wait at the same time: each looks at everything behind what was matched when it was called.

        Args:
            pattern: a regular expression of the package `regex`. `.` matches every character, a line ends with
                `\\r\\n`, and a terminal's escape sequences are left out. A letter with an accent matches in both of
                Unicode's spellings. A match must lie within the last mebibyte.
            timeout: how many seconds to wait. What comes before they are over is looked at; with 0 nothing else is.
            fail: a pattern, or several, after which it is useless to wait any longer. Of all patterns the one counts
                for which the guest had printed enough first, however late the script looks. Of two matches that begin
                together, the failure counts.

        Returns:
            The match.

        Raises:
            ExpectTimeout: it did not come in time. The message shows the last screen.
            ExpectFailed: what matches `fail` came first. The message shows the last screen.
            ConsoleEnded: the console was closed.
            ConnectFailed: the server was lost, and did not come back in time.
            CommandRefused: the user has lost the right to watch the console, or it is no more; or a pattern is no
                regular expression.
        """
        wanted = compiled(pattern)
        failures = [compiled(text) for text in ([fail] if isinstance(fail, str) else fail)]
        return (await self._expect(wanted, failures, timeout=timeout))[1]

    async def _expect(
        self,
        wanted: Pattern,
        failures: Sequence[Pattern],
        *,
        timeout: float,
        begin: int | None = None,
        again: int = TRANSCRIPT_MAX,
        at_cursor: bool = False,
    ) -> tuple[int, Match]:
        """Wait for a pattern; returns the position of the text that it was found in, and the match.

        Args:
            begin: the position from which on is looked; None: behind the match of the `expect` before.
            again: so many characters are looked at again when more has come; no match may be longer.
            at_cursor: as in `_Search`.
        """
        slow = False
        search = _Search((wanted, *failures), self._at if begin is None else begin, again, at_cursor)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    changed = self._attachment.changed  # of before the look: what comes meanwhile is looked at next
                    began = time.monotonic()
                    start, first, late = await self._look(search)
                    slow = slow or late
                    if first is not None:
                        return start, self._taken(first, wanted, start)
                    if self._attachment.over is not None:
                        raise self._attachment.over
                    await changed.wait()
                    await asyncio.sleep(time.monotonic() - began if late else 0)
        except TimeoutError as error:
            if not slow:  # what came before the time was up counts, however late we are to look at it
                start, first, slow = await self._look(search)
                if first is not None:
                    return start, self._taken(first, wanted, start)
            why = "; it takes too long to match: make it simpler" if slow else ""
            raise ExpectTimeout(
                f"{self.name}: {as_typed(wanted)!r} did not come in {timeout:g} s{why}{self._seen()}"
            ) from error

    async def _look(self, search: _Search) -> tuple[int, Match | None, bool]:
        """The position of what was looked at, what was found in it first, and whether a look was too slow to end."""
        attachment = self._attachment
        text, start = attachment.transcript.text, attachment.transcript.start
        since = max(search.begin, start, search.looked - search.again)
        first, late = await first_of(search.patterns, text, since - start)
        search.looked = start + len(text)
        if first is None:
            attachment.looked = max(attachment.looked, search.looked)
            attachment.go_on()
        if first is None and search.at_cursor and "\n" in text[max(search.begin, start) - start :]:
            first, late_too = await first_of(search.patterns[:1], attachment.transcript.before_cursor, 0)
            start, late = search.looked - (first.end() if first else 0), late or late_too
        return start, first, late

    def _taken(self, found: Match, wanted: Pattern, start: int) -> Match:
        if found.re is not wanted:
            raise ExpectFailed(
                f"{self.name}: {as_typed(found.re)!r} came instead of {as_typed(wanted)!r}{self._seen()}"
            )
        self._at = max(self._at, start + found.end())
        self._attachment.looked = self._at
        self._attachment.go_on()
        return found

    def _seen(self) -> str:
        lines = self.screen().rstrip().split("\n")
        return "; the last screen:\n" + "\n".join(f"  | {line}" for line in lines)

    def screen(self, rows: int = _SHOWN_LINES, columns: int = 80) -> str:
        """Return what a terminal of so many rows and columns would show now, as lines of text without colours."""
        terminal = Terminal(rows, columns)
        terminal.feed(self._attachment.transcript.raw)
        return "\n".join(line.rstrip() for line in terminal.text[:rows])

    async def send(self, text: str | bytes) -> None:
        """Type a text, or bytes, into the guest, and wait until they are on their way.

        A guest that does not read keeps this waiting. While the connection is lost it waits, too; but what was on its
        way when the connection was lost is not typed again.

        Raises:
            ConsoleEnded: the console was closed.
            ConnectFailed: the server was lost, and did not come back in time.
            CommandRefused: it is no text: a letter of another encoding, from a command line or a file's name.
        """
        await self._attachment.send(encoded(text) if isinstance(text, str) else text)

    async def send_line(self, text: str = "") -> None:
        """Type a text and the Enter key behind it. Raises as `send` does."""
        await self.send(f"{text}\r")

    async def type(self, text: str, *, cps: float = 10) -> None:
        """Type a text as slowly as a person does: some login programs throw away what comes faster.

        Args:
            text: what is typed; nothing is added to it.
            cps: characters a second.
        """
        for character in text:
            await self.send(character)
            await asyncio.sleep(1 / cps)

    async def login(self, user: str, password: str, *, prompt: str = r"[#$] \r*$", timeout: float = 60) -> None:
        """Log in where a getty asks for `login:` and `Password:`, typing as slowly as a person does.

        Args:
            user: the guest's user.
            password: that user's password.
            prompt: a pattern for the shell's prompt, which is waited for at the end. What the shell prints at the
                right of its prompt need not be in it.
            timeout: how many seconds each of the steps may take.

        Raises:
            ExpectTimeout: one of the questions, or the shell's prompt, did not come in time.
            ExpectFailed: the guest said `Login incorrect`.
            ConsoleEnded, ConnectFailed, CommandRefused: as `expect` says.
        """
        await self._typed(self.send_line(), timeout)
        await self.expect(r"login: ", timeout=timeout)
        await self._typed(self.type(f"{user}\r"), timeout)
        await self.expect(r"[Pp]assword: ", timeout=timeout)
        await self._typed(self.type(f"{password}\r"), timeout)
        incorrect = compiled(r"[Ll]ogin incorrect")
        await self._expect(compiled(prompt), [incorrect], timeout=timeout, at_cursor=True)

    async def run(self, command: str, *, timeout: float = 30) -> CommandResult:
        """Run a command in the POSIX shell that waits at the console with its prompt, and wait for its end.

        Args:
            command: one or more lines for the shell.
            timeout: how many seconds all of it may take.

        Raises:
            ExpectTimeout: the command did not end in time, or there is no shell that waits for one.
            ConsoleEnded, ConnectFailed, CommandRefused: as `expect` says.
        """
        deadline = time.monotonic() + timeout
        mark = f"oob{secrets.token_hex(8)}"
        quoted = f"{mark[:3]}''{mark[3:]}"  # typed, it does not look like what is printed
        await self._typed(self.send(f"echo {quoted}.; eval {as_word(command)}; echo {quoted}:$?:\r"), timeout)
        begin = regex.compile(rf"{mark}\.\r?\n")
        start, found = await self._expect(begin, (), timeout=deadline - time.monotonic(), again=_MARK_MAX)
        printed = start + found.end()
        ended = regex.compile(rf"{mark}:(\d+):")
        start, found = await self._expect(
            ended, (), timeout=deadline - time.monotonic(), begin=printed, again=_MARK_MAX
        )
        output = found.string[max(0, printed - start) : found.start()]
        return CommandResult(output.replace("\r\n", "\n"), int(found[1]), max(0, start - printed))

    async def _typed(self, typing: Coroutine[Any, Any, None], timeout: float) -> None:
        """Wait until the guest has taken what is typed. If it does not in time, that is an answer that did not
        come."""
        try:
            async with asyncio.timeout(timeout):
                await typing
        except TimeoutError as error:
            raise ExpectTimeout(
                f"{self.name}: the guest did not take what was typed in {timeout:g} s{self._seen()}"
            ) from error


__all__ = ["ClientError", "CommandResult", "Console", "Gap"]
