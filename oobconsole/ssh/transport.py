"""An SSH connection below who it belongs to: how much of what it sends is handled at a time, and how much at all.

asyncssh handles everything that was read before it returns, begins a key exchange whenever it is asked to, keeps what
it cannot send yet without a bound, and answers a client that does not read. Each is bounded here, with the hooks of
`private.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable
from typing import Any, Final

import asyncssh

from oobconsole.ssh import algorithms, private
from oobconsole.ssh.private import (
    MSG_IGNORE,
    MSG_SERVICE_ACCEPT,
    MSG_USERAUTH_LAST,
    OPEN_RESOURCE_SHORTAGE,
    PacketDecodeError,
    SSHPacket,
    SSHPacketLogger,
    String,
)
from oobconsole.ssh.rate import Rate
from oobconsole.ssh.sessionchannel import SessionChannel
from oobconsole.ssh.turns import Turns

#: What one connection may do before it is another's turn, in packets and in seconds. The first packet always may.
TURN_PACKETS: Final = 64
TURN_SECONDS: Final = 0.001
#: asyncssh is given so many bytes at a time (it copies the rest of them for each packet); from twice that on nothing
#: more is read from the network.
SLICE: Final = 8192
#: A login needs some 20 packets and 10 KB; hundreds of keys are limited by `max_auth_tries`.
STRANGER_PACKETS: Final = 200
STRANGER_BYTES: Final = 1 << 20
STRANGER_REQUESTS: Final = 64
#: A user's name, in bytes, with the console's behind it: asyncssh prepares it (RFC 4013) before it looks at anything
#: else, which takes a hundred times as long for some characters as for others.
USER_MAX: Final = 256
#: Extensions that a client tells of in one packet (RFC 8308). There are five.
EXTENSIONS_MAX: Final = 64
#: The largest packet, in bytes. RFC 4253, 6.1, wants 35,000; a command line may have 65,536 characters.
STRANGER_PACKET_MAX: Final = 64 << 10
PACKET_MAX: Final = 256 << 10
#: A channel that takes less at a time makes thousands of packets of a screenful. Everybody has to take 32,768.
CHANNEL_PACKET_MIN: Final = 1024
#: Key exchanges of who has logged in: so many at once, then one in so many seconds. A client that wants more waits.
REKEYS: Final = 4
REKEY_SECONDS: Final = 1.0
#: A client says which algorithms it knows without waiting for ours (RFC 4253, 7.1), so that ours can depend on them.
#: One that waits all the same gets ours after so long, in seconds.
KEXINIT_SECONDS: Final = 0.2
#: A key exchange that has begun has to end, in seconds.
EXCHANGE_SECONDS: Final = 30.0
#: Answers that a client does not read, in bytes of the socket's buffer, and packets that a key exchange keeps back:
#: from then on nothing of it is handled.
UNREAD_MAX: Final = 1 << 20
DEFERRED_MAX: Final = 2048
_AUTHENTICATION: Final = b"ssh-userauth"  # the service (RFC 4252, 4)


class TooMuch(asyncssh.ProtocolError):
    """Before it had logged in, it sent more than any client does."""


class Transport(private.Connection):
    """asyncssh's, bounded.

    Args:
        turns: all connections share them.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, options: asyncssh.SSHServerConnectionOptions, turns: Turns
    ) -> None:
        super().__init__(loop, options)
        self._turns = turns
        self.limit_packets(STRANGER_PACKET_MAX)
        self._tcp: socket.socket | None = None
        self._backlog = bytearray()  # what asyncssh has not been given
        self._reading = True
        self._ended = False  # the client sends no more
        self._packets_left = 0
        self._turn_ends = 0.0
        self._stopped = False  # by the end of the turn, in the middle of what asyncssh has been given
        self._bytes = self._packets = self._requests = self._exchanges = 0
        self._rekeys = Rate(REKEYS, REKEY_SECONDS)
        self._exchange_timer: asyncio.TimerHandle | None = None
        self._held_kexinit: asyncio.TimerHandle | None = None  # our first one waits for the client's
        self._socket_has_room = True
        self.peer_exchanges = False  # it has sent KEXINIT, and not yet NEWKEYS

    # -- input, in turns ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        self._tcp = sock if sock.family in (socket.AF_INET, socket.AF_INET6) else None

    def data_received(self, data: bytes, datatype: asyncssh.DataType = None) -> None:
        """Acknowledge at once: a client without a terminal keeps its next small packet back until then (RFC 896),
        which made every script wait for 40 ms. Linux forgets the option by itself (tcp(7), TCP_QUICKACK)."""
        if self._tcp is not None:
            with contextlib.suppress(OSError):  # it is closed already
                self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._backlog += data
        self._bytes += len(data)
        if len(self._backlog) >= 2 * SLICE:
            self._read(False)
        self._turns.ask(self)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio.Protocol's; asyncssh leaves the answer out
        """What came before it is handled first."""
        self._ended = True
        self._turns.ask(self)
        return True

    def take_turn(self) -> bool:
        """Handle a little of what came; is there more that can be handled now?"""
        if self.network is None:
            self._backlog.clear()
            return False
        if self._is_kept_waiting(self.network):
            return False
        more = b""
        if not self._stopped:
            more = bytes(self._backlog[:SLICE])
            del self._backlog[:SLICE]
        self._packets_left, self._turn_ends, self._stopped = TURN_PACKETS, time.perf_counter() + TURN_SECONDS, False
        self.handle(more)
        return self._goes_on()

    def _is_kept_waiting(self, network: asyncio.Transport) -> bool:
        """By a packet that takes its time, or because the client does not read our answers. Each asks for a turn when
        that is over."""
        if self.deferred > DEFERRED_MAX:
            self.connection_lost(asyncssh.ProtocolError("the client does not answer to a key exchange"))
            return True
        return not self.takes_packets or network.get_write_buffer_size() > UNREAD_MAX

    def _goes_on(self) -> bool:
        if not self.takes_packets:
            return False
        if self._stopped or self._backlog:
            return True
        if self._ended:
            super().eof_received()
            return False
        self._read(True)
        return False

    def _read(self, reading: bool) -> None:
        if self.network is not None and reading != self._reading:
            self._reading = reading
            (self.network.resume_reading if reading else self.network.pause_reading)()

    def may_take_packet(self) -> bool:
        if self.network is None:
            return False
        if self._packets_left <= 0 or (self._packets_left < TURN_PACKETS and time.perf_counter() >= self._turn_ends):
            self._stopped = True
            return False
        return True

    def took_packet(self) -> None:
        self._packets_left -= 1
        if self.is_known:
            return
        self._packets += 1
        if self._packets > STRANGER_PACKETS or self._bytes > STRANGER_BYTES:
            raise TooMuch("more than a login needs was sent before it")

    def slow_packet_ends(self) -> None:
        self._packets_left = 0  # what came after it has its turn later

    def slow_packet_ended(self) -> None:
        self._turns.ask(self)

    def cleaned_up(self) -> None:
        self._backlog.clear()
        self.forget_deferred()
        self._end_exchange_timer()
        self._hold_kexinit_no_more()

    # -- output -------------------------------------------------------------------------------------

    def send_packet(self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None) -> None:
        """Without the empty packet that asyncssh sends before each other one. It would keep a guessed plaintext from
        being tried with ciphers in CBC mode (RFC 4251, 9.3.1), of which we have none, and costs as much as a key."""
        if pkttype != MSG_IGNORE:
            super().send_packet(pkttype, *args, handler=handler)

    def pause_writing(self) -> None:
        self._socket_has_room = False
        self._tell_room()

    def resume_writing(self) -> None:
        self._socket_has_room = True
        self._tell_room()
        self._turns.ask(self)

    def _tell_room(self) -> None:
        """What is sent during a key exchange is kept by asyncssh, however much it is."""
        self.room_changed(self._socket_has_room and self.exchange_is_over)

    def room_changed(self, room: bool) -> None:
        """May sessions send, or have they to wait?"""

    # -- key exchanges ------------------------------------------------------------------------------

    def send_kexinit(self) -> None:
        if self._exchanges or not algorithms.has_aes():
            self._send_kexinit_now()
        else:
            self._held_kexinit = self.loop.call_later(KEXINIT_SECONDS, self._send_kexinit_now)

    def _send_kexinit_now(self) -> None:
        self._hold_kexinit_no_more()
        super().send_kexinit()
        self._end_exchange_timer()
        if self.is_known:  # else `login_grace_s` counts
            self._exchange_timer = self.loop.call_later(EXCHANGE_SECONDS, self._exchange_is_late)
        self._tell_room()

    def _hold_kexinit_no_more(self) -> None:
        if self._held_kexinit is not None:
            self._held_kexinit.cancel()
            self._held_kexinit = None

    def send_newkeys(self, k: bytes, h: bytes) -> None:
        super().send_newkeys(k, h)
        self._tell_room()

    def _exchange_is_late(self) -> None:
        self.connection_lost(asyncssh.ConnectionLost("a key exchange was begun and not ended"))

    def _end_exchange_timer(self) -> None:
        if self._exchange_timer is not None:
            self._exchange_timer.cancel()
            self._exchange_timer = None

    async def take_kexinit(self, kind: int, number: int, packet: SSHPacket) -> None:
        self._exchanges += 1
        if self.is_known:
            await self._rekeys.wait()
        elif self._exchanges > 1:
            raise TooMuch("a second key exchange before the login")
        self.peer_exchanges = True
        try:
            if self._held_kexinit is not None:
                self._hold_kexinit_no_more()
                self.has_sent_kexinit = False  # asyncssh sends it in answer to the client's
                self._choose_ciphers(packet.get_remaining_payload())
            is_wrong = self._guesses_wrong(packet.get_remaining_payload())
            await super().take_kexinit(kind, number, packet)
        except PacketDecodeError as error:
            raise asyncssh.ProtocolError(str(error)) from None
        self.ignore_next_exchange(is_wrong)

    def _choose_ciphers(self, payload: bytes) -> None:
        """By what the client offers in its KEXINIT."""
        lists = SSHPacket(payload)
        lists.get_bytes(16)  # the cookie
        _, _, to_us, to_it = [lists.get_namelist() for _ in range(4)]
        self.ciphers = algorithms.ciphers_for(self.ciphers, to_us, to_it)

    def _guesses_wrong(self, payload: bytes) -> bool:
        """Does a packet follow that has to be ignored? By RFC 4253, 7, a client's guess is right only if both sides'
        first algorithms are the same, of key exchanges and of host keys; asyncssh also takes a guess that is merely
        what was agreed on, and dropbear's client then sends the packet again."""
        lists = SSHPacket(payload)
        lists.get_bytes(16)  # the cookie
        exchanges, keys, *_ = [lists.get_namelist() for _ in range(10)]
        follows = lists.get_boolean()
        return follows and (list(exchanges[:1]), list(keys[:1])) != self.first_algorithms

    def take_newkeys(self, kind: int, number: int, packet: SSHPacket) -> None:
        super().take_newkeys(kind, number, packet)
        self.peer_exchanges = False
        self._end_exchange_timer()

    # -- what a packet may ask for ------------------------------------------------------------------

    def process_packet(self, pkttype: int, pktid: int, packet: SSHPacket) -> bool | Awaitable[None]:
        if self.peer_exchanges and pkttype > MSG_USERAUTH_LAST:
            raise asyncssh.ProtocolError("only a key exchange may follow KEXINIT (RFC 4253, 7.1)")
        return super().process_packet(pkttype, pktid, packet)

    def take_service_request(self, kind: int, number: int, packet: SSHPacket) -> None:
        """Paramiko asks for the service with each key that it tries; as with sshd, it gets it again."""
        if self.is_logging_in and packet.get_remaining_payload() == String(_AUTHENTICATION):
            self.send_packet(MSG_SERVICE_ACCEPT, String(_AUTHENTICATION))
        else:
            super().take_service_request(kind, number, packet)

    async def take_userauth_request(self, kind: int, number: int, packet: SSHPacket) -> None:
        """The next request is not looked at before this one is answered: asyncssh would drop its answer, and with it
        the count of tries, but not the work."""
        self._requests += 1
        if self._requests > STRANGER_REQUESTS and not self.is_known:
            raise TooMuch("more requests than a login needs")
        try:
            if len(SSHPacket(packet.get_remaining_payload()).get_string()) > USER_MAX:
                raise asyncssh.IllegalUserName(f"a user's name has at most {USER_MAX} bytes")
            begun = super().take_userauth_request(kind, number, packet)
        except PacketDecodeError as error:
            raise asyncssh.ProtocolError(str(error)) from None
        if begun is not None:
            await begun
        await self.login_decided()

    async def send_userauth_success(self) -> None:
        self.limit_packets(PACKET_MAX)
        await super().send_userauth_success()

    def take_channel_open(self, kind: int, number: int, packet: SSHPacket) -> None:
        about = SSHPacket(packet.get_remaining_payload())
        about.get_string()
        sender, _, size = (about.get_uint32() for _ in range(3))
        if size < CHANNEL_PACKET_MIN:
            reason = f"a channel has to take packets of {CHANNEL_PACKET_MIN} bytes; this one takes {size}"
            self.send_channel_open_failure(sender, OPEN_RESOURCE_SHORTAGE, reason, "en")
        else:
            super().take_channel_open(kind, number, packet)

    def take_ext_info(self, kind: int, number: int, packet: SSHPacket) -> None:
        if SSHPacket(packet.get_remaining_payload()).get_uint32() > EXTENSIONS_MAX:
            raise asyncssh.ProtocolError(f"more than {EXTENSIONS_MAX} extensions")
        super().take_ext_info(kind, number, packet)

    def make_channel(self, *about: Any) -> SessionChannel:
        return SessionChannel(*about)
