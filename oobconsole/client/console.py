"""One attached console: expect, type, run. The loss of its connection costs no byte, and doubles none."""

from __future__ import annotations

import asyncio
import codecs
import json
import re
import secrets
import shlex
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncssh

from oobconsole.client.errors import (
    ClientError,
    CommandRefused,
    ConnectFailed,
    ConsoleEnded,
    ExpectFailed,
    ExpectTimeout,
)

if TYPE_CHECKING:
    from oobconsole.client.connection import Connection

#: What is kept of the output, in characters; a pattern is looked for in it.
TRANSCRIPT_MAX: Final = 1 << 20
#: Output that was not asked for makes the server wait, in characters.
_UNREAD_MAX: Final = 1 << 19
_GAPS_MAX: Final = 1000
_SHOWN_LINES: Final = 24
_AGAIN_SECONDS: Final = 0.05
DENIED, USAGE = 3, 2


@dataclass(frozen=True)
class Gap:
    """Output that is missing.

    Attributes:
        offset: absolute, in bytes, where it is missing.
        bytes: how much.
        reason: in words.
    """

    offset: int
    bytes: int
    reason: str


@dataclass(frozen=True)
class CommandResult:
    """What a command in the guest's shell printed, and its exit status."""

    output: str
    status: int


class _Channel(asyncssh.SSHClientSession[bytes]):
    """One `attach --json-notices`: guest bytes on standard output, one JSON object a line on standard error."""

    def __init__(self, output: Callable[[bytes], object], notice: Callable[[dict[str, Any]], object]) -> None:
        self._output = output
        self._notice = notice
        self._line = bytearray()
        self.said: deque[str] = deque(maxlen=10)
        self.status: int | None = None
        self.writable = asyncio.Event()
        self.writable.set()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype is None:
            self._output(data)
            return
        self._line += data
        *lines, rest = bytes(self._line).split(b"\n")
        self._line[:] = rest
        for line in lines:
            self._said(line.decode(errors="replace"))

    def _said(self, line: str) -> None:
        text = line.removeprefix("oobconsole: ")
        try:
            notice = json.loads(text)
        except ValueError:
            notice = None
        if isinstance(notice, dict):
            self._notice(notice)
        else:
            self.said.append(text)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def exit_status_received(self, status: int) -> None:
        self.status = status

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        if not self.ended.done():
            self.ended.set_result(None)


class Console:
    """An attached console.

    Attributes:
        name: the console's.
        offset: absolute, of the byte that comes next.
        transcript: the last output, as text.
        gaps: output that is missing, the latest ones.
        state: of its guest, as the server has it (`live`, `away`, `gone`, …).
        notices: what the server has said, the latest.
    """

    def __init__(self, connection: Connection, name: str, *, watch: bool, offset: int | None) -> None:
        self.name = name
        self.offset = -1 if offset is None else offset
        self.transcript = ""
        self.gaps: deque[Gap] = deque(maxlen=_GAPS_MAX)
        self.notices: deque[str] = deque(maxlen=100)
        self.state = ""
        self._connection = connection
        self._watch = watch
        self._at = 0  # in the transcript: what `expect` has not seen
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._changed = asyncio.Event()
        self._attached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._over: Exception | None = None
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._session: _Channel | None = None
        self._task: asyncio.Task[None] | None = None

    # -- its life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Attach. Called by `Connection.attach`."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._attached

    async def close(self) -> None:
        """Leave. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._end(ConsoleEnded(f"{self.name}: it was closed here"))

    async def _run(self) -> None:
        former: asyncssh.SSHClientConnection | None = None
        while self._over is None:
            try:
                ssh = await self._connection.ssh(former)
                await self._stay(ssh)
                former = ssh if ssh.is_closed() else None
                await asyncio.sleep(_AGAIN_SECONDS)  # the server ended the session: it stops, or is restarted
            except (OSError, asyncssh.Error):
                former = ssh  # it is lost: the next one goes on where this one ended
            except ConnectFailed as error:
                self._end(error)

    async def _stay(self, ssh: asyncssh.SSHClientConnection) -> None:
        """Attached over one connection, until it ends."""
        words = ["watch" if self._watch else "attach", self.name, "--json-notices"]
        words += [] if self.offset < 0 else ["--from", str(self.offset)]
        command = shlex.join(words)
        session = _Channel(self._output, self._noticed)
        channel, _ = await ssh.create_session(lambda: session, command, encoding=None)
        self._channel, self._session = channel, session
        self._changed.set()
        try:
            await session.ended
        finally:
            self._channel = None
            channel.abort()
        if session.status in (USAGE, DENIED):
            self._end(CommandRefused(command, session.status, " ".join(session.said)))

    def _end(self, error: Exception) -> None:
        if self._over is None:
            self._over = error
        if not self._attached.done():
            self._attached.set_exception(error)
        self._changed.set()

    # -- what comes ---------------------------------------------------------------------------------

    def _output(self, data: bytes) -> None:
        self.offset += len(data)
        self._keep(self._decoder.decode(data))
        if len(self.transcript) - self._at > _UNREAD_MAX and self._channel is not None:
            self._channel.pause_reading()

    def _keep(self, text: str) -> None:
        self.transcript += text
        excess = len(self.transcript) - TRANSCRIPT_MAX
        if excess > 0:
            self.transcript = self.transcript[excess:]
            self._at = max(0, self._at - excess)
        self._changed.set()

    def _noticed(self, notice: dict[str, Any]) -> None:
        kind = notice.get("kind")
        if kind == "attached":
            self._began(int(notice["offset"]), str(notice["state"]))
        elif kind == "skipped":
            self._gap(Gap(int(notice["offset"]), int(notice["bytes"]), "not kept any more"))
            self.offset = int(notice["offset"]) + int(notice["bytes"])
        elif kind == "lost":
            self._gap(Gap(int(notice["offset"]), int(notice["bytes"]), "lost before it reached the server"))
        elif kind == "state":
            self.state = str(notice["state"])
        if "text" in notice:
            self.notices.append(str(notice["text"]))
        self._changed.set()

    def _began(self, offset: int, state: str) -> None:
        if 0 <= self.offset != offset:  # the server has forgotten: it was begun anew without its recording
            self._gap(Gap(self.offset, max(0, offset - self.offset), "the server has begun anew"))
        self.offset, self.state = offset, state
        if not self._attached.done():
            self._attached.set_result(None)

    def _gap(self, gap: Gap) -> None:
        self.gaps.append(gap)
        self._keep(f"\n[{gap.bytes} bytes are missing here: {gap.reason}]\n")

    # -- what a script does -------------------------------------------------------------------------

    async def expect(self, pattern: str, *, timeout: float = 30, fail: str | Iterable[str] = ()) -> re.Match[str]:
        """Wait until a pattern comes after what was expected last; returns its match.

        Args:
            pattern: regular expression; `.` is any character, line ends are `\\r\\n`.
            timeout: in seconds.
            fail: patterns that mean that it will not come.

        Raises:
            ExpectTimeout, ExpectFailed: with the last lines.
            ConsoleEnded, ConnectFailed, CommandRefused: it is over.
        """
        wanted = re.compile(pattern, re.DOTALL)
        failures = [re.compile(text, re.DOTALL) for text in ([fail] if isinstance(fail, str) else fail)]
        try:
            async with asyncio.timeout(timeout):
                return await self._expect(wanted, failures)
        except TimeoutError as error:
            raise ExpectTimeout(f"{self.name}: {pattern!r} did not come in {timeout:g} s{self._seen()}") from error

    async def _expect(self, wanted: re.Pattern[str], failures: list[re.Pattern[str]]) -> re.Match[str]:
        while True:
            found = wanted.search(self.transcript, self._at)
            bad = next((f for f in failures if f.search(self.transcript, self._at)), None)
            if found and not bad:
                self._at = found.end()
                self._go_on()
                return found
            if bad:
                raise ExpectFailed(f"{self.name}: {bad.pattern!r} came instead of {wanted.pattern!r}{self._seen()}")
            if self._over is not None:
                raise self._over
            self._changed.clear()
            await self._changed.wait()

    def _go_on(self) -> None:
        if self._channel is not None:
            self._channel.resume_reading()

    def _seen(self) -> str:
        lines = self.screen().rstrip().split("\n")
        return "; the last screen:\n" + "\n".join(f"  | {line}" for line in lines)

    def screen(self, rows: int = _SHOWN_LINES, columns: int = 80) -> str:
        """What a terminal would show now, as text."""
        import pyte

        screen = pyte.Screen(columns, rows)
        pyte.Stream(screen).feed(self.transcript[-TRANSCRIPT_MAX // 16 :])
        return "\n".join(line.rstrip() for line in screen.display)

    async def send(self, text: str | bytes) -> None:
        """Type; waits while the guest does not take it.

        Raises:
            ConsoleEnded: it is over. What was typed while the connection was lost is not typed again.
        """
        data = text.encode() if isinstance(text, str) else text
        while self._channel is None or self._session is None:
            if self._over is not None:
                raise self._over
            self._changed.clear()
            await self._changed.wait()
        self._channel.write(data)
        await self._session.writable.wait()

    async def send_line(self, text: str = "") -> None:
        """Type a line, and Enter."""
        await self.send(f"{text}\r")

    async def type(self, text: str, *, cps: float = 10) -> None:
        """Type as a person does, `cps` characters a second: some login programs throw away what comes faster."""
        for character in text:
            await self.send(character)
            await asyncio.sleep(1 / cps)

    async def login(self, user: str, password: str, *, prompt: str = r"[#$] $", timeout: float = 60) -> None:
        """Log in at a getty, at a human rate."""
        await self.send_line()
        await self.expect(r"login: ", timeout=timeout)
        await self.type(f"{user}\r")
        await self.expect(r"[Pp]assword: ", timeout=timeout)
        await self.type(f"{password}\r")
        await self.expect(prompt, timeout=timeout, fail=r"[Ll]ogin incorrect")

    async def run(self, command: str, *, timeout: float = 30) -> CommandResult:
        """Run a command in the shell that waits at the console.

        Raises:
            ExpectTimeout: it did not end in time, or no shell is there.
        """
        mark = f"oob{secrets.token_hex(8)}"
        quoted = f"{mark[:3]}''{mark[3:]}"  # typed, it does not look like what is printed
        await self.send(f"echo {quoted}.; eval {shlex.quote(command)}; echo {quoted}:$?:\r")
        await self.expect(rf"{mark}\.\r?\n", timeout=timeout)
        found = await self.expect(rf"(.*?){mark}:(\d+):", timeout=timeout)
        return CommandResult(found[1].replace("\r\n", "\n"), int(found[2]))


__all__ = ["ClientError", "CommandResult", "Console", "Gap"]
