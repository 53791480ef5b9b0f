"""One SSH channel is the client's end of a session. It passes on what asyncssh receives to the session, and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

import asyncssh

from oobconsole.front.ends import INPUT_WINDOW, OUTPUT_WINDOW, PORTION, SessionEnd
from oobconsole.front.frames import TERM_MAX, Opening
from oobconsole.session.signals import SIGNALS
from oobconsole.ssh import private
from oobconsole.ssh.private import TermModes, TermSize

if TYPE_CHECKING:
    from oobconsole.ssh.sessionchannel import SessionChannel

#: How long a client may keep a channel open without beginning a session, in seconds.
_UNUSED_SECONDS: Final = 120.0
_SIZE_MAX: Final = 65535
#: A session gets credit for output when so many bytes have been taken.
_CREDIT_MIN: Final = OUTPUT_WINDOW // PORTION


class Channel(asyncssh.SSHServerSession[bytes]):
    """A session channel that a client has opened.

    Args:
        started: called when the client has said what it wants (`wanted`). Returns the session.
        lost: called when the channel is closed.

    Attributes:
        has_exited: the session has ended. The client may still be reading, and has not closed the channel yet.
    """

    def __init__(self, started: Callable[[Channel], SessionEnd], lost: Callable[[Channel], object]) -> None:
        self._started = started
        self._lost = lost
        self._session: SessionEnd | None = None
        self._held = bytearray()  # input for which there is no credit
        self._held_ended = False
        self._may_send = INPUT_WINDOW
        self._owed = 0  # bytes of output that asyncssh has taken, and for which the session has got no credit yet
        self._writable = True
        self._room = True
        self._closed = False
        self.has_exited = False
        self._unused: asyncio.TimerHandle | None = None

    # -- what the client asks for -------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = cast(private.Channel, chan)
        self._unused = asyncio.get_running_loop().call_later(_UNUSED_SECONDS, self.finish, 1)

    def pty_requested(self, term_type: str, term_size: TermSize, term_modes: TermModes) -> bool:
        return len(term_type) <= TERM_MAX

    def shell_requested(self) -> bool:
        return True  # the client gets the menu, because there is no shell

    def exec_requested(self, command: str) -> bool:
        return True

    def session_started(self) -> None:
        if self._unused is not None:
            self._unused.cancel()
        self._session = self._started(self)

    @property
    def wanted(self) -> Opening:
        """What the client asks for."""
        rows, columns = self._size()
        version = str(self._channel.get_extra_info("client_version") or "")
        return Opening(
            self._channel.get_command(),
            bool(getattr(self._channel, "garbled", "")),
            self._channel.get_terminal_type(),
            rows,
            columns,
            version.removeprefix("SSH-2.0-"),  # RFC 4253, section 4.2: OpenSSH_9.2p1
        )

    def _size(self) -> tuple[int, int]:
        columns, rows, _, _ = self._channel.get_terminal_size()
        return min(rows, _SIZE_MAX), min(columns, _SIZE_MAX)

    # -- what the connection says -------------------------------------------------------------------

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        if self._held or len(data) > self._may_send:
            self._held += data
            self._send_held()
        else:
            self._type(data)
        if self._held or not self._may_send:
            self._channel.pause_reading()

    def _type(self, data: bytes) -> None:
        self._may_send -= len(data)
        if self._session is not None:  # it has begun, because asyncssh delivers no input before; it may have ended
            self._session.typed(data, time.monotonic())

    def _send_held(self) -> None:
        """Give the session as much of the held input as there is credit for."""
        if self._held and self._may_send:
            data = bytes(self._held[: self._may_send])
            del self._held[: self._may_send]
            self._type(data)
        if self._held_ended and not self._held:
            self._held_ended = False
            self._end_input()

    def eof_received(self) -> bool:
        if self._held:
            self._held_ended = True
        else:
            self._end_input()
        return True  # output goes on

    def _end_input(self) -> None:
        if self._session is not None:
            self._session.input_ended()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._give_credit(1)

    def set_room(self, room: bool) -> None:
        """Say whether the network connection takes more output. (`pause_writing` is only about this channel's
        window.)"""
        self._room = room
        self._give_credit(1)

    def reads_no_more(self) -> None:
        """The client's standard output is closed, but the client still wants to know how the session ends."""
        if self._session is not None:
            self._session.reads_no_more()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._session is not None:
            self._session.resized(*self._size())

    def break_asked(self, *, answer: bool) -> bool:
        """The client asks for a break. Returns False if there can be none.

        Args:
            answer: the client wants to be told whether the break was sent.
        """
        if self._session is None or self._channel.get_terminal_type() is None:
            return False
        self._session.break_asked(answer=answer)
        return True

    def signal_received(self, signal: str) -> None:
        if self._session is not None and signal in SIGNALS:
            self._session.signalled(signal)

    def dismiss(self, reason: str) -> None:
        """The user has lost the right to be here. The session tells the user why, and ends."""
        if self._session is not None:
            self._session.dismissed(reason)
        else:
            self.finish(1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = self.has_exited = True
        if self._unused is not None:
            self._unused.cancel()
        session, self._session = self._session, None
        if session is not None:
            session.lost()
        self._lost(self)

    # -- what the session says ----------------------------------------------------------------------

    def send(self, data: bytes, *, error: bool) -> None:
        """Send bytes to the client. asyncssh keeps those for which the client's window has no room."""
        if self._closed or not self._channel.put(data, asyncssh.EXTENDED_DATA_STDERR if error else None):
            return
        self._owed += len(data)
        if self._owed >= _CREDIT_MIN:
            self._give_credit(_CREDIT_MIN)

    def _give_credit(self, least: int) -> None:
        if self._owed >= least and self._writable and self._room and self._session is not None:
            owed, self._owed = self._owed, 0
            self._session.credit(owed)

    def taken(self, count: int) -> None:
        """The session has read `count` bytes, so that as many more may be sent to it."""
        self._may_send += count
        if self._session is None:  # it is about to begin, or over
            return
        self._send_held()
        if not self._held and self._may_send:
            self._channel.resume_reading()

    def break_answered(self, sent: bool) -> None:
        """Tell the client whether the break was sent."""
        if not self._closed:
            cast("SessionChannel", self._channel).answer_break(sent)

    def finish(self, status: int) -> None:
        """The session has ended. Sends the exit status, and closes the channel once everything is sent."""
        self.has_exited = True
        if not self._closed:
            self._channel.exit(status)
