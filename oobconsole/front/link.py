"""A front's side of the relay. The server that lets people in calls the methods of `ends.CoreOfFront` here, and the
calls become frames for the core."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, cast

from oobconsole.access import Principal
from oobconsole.front import frames
from oobconsole.front.ends import QUESTIONS_MAX, ClientEnd, Unavailable, UserKeys
from oobconsole.front.frames import CORE_SIZES, DATA_MAX, Decoder, Frame, FromCore, FromFront, Opening
from oobconsole.supervise import Tasks

#: How long a front waits for an answer of the core. The core answers at once unless it is in trouble; then nobody can
#: log in.
ANSWER_SECONDS: Final = 10.0
#: When so many bytes of frames wait for the core to read them, the front handles nothing that a client sends.
UNREAD_MAX: Final = 256 << 10
_FOUND, _UNUSABLE, _OUR_TROUBLE = b"F", b"U", b"T"


class Server(Protocol):
    """The server that lets people in: an SSH server, or one of another protocol."""

    async def settle(self, settings: bytes) -> None:
        """Serve by these settings from now on. The first call begins to serve."""

    def set_room(self, room: bool) -> None:
        """Say whether the core takes frames now. While it does not, nothing that a client sends may be handled."""

    async def stop(self) -> None:
        """Accept no more clients, give those that are there a moment to leave, and close the rest."""


def found(keys: UserKeys) -> bytes:
    """Return the content of KEYS for a file that was read, or that does not exist."""
    return (_FOUND + "\n".join((keys.file, *keys.lines)).encode("utf-8", "replace"))[: frames.KEYS_MAX]


def not_found(reason: str, *, ours: bool) -> bytes:
    """Return the content of KEYS for a file that cannot be used (`Unavailable`)."""
    return (_OUR_TROUBLE if ours else _UNUSABLE) + frames.cut(reason)


class _RemoteSession:
    """A client's session, which is in the core. Each method of `ends.SessionEnd` becomes a frame."""

    def __init__(self, link: Link, number: int, connection: int) -> None:
        self.connection = connection
        self._link = link
        self._number = number
        self._is_deaf = False

    def typed(self, data: bytes, at: float) -> None:
        if len(data) <= DATA_MAX:
            self._link.typed(self._number, at, data)
            return
        for begin in range(0, len(data), DATA_MAX):
            self._link.typed(self._number, at, data[begin : begin + DATA_MAX])

    def input_ended(self) -> None:
        self._link.send(FromFront.END_OF_INPUT, self._number)

    def resized(self, rows: int, columns: int) -> None:
        self._link.send(FromFront.SIZE, self._number, frames.size(rows, columns))

    def break_asked(self, *, answer: bool) -> None:
        self._link.send(FromFront.BREAK, self._number, frames.status(answer))

    def signalled(self, signal: str) -> None:
        self._link.send(FromFront.SIGNAL, self._number, signal.encode())

    def credit(self, count: int) -> None:
        self._link.send(FromFront.CREDIT, self._number, frames.count(count))

    def reads_no_more(self) -> None:
        """Send DEAF, but only the first time."""
        if not self._is_deaf:
            self._is_deaf = True
            self._link.send(FromFront.DEAF, self._number)

    def dismissed(self, reason: str) -> None:
        self._link.send(FromFront.DISMISS, self._number, frames.cut(reason))

    def lost(self) -> None:
        """Send CLOSED, unless the connection has ended before."""
        self._link.closed(self._number)


class Link(asyncio.Protocol):
    """The connection to the core. It implements `ends.CoreOfFront`.

    Args:
        lost: called when the core is gone.

    Attributes:
        server: the server that lets people in; it must be set before the connection is made.
        stopped: set when the core has asked this front to end, and the server has stopped.
    """

    server: Server

    def __init__(self, lost: Callable[[], object]) -> None:
        self.stopped = asyncio.Event()
        self._lost = lost
        self._decoder = Decoder(CORE_SIZES)
        self._clients: dict[int, ClientEnd] = {}
        self._sessions: dict[int, _RemoteSession] = {}
        self._of: defaultdict[int, set[int]] = defaultdict(set)  # a connection's sessions
        self._last = 0
        self._kept: deque[bytes] = deque(maxlen=frames.KEPT)  # what AGAIN can name
        self._questions: dict[int, asyncio.Future[bytes]] = {}
        self._asked = 0
        self._turned_away = 0  # since the last PONG
        self._tasks = Tasks()
        self._settling = asyncio.Lock()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNREAD_MAX)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._clients.clear()
        self._sessions.clear()
        self._lost()

    def pause_writing(self) -> None:
        self.server.set_room(False)

    def resume_writing(self) -> None:
        self.server.set_room(True)

    def data_received(self, data: bytes) -> None:
        self._decoder.feed(data)
        while (found := self._decoder.next()) is not None:
            self._handlers[found.kind](self, found)

    def close(self) -> None:
        """Close the connection. The core then knows that this front has ended."""
        if self._transport is not None:
            self._transport.close()

    # -- what the front says ------------------------------------------------------------------------

    def send(self, kind: FromFront, number: int, content: bytes = b"") -> None:
        """Send a frame at once. A frame about a session that is over is dropped."""
        if self._transport is not None and (number in self._sessions or kind in _OF_NO_SESSION):
            self._transport.write(frames.frame(kind, number, content))

    def typed(self, number: int, at: float, data: bytes) -> None:
        """Send INPUT for a session, unless the session is over."""
        if self._transport is not None and number in self._sessions:
            self._transport.write(frames.typed(number, at, data))

    def ready(self, about: Sequence[str]) -> None:
        """Tell the core that settings may come, and what confines this process."""
        self.send(FromFront.READY, 0, frames.texts(*about))

    def logged_in(self, connection: int, who: Principal, age: float) -> None:
        """Send LOGIN (`ends.Core.logged_in`)."""
        self.send(FromFront.LOGIN, connection, frames.login(age, who.name, who.key, who.address))

    def logged_out(self, connection: int) -> None:
        """Send LOGOUT, after CLOSED for each session of the connection."""
        for number in sorted(self._of.pop(connection, ())):
            self.closed(number)
        self.send(FromFront.LOGOUT, connection)

    def refused(self, who: Principal, reason: str) -> None:
        """Send REFUSED (`ends.Core.refused`)."""
        self.send(FromFront.REFUSED, 0, frames.texts(who.name, who.key, who.address, reason))

    def turned_away(self) -> None:
        """Count one more for the next PONG (`ends.CoreOfFront.turned_away`). However many strangers knock, the core
        gets no more frames by that."""
        self._turned_away += 1

    def open(self, connection: int, wanted: Opening, client: ClientEnd) -> _RemoteSession:
        """Send OPEN, and return the session's end (`ends.Core.open`)."""
        self._last += 1
        number = self._last
        session = self._sessions[number] = _RemoteSession(self, number, connection)
        self._clients[number] = client
        self._of[connection].add(number)
        self.send(FromFront.OPEN, number, frames.opening(connection, wanted))
        return session

    def closed(self, number: int) -> None:
        """Send CLOSED for a session, unless that was done before."""
        if number in self._sessions:
            self.send(FromFront.CLOSED, number)
            session = self._sessions.pop(number)
            del self._clients[number]
            self._of.get(session.connection, set()).discard(number)

    async def keys(self, user: str) -> UserKeys:
        """Ask the core for a user's file of keys (`ends.Core.keys`). Raises `Unavailable`, also when the core does
        not answer within `ANSWER_SECONDS`.

        A question counts until the core has answered it, because the core ends a front that asks too many at the same
        time. The core's own file system may not answer for minutes.
        """
        if len(self._questions) >= QUESTIONS_MAX:
            raise Unavailable("the core has not answered what was asked before", ours=True)
        self._asked += 1
        number = self._asked
        answer = self._questions[number] = asyncio.get_running_loop().create_future()
        self.send(FromFront.ASK_KEYS, number, frames.cut(user))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                said = await answer
        except TimeoutError:
            raise Unavailable("the core does not answer", ours=True) from None
        kind, text = said[:1], said[1:].decode(errors="replace")
        if kind != _FOUND:
            raise Unavailable(text, ours=kind == _OUR_TROUBLE)
        file, *lines = text.split("\n")
        return UserKeys(file, lines)

    # -- what the core says -------------------------------------------------------------------------

    def _on_settings(self, frame: Frame) -> None:
        self._tasks.start(self._settle(frame.number, frame.content), "new settings of a front")

    async def _settle(self, number: int, settings: bytes) -> None:
        """Serve by new settings, or end. The core waits for the answer, and settings that it has given up may let
        somebody in who is not to come in any more."""
        try:
            async with self._settling:
                await self.server.settle(settings)
        except Exception:
            self.stopped.set()
            raise
        self.send(FromFront.SERVING, number)

    def _on_keys(self, frame: Frame) -> None:
        answer = self._questions.pop(frame.number, None)
        if answer is not None and not answer.done():
            answer.set_result(frame.content)

    def _on_output(self, frame: Frame) -> None:
        if len(frame.content) > frames.KEPT_MIN:
            self._kept.appendleft(frame.content)
        self._show(frame.number, frame.content)

    def _on_again(self, frame: Frame) -> None:
        self._show(frame.number, self._kept[frames.as_status(frame.content)])

    def _show(self, number: int, data: bytes) -> None:
        client = self._clients.get(number)
        if client is not None:  # else the session is over, and the core does not know that yet
            client.send(data, error=False)

    def _on_error(self, frame: Frame) -> None:
        client = self._clients.get(frame.number)
        if client is not None:
            client.send(frame.content, error=True)

    def _on_taken(self, frame: Frame) -> None:
        client = self._clients.get(frame.number)
        if client is not None:
            client.taken(frames.as_count(frame.content))

    def _on_broke(self, frame: Frame) -> None:
        client = self._clients.get(frame.number)
        if client is not None:
            client.break_answered(bool(frames.as_status(frame.content)))

    def _on_exit(self, frame: Frame) -> None:
        client = self._clients.get(frame.number)
        if client is not None:
            client.finish(frames.as_status(frame.content))

    def _on_ping(self, frame: Frame) -> None:
        told = min(self._turned_away, frames.COUNT_MAX)
        self._turned_away -= told
        self.send(FromFront.PONG, frame.number, frames.count(told))

    def _on_stop(self, frame: Frame) -> None:
        self._tasks.start(self._stop(), "the end of a front")

    async def _stop(self) -> None:
        try:
            await self.server.stop()
        finally:
            self.stopped.set()

    _handlers: Final[Mapping[int, Callable[[Link, Frame], None]]] = {
        FromCore.SETTINGS: _on_settings,
        FromCore.KEYS: _on_keys,
        FromCore.OUTPUT: _on_output,
        FromCore.AGAIN: _on_again,
        FromCore.ERROR: _on_error,
        FromCore.TAKEN: _on_taken,
        FromCore.EXIT: _on_exit,
        FromCore.PING: _on_ping,
        FromCore.STOP: _on_stop,
        FromCore.BROKE: _on_broke,
    }


#: The kinds whose number is not that of a session.
_OF_NO_SESSION: Final = frozenset(
    {
        FromFront.READY,
        FromFront.SERVING,
        FromFront.LOGIN,
        FromFront.LOGOUT,
        FromFront.REFUSED,
        FromFront.ASK_KEYS,
        FromFront.PONG,
    }
)
