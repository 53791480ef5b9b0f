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
    line, on standard error."""

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
        self._line[:] = rest[:_NOTICE_MAX]
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
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._session: _Channel | None = None
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
            return channel

        channel = await self._connection.opened(begin)
        self._channel, self._session = channel, session
        self._wake()
        try:
            await session.ended
        finally:
            self._channel = None
            channel.abort()
        if session.status in (_USAGE, _DENIED):
            self._end(CommandRefused(command, session.status, " ".join(session.said)))

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
        if self.transcript.end - self.looked > _UNREAD_MAX and self._channel is not None:
            self._channel.pause_reading()

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
        """Let more output come: the script has looked at what is there."""
        if self._channel is not None:
            self._channel.resume_reading()

    async def send(self, data: bytes) -> None:
        """Send bytes to the guest, and wait until they are on their way. While the connection is lost, this waits.
        Raises what has ended the attachment."""
        while self._channel is None or self._session is None:
            if self.over is not None:
                raise self.over
            await self.changed.wait()
        self._channel.write(data)
        await self._session.writable.wait()
