"""asyncssh's session channel, with the limits of the protocol added, and with requests that only OpenSSH's client
makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import asyncssh

from oobconsole.ssh import private
from oobconsole.ssh.private import MSG_CHANNEL_EOF, SSHPacket, String

if TYPE_CHECKING:
    from oobconsole.ssh.channel import Channel
    from oobconsole.ssh.transport import Transport

_WINDOW_MAX: Final = (1 << 32) - 1  # RFC 4254, 5.2
#: How long a request for a terminal may be, in bytes. OpenSSH's has 300: modes have numbers from 1 to 159 (RFC 4254,
#: 8).
_TERMINAL_MAX: Final = 4096
#: How many requests that want an answer may wait behind a break. A client that keeps its connection alive sends one
#: in some seconds.
_REQUESTS_MAX: Final = 16
_UNKNOWN_TERM: Final = b"dumb"


class SessionChannel(private.Channel):
    """A channel of type `session`: the only one that a client can open here."""

    _exits = False
    _garbled = ""

    @property
    def garbled(self) -> str:
        """The command for which the client asks, with U+FFFD for bytes that are not UTF-8. Empty: the command is
        valid, or there is none."""
        return self._garbled if self._garbled == self.get_command() else ""

    def check_packet(self) -> None:
        if cast("Transport", self.connection).peer_exchanges:
            raise asyncssh.ProtocolError("only a key exchange may follow KEXINIT (RFC 4253, 7.1)")

    def window_grew(self, window: int) -> None:
        if window > _WINDOW_MAX:
            raise asyncssh.ProtocolError("a channel's window is over 4 GiB (RFC 4254, 5.2)")

    def take_env_request(self, packet: SSHPacket) -> bool:
        """Refuse environment variables: asyncssh would keep all of them, and nothing reads them."""
        return False

    def take_pty_request(self, packet: SSHPacket) -> bool:
        """Check a request before asyncssh does. Why? asyncssh would parse any number of modes, and a packet has room
        for 50,000. And it would end the connection if TERM is not ASCII; here such a TERM counts as an unknown
        terminal."""
        about = SSHPacket(packet.get_remaining_payload())
        if len(about.get_full_payload()) > _TERMINAL_MAX:
            return False
        if not about.get_string().isascii():
            packet = SSHPacket(String(_UNKNOWN_TERM) + about.get_remaining_payload())
        return super().take_pty_request(packet)

    def take_exec_request(self, packet: SSHPacket) -> bool:
        """Begin a session also for a command that is not UTF-8, so that the client can be told why it fails. asyncssh
        would only refuse the request. Such a command comes from a terminal or a script that uses Latin-1."""
        command = SSHPacket(packet.get_remaining_payload()).get_string()
        try:
            command.decode()
        except UnicodeDecodeError:
            self._garbled = command.decode(errors="replace")
            return self.begin_session(self._garbled)
        return super().take_exec_request(packet)

    def take_request(self, kind: int, number: int, packet: SSHPacket) -> None:
        """Handle a request, also while a break waits for its answer. Requests are answered in their order, so
        whatever wants an answer waits behind the break. Requests that want none, such as a terminal's new size, do
        not wait."""
        if not self.requests_kept:
            super().take_request(kind, number, packet)
            return
        about = SSHPacket(packet.get_remaining_payload())
        about.get_string()
        if not about.get_boolean():
            self.take_request_now(kind, number, packet)
        elif self.requests_kept > _REQUESTS_MAX:
            raise asyncssh.ProtocolError("too many requests while a break waits for its answer")
        else:
            super().take_request(kind, number, packet)

    def take_break(self, packet: SSHPacket, *, answer: bool) -> bool | None:
        """Ask the session for a break. asyncssh would answer before the console has sent it."""
        packet.get_uint32()  # how long the break should be; a line decides that for itself
        packet.check_end()
        if self.session is None or not cast("Channel", self.session).break_asked(answer=answer):
            return False
        return None if answer else True

    def answer_break(self, sent: bool) -> None:
        """Tell the client whether the break was sent for which it wanted an answer."""
        if not self.requests_kept:
            return
        try:
            self.answer_request(sent)
        except (asyncssh.DisconnectError, private.PacketDecodeError) as error:
            # A request that has waited behind the break is malformed. asyncssh handles such errors only where it
            # reads from the network.
            self.connection.disconnect(asyncssh.DISC_PROTOCOL_ERROR, str(error))

    def take_eow(self, packet: SSHPacket) -> bool:
        """The client's standard output is closed (`| grep -m1`): OpenSSH's PROTOCOL, section 2.1."""
        packet.check_end()
        if self.session is not None:
            cast("Channel", self.session).reads_no_more()
        return True

    def exit(self, status: int) -> None:
        self._exits = True
        super().exit(status)

    def closes(self) -> None:
        """Send EOF before CLOSE, as RFC 4254, 5.3, wants it: libssh2 waits for EOF."""
        if self._exits and not self.sent_close:
            self.send_packet(MSG_CHANNEL_EOF)
