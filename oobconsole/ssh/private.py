"""The only file that uses what asyncssh does not document: its private methods and attributes, and its submodules.

asyncssh promises nothing about these, so a new version may change any of them. Everything else in this folder uses
the names below instead. `Connection` and `Channel` are asyncssh's classes with *hooks*: methods without an underscore
that a subclass overrides, and that asyncssh reaches through a private method of the same purpose. Each hook does what
asyncssh does when it is not overridden.

All of it works with the versions in `TRIED`. `tests/unit/ssh/test_private.py` fails when the installed version lacks
something, or when a private method has other arguments; `make asyncssh` runs the SSH tests with each version of
`TRIED`. To allow a newer version: add it to `TRIED`, run `make asyncssh`, mend this file, then raise the bound in
`pyproject.toml`.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Awaitable
from typing import Any, Final, cast

import asyncssh
from asyncssh.constants import (
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_WINDOW_ADJUST,
    MSG_EXT_INFO,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_NEWKEYS,
    MSG_SERVICE_ACCEPT,
    MSG_SERVICE_REQUEST,
    MSG_USERAUTH_LAST,
    MSG_USERAUTH_REQUEST,
    OPEN_RESOURCE_SHORTAGE,
)
from asyncssh.encryption import Encryption, GCMEncryption
from asyncssh.misc import TermModes, TermSize
from asyncssh.packet import PacketDecodeError, SSHPacket, SSHPacketLogger, String
from asyncssh.public_key import SSHOpenSSHCertificate, decode_ssh_certificate, decode_ssh_public_key

from oobconsole.ssh.gcm import TAG, Gcm

#: The versions of asyncssh with which the SSH tests were run: all that `pyproject.toml` allows. 2.24.0 is not among
#: them: it has no limit of a packet's length that could be set.
TRIED: Final = ("2.24.1",)

__all__ = [
    "MSG_CHANNEL_EOF",
    "MSG_IGNORE",
    "MSG_SERVICE_ACCEPT",
    "MSG_USERAUTH_LAST",
    "OPEN_RESOURCE_SHORTAGE",
    "TRIED",
    "Channel",
    "Connection",
    "PacketDecodeError",
    "SSHOpenSSHCertificate",
    "SSHPacket",
    "SSHPacketLogger",
    "String",
    "TermModes",
    "TermSize",
    "decode_ssh_certificate",
    "decode_ssh_public_key",
    "id_of",
    "is_host_certificate",
    "serial_of",
    "validity_of",
]

_HOST: Final = 2  # SSH2_CERT_TYPE_HOST
#: The beginning of a packet of a channel's data: length of the padding, kind, channel, length of the data (RFC 4253,
#: 6, and RFC 4254, 5.2).
_DATA: Final = struct.Struct(">BBII")
_LENGTH: Final = struct.Struct(">I")
_BLOCK: Final = 16  # a packet of AES-GCM has a multiple of so many bytes behind its length (RFC 5647, 7.2)
_PADDING_MIN: Final = 4  # RFC 4253, 6
#: An encrypted packet of at most so many bytes is copied behind its length, because one write is cheaper than two.
_JOINED_MAX: Final = 4096
_TIMER_SECONDS: Final = 0.01  # a timer may expire a little early


def serial_of(certificate: SSHOpenSSHCertificate) -> int:
    """The number that the CA gave a certificate."""
    return certificate._serial


def id_of(certificate: SSHOpenSSHCertificate) -> str:
    """The text by which the CA names a certificate in logs (`ssh-keygen -I`)."""
    return certificate._key_id


def is_host_certificate(certificate: SSHOpenSSHCertificate) -> bool:
    """Whether a certificate is for a server, and not for a user."""
    return certificate._cert_type == _HOST


def validity_of(certificate: SSHOpenSSHCertificate) -> tuple[int, int]:
    """Return from when and until when a certificate is valid, in seconds since 1970. The end itself does not belong
    to it."""
    return certificate._valid_after, certificate._valid_before


class _Sealing(Encryption):
    """AES-GCM in asyncssh's own form, which is used for packets that are not a channel's data.

    Attributes:
        gcm: encrypts, or decrypts.
        opened: the packet that was decrypted last, if asyncssh is yet to be given it.
    """

    def __init__(self, like: GCMEncryption) -> None:
        self.gcm = Gcm(like._cipher._key, like._cipher._iv)
        self.opened: bytes | None = None

    def encrypt_packet(self, seq: int, header: bytes, packet: bytes) -> tuple[bytes, bytes]:
        return header + self.gcm.seal(packet, header), b""

    def decrypt_header(self, seq: int, first_block: bytes, header_len: int) -> tuple[bytes, bytes]:
        return first_block, first_block[:header_len]

    def decrypt_packet(self, seq: int, first: bytes, rest: bytes, header_len: int, mac: bytes) -> bytes | None:
        opened, self.opened = self.opened, None
        return opened


def _sealing(encryption: Encryption | None) -> Encryption | None:
    """Return our own AES-GCM in place of asyncssh's. Other ciphers stay as they are."""
    return _Sealing(encryption) if type(encryption) is GCMEncryption else encryption


class Connection(asyncssh.SSHServerConnection):
    """A server's connection. The hooks stand behind the attributes, in the order in which a connection meets them.

    Packets of a channel's data are nearly all that there are. With AES-GCM, which nearly all clients use, they take a
    short way past asyncssh (`_take_data`, `send_data`), with the same checks. All other packets go asyncssh's way.

    Attributes:
        peer_exchanges: the client has sent KEXINIT, and not yet NEWKEYS. To be set by a subclass. Meanwhile no packet
            takes the short way.
    """

    peer_exchanges = False
    _heard = 0.0  # when the client has sent something, by the event loop's clock

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop on which the connection runs."""
        return self._loop

    @property
    def network(self) -> asyncio.Transport | None:
        """What carries the bytes; None: the connection is closed."""
        return self._transport

    @property
    def is_known(self) -> bool:
        """Whether the client has logged in."""
        return self._auth_complete

    @property
    def is_logging_in(self) -> bool:
        """Whether a login has begun and not ended."""
        return self._auth_in_progress and not self._auth_complete

    @property
    def exchange_is_over(self) -> bool:
        """Whether the keys are agreed on: while they are not, asyncssh keeps what is to be sent."""
        return self._kex_complete

    @property
    def takes_packets(self) -> bool:
        """False while asyncssh waits for the work on the last packet to end."""
        return self._recv_handler in (self._recv_version, self._recv_pkthdr, self._recv_packet)

    def is_free(self, unread: int) -> bool:
        """Whether asyncssh would handle input at once: nothing is being worked on or kept back, and at most `unread`
        bytes wait for the client to read them."""
        return (
            self._transport is not None
            and self._recv_handler == self._recv_pkthdr
            and not self._deferred_packets
            and self._transport.get_write_buffer_size() <= unread
        )

    @property
    def deferred(self) -> int:
        """How many packets asyncssh keeps back until the key exchange is over."""
        return len(self._deferred_packets)

    @property
    def first_algorithms(self) -> tuple[list[bytes], list[bytes]]:
        """What we prefer, of key exchanges and of host keys: one each, or none."""
        return list(self._kex_algs[:1]), list(self._server_host_key_algs or ())[:1]

    @property
    def ciphers(self) -> list[bytes]:
        """What we offer and accept to encrypt with, in both directions."""
        return list(self._enc_algs)

    @ciphers.setter
    def ciphers(self, names: list[bytes]) -> None:
        self._enc_algs = names

    @property
    def has_sent_kexinit(self) -> bool:
        """Whether asyncssh takes our side of this key exchange for begun."""
        return self._kexinit_sent

    @has_sent_kexinit.setter
    def has_sent_kexinit(self, sent: bool) -> None:
        self._kexinit_sent = sent

    def limit_packets(self, size: int) -> None:
        """Take no packet of more than `size` bytes from now on."""
        self._max_recv_pktlen = size

    def forget_deferred(self) -> None:
        """Give up the packets that are kept back."""
        self._deferred_packets.clear()

    def ignore_next_exchange(self, ignore: bool) -> None:
        """Whether the packet behind KEXINIT is a wrong guess, which has to be ignored (RFC 4253, 7)."""
        self._ignore_first_kex = ignore

    def handle(self, data: bytes) -> None:
        """Have asyncssh handle `data`, and what it has of older data, as far as `may_take_packet` lets it."""
        self._inpbuf = self._inpbuf + data if self._inpbuf else data
        self._recv_data()

    async def login_decided(self) -> None:
        """Wait for the decision about the request that was made last."""
        if self._auth is not None and self._auth.task is not None:
            await asyncio.wait([self._auth.task])

    # -- hooks: each packet -------------------------------------------------------------------------

    def may_take_packet(self) -> bool:
        """Asked where each packet begins. False: not now, and `handle` returns."""
        return True

    def took_packet(self) -> None:
        """Called when asyncssh begins to handle a packet."""

    def slow_packet_ends(self) -> None:
        """The work on a packet that took its time is over; asyncssh goes on with the next one behind this."""

    def slow_packet_ended(self) -> None:
        """As `slow_packet_ends`, when asyncssh has gone on."""

    def cleaned_up(self) -> None:
        """Called when the connection is closed."""

    def _recv_pkthdr(self) -> bool:
        if not self.may_take_packet():
            return False
        encryption = self._recv_encryption
        if type(encryption) is _Sealing:
            return self._open_packet(encryption)
        if not super()._recv_pkthdr():
            return False
        self.took_packet()
        return True

    def _open_packet(self, encryption: _Sealing) -> bool:
        """Decrypt the next packet, if all of it is there. Hand data to its channel, and other packets to asyncssh."""
        waiting = self._inpbuf
        length = int.from_bytes(waiting[:4])
        if length > self._max_recv_pktlen:
            raise asyncssh.ProtocolError("Max packet size exceeded")
        end = 4 + length + TAG
        if len(waiting) < end:
            return False
        self.took_packet()
        opened = encryption.gcm.open(waiting[4:end], waiting[:4])
        if not opened:
            raise asyncssh.MACError("MAC verification failed")
        if len(opened) > _DATA.size and opened[1] == MSG_CHANNEL_DATA and self._take_data(opened, end):
            return True
        encryption.opened = opened
        return super()._recv_pkthdr()

    def _take_data(self, opened: bytes, end: int) -> bool:
        """Hand a channel's data to the channel. False: something about the packet or the moment is not as usual, and
        asyncssh has to decide what follows from that.

        Args:
            opened: the packet.
            end: how many bytes of the input it is.
        """
        padding, _, number, length = _DATA.unpack_from(opened)
        channel = self._channels.get(number)
        if (
            _DATA.size + length + padding != len(opened)
            or not padding
            or not self._auth_complete
            or self.peer_exchanges
            or not isinstance(channel, Channel)
            or not channel.may_take(length)
        ):
            return False
        self._inpbuf = self._inpbuf[end:]
        self._recv_seq = (self._recv_seq + 1) & 0xFFFFFFFF
        self._auth_final = True
        channel.take(opened[_DATA.size : _DATA.size + length])
        return True

    def _finish_recv_packet(
        self, pkttype: int, seq: int, _task: asyncio.Task[Any] | None = None, is_async: bool = False
    ) -> None:
        if is_async:
            self.slow_packet_ends()
        super()._finish_recv_packet(pkttype, seq, _task, is_async)
        if is_async:
            self.slow_packet_ended()

    def _cleanup(self, exc: Exception | None) -> None:
        super()._cleanup(exc)
        self.cleaned_up()

    def may_send_data(self) -> bool:
        """Whether `send_data` may be called now."""
        return (
            type(self._send_encryption) is _Sealing
            and self._kex_complete
            and self._auth_complete
            and self._transport is not None
            and self._rekey_bytes_sent < self._rekey_bytes
            and (not self._rekey_seconds or time.monotonic() < self._rekey_time)
        )

    def send_data(self, channel: int, data: bytes | memoryview) -> None:
        """Send a packet of a channel's data, to the client's number of that channel."""
        encryption, network = cast(_Sealing, self._send_encryption), cast(asyncio.Transport, self._transport)
        padding = -(_DATA.size + len(data)) % _BLOCK
        if padding < _PADDING_MIN:
            padding += _BLOCK
        begin = _DATA.pack(padding, MSG_CHANNEL_DATA, channel, len(data))
        packet = b"".join((begin, data, self._padding[:padding]))
        length = _LENGTH.pack(len(packet))
        sealed = encryption.gcm.seal(packet, length)
        if len(sealed) <= _JOINED_MAX:
            network.write(length + sealed)
        else:
            network.writelines((length, sealed))
        self._send_seq = (self._send_seq + 1) & 0xFFFFFFFF
        self._rekey_bytes_sent += len(packet)

    # -- hooks: whether the client is still there ---------------------------------------------------

    def _reset_keepalive_timer(self) -> None:
        """The client has sent something. asyncssh would begin a new timer; here the timer that runs is looked at when
        it expires."""
        self._heard = self._loop.time()
        if self._keepalive_timer is None and self._auth_complete:
            self._set_keepalive_timer()

    def _keepalive_timer_callback(self) -> None:
        left = self._heard + self._keepalive_interval - self._loop.time()
        if left > _TIMER_SECONDS:
            self._keepalive_timer = self._loop.call_later(left, self._keepalive_timer_callback)
        else:
            super()._keepalive_timer_callback()

    # -- hooks: packets of one kind -----------------------------------------------------------------

    def send_kexinit(self) -> None:
        """Begin a key exchange, or answer to one. An override may wait with it; the client's KEXINIT is then answered
        only if `has_sent_kexinit` was set to False before `take_kexinit`."""
        super()._send_kexinit()

    def _send_kexinit(self) -> None:
        self.send_kexinit()

    async def take_kexinit(self, kind: int, number: int, packet: SSHPacket) -> None:
        """The client begins a key exchange (RFC 4253, 7.1)."""
        await super()._process_kexinit(kind, number, packet)

    def take_newkeys(self, kind: int, number: int, packet: SSHPacket) -> None:
        """The client uses the new keys from now on (RFC 4253, 7.3)."""
        super()._process_newkeys(kind, number, packet)
        self._recv_encryption = _sealing(self._recv_encryption)

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        """We use the new keys from now on."""
        super().send_newkeys(k, h)
        self._send_encryption = _sealing(self._send_encryption)
        #: The padding is encrypted, and never looked at: the same random bytes serve for each packet.
        self._padding = os.urandom(_PADDING_MIN + _BLOCK)

    def take_service_request(self, kind: int, number: int, packet: SSHPacket) -> None:
        """The client wants to log in (RFC 4253, 10)."""
        super()._process_service_request(kind, number, packet)

    def take_userauth_request(self, kind: int, number: int, packet: SSHPacket) -> Awaitable[None] | None:
        """The client tries to log in (RFC 4252, 5)."""
        return super()._process_userauth_request(kind, number, packet)

    def take_channel_open(self, kind: int, number: int, packet: SSHPacket) -> None:
        """The client opens a channel (RFC 4254, 5.1)."""
        super()._process_channel_open(kind, number, packet)

    def take_ext_info(self, kind: int, number: int, packet: SSHPacket) -> None:
        """The client tells of its extensions (RFC 8308, 2.3)."""
        super()._process_ext_info(kind, number, packet)

    #: asyncssh looks for a packet's handler here; without the detour it would not find a subclass's.
    _packet_handlers = {  # noqa: RUF012
        **asyncssh.SSHServerConnection._packet_handlers,
        MSG_KEXINIT: lambda self, *packet: self.take_kexinit(*packet),
        MSG_NEWKEYS: lambda self, *packet: self.take_newkeys(*packet),
        MSG_SERVICE_REQUEST: lambda self, *packet: self.take_service_request(*packet),
        MSG_USERAUTH_REQUEST: lambda self, *packet: self.take_userauth_request(*packet),
        MSG_CHANNEL_OPEN: lambda self, *packet: self.take_channel_open(*packet),
        MSG_EXT_INFO: lambda self, *packet: self.take_ext_info(*packet),
    }

    # -- hooks: channels ----------------------------------------------------------------------------

    def make_channel(self, *about: Any) -> Channel:
        """Make a channel of a class of our own; `about` is handed on to its constructor."""
        return Channel(*about)

    def create_server_channel(
        self, encoding: str | None = "", errors: str = "", window: int = 0, max_pktsize: int = 0
    ) -> Channel:
        size = max_pktsize or self._max_pktsize
        self._update_recv_pktlen(size)
        about = (self._line_editor, self._line_echo, self._line_history, self._max_line_length)
        window = window or self._window
        return self.make_channel(self, self._loop, self._allow_pty, *about, None, self._errors, window, size)


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
        connection, number = self._conn, self._send_chan
        if (
            kind is not None
            or self._send_buf
            or len(data) > self._send_window
            or number is None
            or not isinstance(connection, Connection)
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
