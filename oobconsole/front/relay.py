"""The core's side of a front. The front's frames become logins and sessions, and the sessions' output becomes frames.

The front handles whatever strangers send, so a stranger may have taken it over. A frame that no front of ours would
send ends the front, with one clear reason. Until then its frames are handled a few at a time, so that it holds nobody
up.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, cast

from oobconsole.access import Principal
from oobconsole.errors import FrontError
from oobconsole.front import frames
from oobconsole.front.counts import Counts
from oobconsole.front.ends import FRONT_SESSIONS_MAX, QUESTIONS_MAX
from oobconsole.front.frames import FRONT_SIZES, Decoder, Frame, FromCore, FromFront
from oobconsole.front.reception import Lobby
from oobconsole.front.visitor import Visitor
from oobconsole.supervise import Tasks

#: How long a front's frames are handled before other tasks have their turn, in seconds.
TURN_SECONDS: Final = 0.002
#: When so many bytes of a front wait to be handled, no more are read.
WAITING_MAX: Final = 256 << 10
#: When so many bytes of frames wait for the front to read them, its sessions wait.
UNREAD_MAX: Final = 256 << 10
#: A content of at most so many bytes is copied behind its header, because one write is cheaper than two.
_JOINED_MAX: Final = 4096
#: When so many bytes of frames are gathered, they are written at once.
_GATHERED_MAX: Final = 32768
#: How many characters a user's name may have. A front says it, and others see it.
_NAME_MAX: Final = 64
_KEY_THREADS: Final = ThreadPoolExecutor(2, thread_name_prefix="keys")

#: Returns the content of KEYS for a user. It may take long, and it always returns: until then the front counts its
#: question.
Keys = Callable[[str], bytes]


class _RemoteClient:
    """A session's client, which is in another process. Each method of `ends.ClientEnd` becomes a frame."""

    __slots__ = ("_number", "_relay")

    def __init__(self, relay: Relay, number: int) -> None:
        self._relay = relay
        self._number = number

    def send(self, data: bytes, *, error: bool) -> None:
        if error:
            self._relay.send(FromCore.ERROR, self._number, data)
        else:
            self._relay.send_output(self._number, data)

    def taken(self, count: int) -> None:
        self._relay.send(FromCore.TAKEN, self._number, frames.count(count))

    def break_answered(self, sent: bool) -> None:
        self._relay.send(FromCore.BROKE, self._number, frames.status(sent))

    def finish(self, status: int) -> None:
        self._relay.send(FromCore.EXIT, self._number, frames.status(status & 0xFF))


class Relay(asyncio.Protocol):
    """The core's end of the connection to one process of a front.

    Args:
        lobby: the users who come in through this front, and no others.
        keys: reads a user's file of keys; it is called in a thread.

    Attributes:
        ready: set when the front can serve, to what confines it and what does not, as it says itself.
        ended: set to the reason why the front has ended, or must end. Whoever started the process ends it then.
        pongs: how many pings the front has answered.
        counts: what has gone through this process.
    """

    def __init__(self, lobby: Lobby, keys: Keys) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[list[str]] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.pongs = 0
        self.counts = Counts()
        self._pings = 0
        self._lobby = lobby
        self._keys = keys
        self._decoder = Decoder(FRONT_SIZES)
        self._sessions: dict[int, Visitor] = {}
        self._last_session = 0
        self._settings = 0
        self._serving: dict[int, asyncio.Future[None]] = {}
        self._questions = Tasks()
        self._transport: asyncio.Transport | None = None
        self._loop = loop
        self._gathered = bytearray()  # frames that are sent at the end of this turn of the event loop
        self._flushing: asyncio.Handle | None = None
        self._turn: asyncio.Handle | None = None
        self._has_room = True
        self._is_reading = True
        self._kept: deque[bytes] = deque(maxlen=frames.KEPT)  # what the front keeps, too

    # -- what the core says -------------------------------------------------------------------------

    @property
    def unanswered(self) -> int:
        """How many pings have no answer yet."""
        return self._pings - self.pongs

    @property
    def connections(self) -> int:
        """How many connections there are now over which a user has logged in."""
        return self._lobby.connections

    @property
    def sessions(self) -> int:
        """How many sessions the front has now."""
        return len(self._sessions)

    def ping(self) -> None:
        """Ask the front for a sign of life."""
        self._pings += 1
        self.send(FromCore.PING, self._pings)

    def allow(self, connections: int, keys: Keys) -> None:
        """Let the front have so many connections from now on, and read users' files of keys by `keys`.

        Why does a smaller number not count here? Who was connecting when the number became smaller may still log in.
        The front itself accepts no more; the core's bound is for a front that was taken over.
        """
        self._lobby.most = max(self._lobby.most, connections)
        self._keys = keys

    async def settle(self, settings: bytes) -> None:
        """Make the front serve by these settings. Returns when it does, or has ended."""
        self._settings += 1
        serving = self._serving[self._settings] = asyncio.get_running_loop().create_future()
        self.send(FromCore.SETTINGS, self._settings, settings)
        try:
            first: set[asyncio.Future[Any]] = {serving, self.ended}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        finally:
            serving.cancel()

    def stop(self) -> None:
        """Make the front accept no more clients, and end when those that are there have left."""
        self.send(FromCore.STOP, 0)

    def send(self, kind: FromCore, number: int, content: bytes = b"") -> None:
        """Send a frame, at the end of this turn of the event loop, together with the others of this turn.

        Why not at once? Each write is a system call that wakes the front, and a line that a hundred people watch is a
        hundred frames.
        """
        if self._transport is None:
            return
        self.counts.sent_bytes += frames.HEADER.size + len(content)
        if len(content) > _JOINED_MAX:
            self._flush()
            self._transport.writelines((frames.header(kind, number, len(content)), content))
            return
        self._gathered += frames.frame(kind, number, content)
        if len(self._gathered) > _GATHERED_MAX:
            self._flush()
        elif self._flushing is None:
            self._flushing = self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write the frames that were gathered."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        gathered, self._gathered = self._gathered, bytearray()
        if gathered and self._transport is not None:
            self._transport.write(gathered)

    def send_output(self, number: int, data: bytes) -> None:
        """Send output to a session. Many people may watch a console, and all of them are given the same object: its
        bytes go to the front only once."""
        if len(data) > frames.KEPT_MIN:
            for place, kept in enumerate(self._kept):
                if kept is data:
                    self.send(FromCore.AGAIN, number, frames.status(place))
                    return
            self._kept.appendleft(data)
        self.send(FromCore.OUTPUT, number, data)

    # -- the connection -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the interface, but is no subclass
        self._transport.set_write_buffer_limits(high=UNREAD_MAX)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end("it has ended" if exc is None else f"its connection broke: {exc}")

    def pause_writing(self) -> None:
        self._has_room = False
        self._lobby.set_room(False)

    def resume_writing(self) -> None:
        self._has_room = True
        self._lobby.set_room(True)

    def data_received(self, data: bytes) -> None:
        self.counts.received_bytes += len(data)
        self._decoder.feed(data)
        if self._turn is None:
            self._take_turn()
        elif self._decoder.waiting > WAITING_MAX:
            self._read(False)

    def _read(self, reading: bool) -> None:
        if self._transport is not None and reading != self._is_reading:
            self._is_reading = reading
            (self._transport.resume_reading if reading else self._transport.pause_reading)()

    def _take_turn(self) -> None:
        self._turn = None
        until = time.perf_counter() + TURN_SECONDS
        try:
            while self._transport is not None and (found := self._decoder.next()) is not None:
                self._handlers[found.kind](self, found)
                if time.perf_counter() >= until:
                    self._turn = asyncio.get_running_loop().call_soon(self._take_turn)
                    return
        except FrontError as error:
            self.end(f"it broke the relay's protocol: {error}")
            return
        if not self._is_reading:
            self._read(True)

    def end(self, why: str) -> None:
        """End the connection and all sessions of the front. Whoever started the process sees `ended`, and ends it. A
        second call does nothing."""
        if self.ended.done():
            return
        self.ended.set_result(why)
        self.ready.cancel()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._turn is not None:
            self._turn.cancel()
        self._sessions.clear()
        self._lobby.end("the front that they came in by has ended")

    # -- what the front says ------------------------------------------------------------------------

    def _on_ready(self, frame: Frame) -> None:
        if self.ready.done():
            raise FrontError("READY came twice")
        self.ready.set_result(frames.as_texts(frame.content))

    def _on_serving(self, frame: Frame) -> None:
        serving = self._serving.pop(frame.number, None)
        if serving is None:
            raise FrontError(f"SERVING is about settings {frame.number}, which it was not given")
        if not serving.done():
            serving.set_result(None)

    def _on_login(self, frame: Frame) -> None:
        age, (name, key, address) = frames.as_login(frame.content)
        self._lobby.logged_in(frame.number, _principal(name, key, address), age)
        self.counts.logins += 1

    def _on_logout(self, frame: Frame) -> None:
        if self._lobby.has_sessions(frame.number):
            raise FrontError(f"LOGOUT ends connection {frame.number} before its sessions are closed")
        self._lobby.logged_out(frame.number)

    def _on_refused(self, frame: Frame) -> None:
        name, key, address, reason = frames.some_texts(frame.content, 4)
        self.counts.refused += 1
        self._lobby.refused(Principal(name[:_NAME_MAX], key, address), reason)

    def _on_ask_keys(self, frame: Frame) -> None:
        if len(self._questions) >= QUESTIONS_MAX:
            raise FrontError(f"ASK_KEYS asks more than {QUESTIONS_MAX} questions at the same time")
        user = frames.as_text(frame.content)
        self._questions.start(self._answer(frame.number, user), "a user's keys, for a front")

    async def _answer(self, number: int, user: str) -> None:
        answer = await asyncio.get_running_loop().run_in_executor(_KEY_THREADS, partial(self._keys, user))
        self.send(FromCore.KEYS, number, answer)

    def _on_open(self, frame: Frame) -> None:
        number = frame.number
        if number <= self._last_session:
            raise FrontError(f"session {number} begins twice, or after a session with a higher number")
        if len(self._sessions) >= FRONT_SESSIONS_MAX:
            raise FrontError(f"OPEN begins more than {FRONT_SESSIONS_MAX} sessions at the same time")
        connection, wanted = frames.as_opening(frame.content)
        self._last_session = number
        visitor = self._lobby.open(connection, wanted, _RemoteClient(self, number))
        visitor.set_room(self._has_room)
        self._sessions[number] = visitor

    def _visitor(self, frame: Frame) -> Visitor:
        visitor = self._sessions.get(frame.number)
        if visitor is None:
            raise FrontError(f"{FromFront(frame.kind).name} is about session {frame.number}, which there is not")
        return visitor

    def _on_input(self, frame: Frame) -> None:
        at, data = frames.as_input(frame.content)
        self._visitor(frame).typed(data, at)

    def _on_end_of_input(self, frame: Frame) -> None:
        self._visitor(frame).input_ended()

    def _on_size(self, frame: Frame) -> None:
        self._visitor(frame).resized(*frames.as_size(frame.content))

    def _on_break(self, frame: Frame) -> None:
        answer = frames.as_status(frame.content)
        if answer > 1:
            raise FrontError(f"BREAK says {answer}, where 0 or 1 belongs")
        self._visitor(frame).break_asked(answer=bool(answer))

    def _on_signal(self, frame: Frame) -> None:
        self._visitor(frame).signalled(frames.as_text(frame.content))

    def _on_credit(self, frame: Frame) -> None:
        self._visitor(frame).credit(frames.as_count(frame.content))

    def _on_deaf(self, frame: Frame) -> None:
        self._visitor(frame).reads_no_more()

    def _on_dismiss(self, frame: Frame) -> None:
        self._visitor(frame).dismissed(frames.as_text(frame.content))

    def _on_closed(self, frame: Frame) -> None:
        visitor = self._visitor(frame)
        del self._sessions[frame.number]
        visitor.lost()

    def _on_pong(self, frame: Frame) -> None:
        if not self.pongs < frame.number <= self._pings:
            raise FrontError(f"PONG answers ping {frame.number}, which was not asked, or is answered already")
        self.pongs = frame.number
        self.counts.turned_away += frames.as_count(frame.content)

    _handlers: Final[Mapping[int, Callable[[Relay, Frame], None]]] = {
        FromFront.READY: _on_ready,
        FromFront.SERVING: _on_serving,
        FromFront.LOGIN: _on_login,
        FromFront.LOGOUT: _on_logout,
        FromFront.REFUSED: _on_refused,
        FromFront.ASK_KEYS: _on_ask_keys,
        FromFront.OPEN: _on_open,
        FromFront.INPUT: _on_input,
        FromFront.END_OF_INPUT: _on_end_of_input,
        FromFront.SIZE: _on_size,
        FromFront.BREAK: _on_break,
        FromFront.CREDIT: _on_credit,
        FromFront.DEAF: _on_deaf,
        FromFront.DISMISS: _on_dismiss,
        FromFront.CLOSED: _on_closed,
        FromFront.PONG: _on_pong,
        FromFront.SIGNAL: _on_signal,
    }


def _principal(name: str, key: str, address: str) -> Principal:
    """Return the user whom a front claims to have let in. A user who comes through a front is never local. Raises
    `FrontError` if there can be no such user."""
    if not name or len(name) > _NAME_MAX or not (name + address).isprintable():
        raise FrontError(f"LOGIN is one of {name[:_NAME_MAX]!r} from {address[:_NAME_MAX]!r}, who cannot be")
    return Principal(name, key, address)
