"""A server's connection with hooks: what a connection meets from its first packet to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import asyncssh
from asyncssh.constants import (
    MSG_CHANNEL_OPEN,
    MSG_EXT_INFO,
    MSG_KEXINIT,
    MSG_NEWKEYS,
    MSG_SERVICE_REQUEST,
    MSG_USERAUTH_REQUEST,
)
from asyncssh.packet import SSHPacket, SSHPacketLogger

from oobconsole.ssh.private.channel import Channel
from oobconsole.ssh.private.data import DataWay

_TIMER_SECONDS: Final = 0.01  # a timer may expire a little early


class Connection(DataWay):
    """A server's connection. The hooks stand behind the attributes, in the order in which a connection meets them."""

    #: Kinds of packets that are not sent, although asyncssh sends them.
    never_sent: frozenset[int] = frozenset()
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

    def slow_packet_ends(self) -> None:
        """Called when a packet has been handled for which asyncssh had to wait. The input behind it still waits."""

    def slow_packet_ended(self) -> None:
        """Called after `slow_packet_ends`, once asyncssh has also handled the input behind that packet."""

    def cleaned_up(self) -> None:
        """Called when the connection is closed."""

    def _recv_pkthdr(self) -> bool:
        return self.may_take_packet() and super()._recv_pkthdr()

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

    def check_packet(self, kind: int) -> None:
        """Called before a packet is handled. Raises `asyncssh.ProtocolError` if it must not come now."""

    def process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> bool | Awaitable[None]:
        self.check_packet(pkttype)
        return super().process_packet(pkttype, pktid, packet)

    def send_packet(self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None) -> None:
        if pkttype not in self.never_sent:
            super().send_packet(pkttype, *args, handler=handler)

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
        self.use_short_way(receive=True)

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        super().send_newkeys(k, h)
        self.use_short_way(receive=False)
        self.newkeys_sent()

    def newkeys_sent(self) -> None:
        """Called when we use the new keys from now on."""

    def take_service_request(self, kind: int, number: int, packet: SSHPacket) -> None:
        """The client wants to log in (RFC 4253, 10)."""
        super()._process_service_request(kind, number, packet)

    def take_userauth_request(self, kind: int, number: int, packet: SSHPacket) -> Awaitable[None] | None:
        """The client tries to log in (RFC 4252, 5)."""
        return super()._process_userauth_request(kind, number, packet)

    async def check_key(self, user: str, key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether a key lets the user in (RFC 4252, 7).

        Args:
            user: the user's name, as asyncssh has prepared it (RFC 4013).
            key: the key or certificate, encoded.
            message: what the client has signed; empty: the client only asks whether the key would do.
            signature: the signature, encoded.
        """
        return await super().validate_public_key(user, key, message, signature)

    async def validate_public_key(self, username: str, key_data: bytes, msg: bytes, signature: bytes) -> bool:
        return await self.check_key(username, key_data, msg, signature)

    def login_failed(self) -> bool:
        """Called when a login attempt has failed. False: the client is not told, because its connection ends."""
        return True

    def send_userauth_failure(self, partial_success: bool) -> None:
        if self.login_failed():
            super().send_userauth_failure(partial_success)

    def login_succeeds(self) -> None:
        """Called when a login attempt has succeeded, before the client is told."""

    async def send_userauth_success(self) -> None:
        self.login_succeeds()
        await super().send_userauth_success()

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
