"""asyncssh's session channel with the protocol's bounds, and with what OpenSSH's client asks for besides."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, cast

import asyncssh
from asyncssh.constants import MSG_CHANNEL_EOF, MSG_CHANNEL_WINDOW_ADJUST
from asyncssh.packet import SSHPacket, String

if TYPE_CHECKING:
    from oobconsole.ssh.channel import Channel
    from oobconsole.ssh.transport import Transport

_WINDOW_MAX: Final = (1 << 32) - 1  # RFC 4254, 5.2
#: A request for a terminal, in bytes. OpenSSH's has 300: its modes are numbered from 1 to 159 (RFC 4254, 8).
_TERMINAL_MAX: Final = 4096
_UNKNOWN_TERM: Final = b"dumb"


class SessionChannel(asyncssh.SSHServerChannel[bytes]):
    """A channel of type `session`: the only one that a client can open here."""

    _exits = False
    _garbled = ""

    @property
    def garbled(self) -> str:
        """The command that the client asks for, with U+FFFD for what is no UTF-8; empty: it is text, or none."""
        return self._garbled if self._garbled == self.get_command() else ""

    def process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> bool | Awaitable[None]:
        if cast("Transport", self._conn).peer_exchanges:
            raise asyncssh.ProtocolError("only a key exchange may follow KEXINIT (RFC 4253, 7.1)")
        return super().process_packet(pkttype, pktid, packet)

    def _window_adjust(self, pkttype: int, pktid: int, packet: SSHPacket) -> None:
        super()._process_window_adjust(pkttype, pktid, packet)
        if self._send_window > _WINDOW_MAX:
            raise asyncssh.ProtocolError("a channel's window is over 4 GiB (RFC 4254, 5.2)")

    def _process_env_request(self, packet: SSHPacket) -> bool:
        """No environment: asyncssh keeps whatever is sent, and nothing reads it."""
        return False

    def _process_pty_req_request(self, packet: SSHPacket) -> bool:
        """asyncssh takes modes apart however many there are: 50,000 in a packet; and ends the connection for a TERM
        that is not ASCII, which is one that nobody knows."""
        about = SSHPacket(packet.get_remaining_payload())
        if len(about.get_full_payload()) > _TERMINAL_MAX:
            return False
        if not about.get_string().isascii():
            packet = SSHPacket(String(_UNKNOWN_TERM) + about.get_remaining_payload())
        return super()._process_pty_req_request(packet)

    def _process_exec_request(self, packet: SSHPacket) -> bool:
        """A terminal or script that speaks Latin-1 is told so; asyncssh only fails the request."""
        command = SSHPacket(packet.get_remaining_payload()).get_string()
        try:
            command.decode()
        except UnicodeDecodeError:
            self._garbled = command.decode(errors="replace")
            return self._start_session(command=self._garbled)
        return super()._process_exec_request(packet)

    def _process_eow_at_openssh_dot_com_request(self, packet: SSHPacket) -> bool:
        """The client's standard output is closed (`| grep -m1`): OpenSSH's PROTOCOL, section 2.1."""
        packet.check_end()
        if self._session is not None:
            cast("Channel", self._session).reads_no_more()
        return True

    def exit(self, status: int) -> None:
        self._exits = True
        super().exit(status)

    def _close_send(self) -> None:
        """RFC 4254, 5.3, has EOF before CLOSE; libssh2 waits for it."""
        if self._exits and self._send_state != "closed":
            self.send_packet(MSG_CHANNEL_EOF)
        super()._close_send()

    _packet_handlers = {  # noqa: RUF012 - asyncssh looks for it here
        **asyncssh.SSHServerChannel._packet_handlers,
        MSG_CHANNEL_WINDOW_ADJUST: _window_adjust,
    }
