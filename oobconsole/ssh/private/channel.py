"""A server's session channel with hooks: what a channel meets from its first request to its end."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

import asyncssh
from asyncssh.constants import MSG_CHANNEL_REQUEST, MSG_CHANNEL_WINDOW_ADJUST
from asyncssh.packet import SSHPacket

if TYPE_CHECKING:
    from oobconsole.ssh.private.connection import Connection


class Channel(asyncssh.SSHServerChannel[bytes]):
    """A server's session channel, with hooks."""

    @property
    def connection(self) -> Connection:
        """The connection that the channel belongs to."""
        return cast("Connection", self._conn)

    @property
    def session(self) -> asyncssh.SSHServerSession[bytes] | None:
        """Whoever was given the channel; None: nobody yet, or nobody any more."""
        return self._session

    @property
    def sent_close(self) -> bool:
        """Whether CLOSE was sent."""
        return self._send_state == "closed"

    def begin_session(self, command: str) -> bool:
        """Begin the session as if the client had asked for `command`."""
        return self._start_session(command=command)

    def check_packet(self) -> None:
        """Called before a packet is handled. Raises `asyncssh.ProtocolError` if none must come now."""

    def process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> bool | Awaitable[None]:
        self.check_packet()
        return super().process_packet(pkttype, pktid, packet)

    def window_grew(self, window: int) -> None:
        """The client takes more; `window` is how many bytes it takes in all."""

    def may_take(self, count: int) -> bool:
        """Whether `take` may be called with so many bytes. If not, asyncssh decides what becomes of them."""
        return (
            0 < count <= self._recv_window
            and self._recv_state == "open"
            and self._send_state == "open"
            and not self._recv_paused
        )

    def take(self, data: bytes) -> None:
        """The client has sent data."""
        self._recv_window -= len(data)
        if 2 * self._recv_window >= self._init_recv_window and self._session is not None:
            self._session.data_received(data, None)
        else:
            self._deliver_data(data, None)

    def put(self, data: bytes, kind: int | None) -> bool:
        """Send data to the client, by the short way if nothing waits before it and the client has room for it.

        Args:
            kind: the kind of data (RFC 4254, 5.2), such as standard error; None: standard output.

        Returns:
            False: the channel is closed, or is about to be.
        """
        if self._send_state != "open":
            return False
        connection, number = cast("Connection | None", self._conn), self._send_chan
        if (
            kind is not None
            or self._send_buf
            or len(data) > self._send_window
            or number is None
            or connection is None
            or not connection.may_send_data()
        ):
            self.write(data, kind)
            return True
        self._send_window -= len(data)
        most = self._send_pktsize
        if len(data) <= most:
            connection.send_data(number, data)
            return True
        parts = memoryview(data)
        for begin in range(0, len(data), most):
            connection.send_data(number, parts[begin : begin + most])
        return True

    def take_env_request(self, packet: SSHPacket) -> bool:
        """The client sets a variable (RFC 4254, 6.4). Returns whether that is granted, as all of these do."""
        return super()._process_env_request(packet)

    def take_pty_request(self, packet: SSHPacket) -> bool:
        """The client wants a terminal (RFC 4254, 6.2)."""
        return super()._process_pty_req_request(packet)

    def take_exec_request(self, packet: SSHPacket) -> bool:
        """The client wants a command to be run (RFC 4254, 6.5)."""
        return super()._process_exec_request(packet)

    def take_eow(self, packet: SSHPacket) -> bool:
        """The client's standard output is closed: OpenSSH's PROTOCOL, section 2.1. asyncssh knows nothing of it."""
        return False

    def take_break(self, packet: SSHPacket, *, answer: bool) -> bool | None:
        """The client asks for a break (RFC 4335, 3). Returns whether it is sent, or None if `answer_request` will say
        so later; until then asyncssh keeps the requests that follow.

        Args:
            answer: the client wants to be told.
        """
        return super()._process_break_request(packet)

    def answer_request(self, success: bool) -> None:
        """Answer the request whose answer was put off, and go on with those that have followed."""
        self._report_response(success)

    @property
    def requests_kept(self) -> int:
        """How many requests asyncssh keeps, with the one whose answer was put off."""
        return len(self._request_queue)

    def take_request(self, kind: int, number: int, packet: SSHPacket) -> None:
        """A request has come (RFC 4254, 5.4)."""
        super()._process_request(kind, number, packet)

    def take_request_now(self, kind: int, number: int, packet: SSHPacket) -> None:
        """Handle a request, though others are kept."""
        kept, self._request_queue = self._request_queue, []
        try:
            super()._process_request(kind, number, packet)
        finally:
            self._request_queue = kept

    def closes(self) -> None:
        """CLOSE is about to be sent, or was sent already."""

    def _window_adjust(self, kind: int, number: int, packet: SSHPacket) -> None:
        super()._process_window_adjust(kind, number, packet)
        self.window_grew(self._send_window)

    def _request(self, kind: int, number: int, packet: SSHPacket) -> None:
        self.take_request(kind, number, packet)

    def _process_break_request(self, packet: SSHPacket) -> bool:
        _, _, answer = self._request_queue[0]
        return cast(bool, self.take_break(packet, answer=answer))  # asyncssh takes None for "not yet"

    def _process_env_request(self, packet: SSHPacket) -> bool:
        return self.take_env_request(packet)

    def _process_pty_req_request(self, packet: SSHPacket) -> bool:
        return self.take_pty_request(packet)

    def _process_exec_request(self, packet: SSHPacket) -> bool:
        return self.take_exec_request(packet)

    def _process_eow_at_openssh_dot_com_request(self, packet: SSHPacket) -> bool:
        return self.take_eow(packet)

    def _close_send(self) -> None:
        self.closes()
        super()._close_send()

    _packet_handlers = {  # noqa: RUF012 - asyncssh looks for it here
        **asyncssh.SSHServerChannel._packet_handlers,
        MSG_CHANNEL_REQUEST: _request,
        MSG_CHANNEL_WINDOW_ADJUST: _window_adjust,
    }
