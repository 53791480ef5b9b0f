"""A script's attachment to one console: the console's output as it comes, over one connection after another.

When the connection is lost, the output goes on where it ended: no byte is missing, and none comes twice.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncssh

from oobconsole.client.errors import ClientError, CommandRefused, ConsoleEnded
from oobconsole.client.transcript import TRANSCRIPT_MAX, Transcript

if TYPE_CHECKING:
    from oobconsole.client.connection import Connection

#: Output that the script has not looked at makes the server wait, in characters.
_UNREAD_MAX: Final = TRANSCRIPT_MAX // 2
_GAPS_MAX: Final = 1000
#: A session that was lost, or that a stopping server ended, is begun again after so many seconds: at first, at most.
_AGAIN_SECONDS, _AGAIN_MAX = 0.05, 2.0
#: A line of the server's notices is no longer than this, in bytes.
_NOTICE_MAX: Final = 1 << 16
_DENIED, _USAGE = 3, 2


@dataclass(frozen=True)
class Gap:
    """A place in a console's output where some of it is missing.

    Attributes:
        offset: the absolute offset of the first byte that is missing.
        bytes: how many bytes are missing.
        reason: why, in words.
    """

    offset: int
    bytes: int
    reason: str


class _Channel(asyncssh.SSHClientSession[bytes]):
    """One session of `attach --json-notices`: the guest's bytes come on standard output, and JSON objects, one a
    line, on standard error.

    asyncssh tells of a channel's end only behind all that has come on it. So when the server has ended the session
    while the script has made it wait, the output that waits is passed over: the next session brings it, as it begins
    where the script is.

    Args:
        output: gets the guest's bytes.
        notice: gets the JSON objects.

    Attributes:
        said: the last lines on standard error that are no JSON objects.
        last_words: what the server has said last, in either way.
        status: the exit status, when the server has said it.
        writable: set when more may be written.
        ended: done when the session is over.
    """

    def __init__(self, output: Callable[[bytes], object], notice: Callable[[dict[str, Any]], object]) -> None:
        self._output = output
        self._notice = notice
        self._line = bytearray()
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._paused = self._passed_over = False
        self.said: deque[str] = deque(maxlen=10)
        self.last_words = ""
        self.status: int | None = None
        self.writable = asyncio.Event()
        self.writable.set()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan

    def pause(self) -> None:
        """Make the server wait, until `go_on` is called."""
        if self._channel is not None and not self._passed_over:
            self._paused = True
            self._channel.pause_reading()

    def go_on(self) -> None:
        """Let more output come."""
        if self._channel is not None and self._paused:
            self._paused = False
            self._channel.resume_reading()

    def pass_over(self) -> None:
        """Take no more output: the server has ended the session. What it has said is taken."""
        self._passed_over = True
        self.go_on()

    def write(self, data: bytes) -> None:
        """Type bytes. Raises `OSError` if the server has ended the session, or the connection is lost."""
        if self._channel is None:
            raise BrokenPipeError
        self._channel.write(data)

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if datatype is None:
            if not self._passed_over:
                self._output(data)
            return
        self._line += data
        *lines, rest = bytes(self._line).split(b"\n")
        self._line[:] = rest[:_NOTICE_MAX]
        for line in lines:
            self._said(line.decode(errors="replace"))

    def _said(self, line: str) -> None:
        text = line.removeprefix("oobconsole: ")
        try:
            notice = json.loads(text)
        except ValueError:
            notice = None
        if not isinstance(notice, dict):
            self.said.append(text)
            self.last_words = text
            return
        self.last_words = str(notice.get("text", self.last_words))
        if not self._passed_over:
            self._notice(notice)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def exit_status_received(self, status: int) -> None:
        self.status = status
        if self._paused:
            self.pass_over()

    def connection_lost(self, exc: Exception | None) -> None:
        self.writable.set()
        if not self.ended.done():
            self.ended.set_result(None)


class Attachment:
    """A console whose output comes to a script.

    Args:
        connection: the connection to the server. It connects again when it was lost.
        name: the console's name.
        watch: whether the script only watches.
        offset: the offset at which the output is to begin; None: where the server says.

    Attributes:
        name: the console's name.
        offset: the absolute offset of the byte that comes next; -1 until the server has said where it begins.
        gaps: the latest 1,000 places where output is missing.
        state: how the guest is, as the server says it.
        notices: the latest 100 lines that the server has said about the console.
        transcript: the output as patterns see it.
        looked: the position in the transcript up to which the script has looked at it. When too much is behind that
            position, the server is made to wait, until `go_on` is called.
        over: why the attachment has ended; None: it goes on.
        changed: set when anything has changed. Somebody who waits for the next change takes this event before looking
            at what there is.
    """

    def __init__(self, connection: Connection, name: str, *, watch: bool, offset: int | None) -> None:
        self.name = name
        self.offset = -1 if offset is None else offset
        self.gaps: deque[Gap] = deque(maxlen=_GAPS_MAX)
        self.notices: deque[str] = deque(maxlen=100)
        self.state = ""
        self.transcript = Transcript()
        self.looked = 0
        self.over: Exception | None = None
        self.changed = asyncio.Event()
        self._connection = connection
        self._watch = watch
        self._attached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._session: _Channel | None = None
        self._last_words = ""  # of the session before, if the server has ended it
        self._task: asyncio.Task[None] | None = None

    @property
    def closed(self) -> bool:
        """Whether the script has left the console, or has not come yet."""
        return self._task is None

    # -- its life -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Attach to the console. `Connection.attach` says what this raises."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        await self._attached

    async def close(self) -> None:
        """Leave the console. Whatever waits for it gets `ConsoleEnded`. A second call does nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._end(ConsoleEnded(f"{self.name}: it was closed here"))

    async def _run(self) -> None:
        pause = _AGAIN_SECONDS
        while self.over is None:
            began = time.monotonic()
            try:
                await self._stay()
            except (OSError, asyncssh.Error):
                pass  # the connection is lost: the next one goes on where this one ended
            except ClientError as error:
                self._end(error)
            pause = _AGAIN_SECONDS if time.monotonic() - began > _AGAIN_MAX else min(_AGAIN_MAX, pause * 2)
            await asyncio.sleep(pause)

    async def _stay(self) -> None:
        """Attached over one connection, until it ends."""
        words = ["watch" if self._watch else "attach", self.name, "--json-notices"]
        words += [] if self.offset < 0 else ["--from", str(self.offset)]
        command = shlex.join(words)
        session = _Channel(self._output, self._noticed)

        async def begin(ssh: asyncssh.SSHClientConnection) -> asyncssh.SSHClientChannel[bytes]:
            channel, _ = await ssh.create_session(lambda: session, command, encoding=None)
            if self._unread > _UNREAD_MAX:
                session.pause()
            return channel

        channel = await self._connection.opened(begin)
        self._session = session
        self._wake()
        try:
            await session.ended
        finally:
            self._session = None
            channel.abort()
        if session.status in (_USAGE, _DENIED):
            why = [*session.said, *([f"(before: {self._last_words})"] if self._last_words else [])]
            self._end(CommandRefused(command, session.status, " ".join(why)))
        self._last_words = session.last_words if session.status is not None else ""

    def _end(self, error: Exception) -> None:
        if self.over is None:
            self.over = error
        if not self._attached.done():
            self._attached.set_exception(error)
        self._wake()

    def _wake(self) -> None:
        """Wake everybody who waits for something to change. Each of several that wait is woken."""
        self.changed.set()
        self.changed = asyncio.Event()

    # -- what comes ---------------------------------------------------------------------------------

    def _output(self, data: bytes) -> None:
        self.offset += len(data)
        self.transcript.feed(data)
        self._wake()
        if self._unread > _UNREAD_MAX and self._session is not None:
            self._session.pause()

    @property
    def _unread(self) -> int:
        """How many characters of output the script has not looked at."""
        return self.transcript.end - self.looked

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
        self._wake()

    def _began(self, offset: int, state: str) -> None:
        if 0 <= self.offset != offset:  # the server has forgotten: it was begun anew without its recording
            self._gap(Gap(self.offset, max(0, offset - self.offset), "the server has begun anew"))
        self.offset, self.state = offset, state
        if not self._attached.done():
            self._attached.set_result(None)

    def _gap(self, gap: Gap) -> None:
        self.gaps.append(gap)
        self.transcript.note(f"\n[{gap.bytes} bytes are missing here: {gap.reason}]\n")
        self._wake()

    def go_on(self) -> None:
        """Let more output come, if the script has looked at enough of what is there."""
        if self._session is not None and self._unread <= _UNREAD_MAX:
            self._session.go_on()

    async def send(self, data: bytes) -> None:
        """Send bytes to the guest, and wait until they are on their way. While the connection is lost, this waits.
        Raises what has ended the attachment."""
        while not await self._sent(data):
            if self.over is not None:
                raise self.over
            await self.changed.wait()

    async def _sent(self, data: bytes) -> bool:
        """Send bytes over the session that there is. Returns False if there is none, or the server has ended it."""
        session = self._session
        if session is None:
            return False
        try:
            session.write(data)
        except OSError:
            self._session = None
            session.pass_over()
            return False
        await session.writable.wait()
        return True
