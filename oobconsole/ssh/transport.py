"""An SSH connection with limits: how much of what a client sends is handled at a time, and how much at all?

asyncssh itself has no such limits. It handles everything that was read before it returns, begins a key exchange
whenever a client asks for one, keeps without a bound what it cannot send yet, and goes on answering a client that
does not read. Each of these is bounded here, with the hooks of `private`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any, Final

import asyncssh

from oobconsole.net.acknowledging import Options, options_of
from oobconsole.ssh import algorithms, private
from oobconsole.ssh.private import (
    MSG_IGNORE,
    MSG_SERVICE_ACCEPT,
    MSG_USERAUTH_LAST,
    OPEN_RESOURCE_SHORTAGE,
    PacketDecodeError,
    SSHPacket,
    String,
)
from oobconsole.ssh.rate import Rate
from oobconsole.ssh.sessionchannel import SessionChannel
from oobconsole.ssh.turns import Turns

#: How much one connection may do before another one has its turn, in packets and in seconds. The first packet is
#: always handled.
TURN_PACKETS: Final = 64
TURN_SECONDS: Final = 0.001
#: How many bytes asyncssh is given at a time. Why so few? For each packet it copies all bytes behind the packet. When
#: twice as many wait, nothing more is read from the network.
SLICE: Final = 8192
#: Input of at most so many bytes may be handled at once, without waiting for a turn. A typed key has 36.
LITTLE: Final = 512
#: How much a client may send before it has logged in. A login needs some 20 packets and 10 KB. A client with hundreds
#: of keys is stopped earlier, by `max_auth_tries`.
STRANGER_PACKETS: Final = 200
STRANGER_BYTES: Final = 1 << 20
STRANGER_REQUESTS: Final = 64
#: How long a user's name may be, with the name of a console behind it, in bytes. asyncssh prepares the name (RFC
#: 4013) before it checks anything else, and for some characters that takes a hundred times as long as for others.
USER_MAX: Final = 256
#: How many extensions a client may name in one packet (RFC 8308). Five exist.
EXTENSIONS_MAX: Final = 64
#: How long a packet may be, in bytes, before and after the login. RFC 4253, 6.1, demands 35,000, and a command line
#: may have 65,536 characters.
STRANGER_PACKET_MAX: Final = 64 << 10
PACKET_MAX: Final = 256 << 10
#: How many bytes a channel must be able to take at a time. With fewer, a screenful would become thousands of packets.
#: Everybody must be able to take 32,768 (RFC 4253, 6.1).
CHANNEL_PACKET_MIN: Final = 1024
#: How many key exchanges a client that has logged in may have at once, and then one in how many seconds. A client
#: that wants more must wait.
REKEYS: Final = 4
REKEY_SECONDS: Final = 1.0
#: How long we wait for the client's list of algorithms before we send ours, in seconds. Our list depends on the
#: client's. A client need not wait for ours (RFC 4253, 7.1), but one that does gets it after this time.
KEXINIT_SECONDS: Final = 0.2
#: How long a key exchange may take, in seconds.
EXCHANGE_SECONDS: Final = 30.0
#: How many bytes of answers a client may leave unread, and how many packets a key exchange may keep back. When there
#: are more, nothing that the client sends is handled.
UNREAD_MAX: Final = 1 << 20
DEFERRED_MAX: Final = 2048
_AUTHENTICATION: Final = b"ssh-userauth"  # the service (RFC 4252, 4)


class TooMuch(asyncssh.ProtocolError):
    """A client has sent more before its login than any honest client does."""


class Transport(private.Connection):
    """asyncssh's connection, with limits.

    Args:
        turns: gives the turns, which all connections share.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, options: asyncssh.SSHServerConnectionOptions, turns: Turns
    ) -> None:
        super().__init__(loop, options)
        self._turns = turns
        self.limit_packets(STRANGER_PACKET_MAX)
        self._tcp: Options | None = None
        self._backlog = bytearray()  # input that asyncssh has not been given yet
        self._reading = True
        self._ended = False  # the client will send no more
        self._packets_left = 0
        self._turn_ends = 0.0
        self._stopped = False  # the turn ended before asyncssh had handled all that it was given
        self._bytes = self._packets = self._requests = self._exchanges = 0
        self._rekeys = Rate(REKEYS, REKEY_SECONDS)
        self._exchange_timer: asyncio.TimerHandle | None = None
        self._held_kexinit: asyncio.TimerHandle | None = None  # our first KEXINIT waits for the client's
        self._socket_has_room = True
        self.peer_exchanges = False  # the client has sent KEXINIT, and not yet NEWKEYS

    # -- input, in turns ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._tcp = options_of(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None = None) -> None:
        self._tcp = None  # the event loop closes the socket next, whose number may then be another socket's
        super().connection_lost(exc)

    def data_received(self, data: bytes, datatype: asyncssh.DataType = None) -> None:
        """Take input. A key that somebody types is handled at once, if nobody else waits for a turn."""
        self._bytes += len(data)
        if len(data) <= LITTLE and self._may_go_at_once():
            if self._take(data):
                self._turns.ask(self)
            return
        self._backlog += data
        if len(self._backlog) >= 2 * SLICE:
            self._read(False)
        self._turns.ask(self)
        self.acknowledge()

    def _may_go_at_once(self) -> bool:
        """Whether input that comes now has nothing to wait for, neither on this connection nor on another one."""
        return (
            not self._backlog and not self._stopped and self.is_free(UNREAD_MAX) and self._turns.may_go_at_once(self)
        )

    def acknowledge(self) -> None:
        """Make TCP acknowledge at once what has come. Why? A client without a terminal keeps its next small packet
        back until the acknowledgement comes (RFC 896), which made every script wait for 40 ms. The option is set each
        time because Linux forgets it (tcp(7), TCP_QUICKACK)."""
        if self._tcp is not None:
            self._tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio.Protocol's; asyncssh leaves the answer out
        """The client will send no more. The input that came before is handled first."""
        self._ended = True
        self._turns.ask(self)
        return True

    def take_turn(self) -> bool:
        """Handle a little of the input. Returns whether there is more that could be handled now."""
        if self.network is None:
            self._backlog.clear()
            return False
        if self._is_kept_waiting(self.network):
            return False
        more = b""
        if not self._stopped:
            more = bytes(self._backlog[:SLICE])
            del self._backlog[:SLICE]
        return self._take(more)

    def _take(self, more: bytes) -> bool:
        self._packets_left, self._turn_ends, self._stopped = TURN_PACKETS, time.perf_counter() + TURN_SECONDS, False
        self.handle(more)
        return self._goes_on()

    def _is_kept_waiting(self, network: asyncio.Transport) -> bool:
        """Return whether input must wait: asyncssh is still working on a packet, or the client does not read our
        answers. When that is over, a turn is asked for."""
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
        if not self._reading:
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
        self._packets_left = 0  # the input behind that packet has its turn later

    def slow_packet_ended(self) -> None:
        self._turns.ask(self)

    def cleaned_up(self) -> None:
        self._tcp = None
        self._backlog.clear()
        self.forget_deferred()
        self._end_exchange_timer()
        self._hold_kexinit_no_more()

    # -- output -------------------------------------------------------------------------------------

    #: asyncssh sends an empty packet before each other one. It would hinder attacks on ciphers in CBC mode (RFC 4251,
    #: 9.3.1), of which we have none. And it costs as much as a typed key.
    never_sent = frozenset({MSG_IGNORE})

    def pause_writing(self) -> None:
        self._socket_has_room = False
        self._tell_room()

    def resume_writing(self) -> None:
        self._socket_has_room = True
        self._tell_room()
        self._turns.ask(self)

    def _tell_room(self) -> None:
        """Say whether sessions may send now. During a key exchange they may not, because asyncssh would keep all that
        they send, without a bound."""
        self.room_changed(self._socket_has_room and self.exchange_is_over)

    def room_changed(self, room: bool) -> None:
        """Called when sessions may send (`room` is true), and when they must wait. A hook for subclasses."""

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
        if self.is_known:  # before the login, `login_grace_s` limits the time
            self._exchange_timer = self.loop.call_later(EXCHANGE_SECONDS, self._exchange_is_late)
        self._tell_room()

    def _hold_kexinit_no_more(self) -> None:
        if self._held_kexinit is not None:
            self._held_kexinit.cancel()
            self._held_kexinit = None

    def newkeys_sent(self) -> None:
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
                self.has_sent_kexinit = False  # so that asyncssh sends ours in answer to the client's
                self._choose_ciphers(packet.get_remaining_payload())
            is_wrong = self._guesses_wrong(packet.get_remaining_payload())
            await super().take_kexinit(kind, number, packet)
        except PacketDecodeError as error:
            raise asyncssh.ProtocolError(str(error)) from None
        self.ignore_next_exchange(is_wrong)

    def _choose_ciphers(self, payload: bytes) -> None:
        """Choose the ciphers that we offer, by those that the client offers in its KEXINIT."""
        lists = SSHPacket(payload)
        lists.get_bytes(16)  # the cookie
        _, _, to_us, to_it = [lists.get_namelist() for _ in range(4)]
        self.ciphers = algorithms.ciphers_for(self.ciphers, to_us, to_it)

    def _guesses_wrong(self, payload: bytes) -> bool:
        """Return whether a packet follows the KEXINIT that must be ignored, because the client has guessed the
        algorithms wrong. By RFC 4253, 7, a guess is right only if the first algorithms of both sides are the same,
        for key exchanges and for host keys. asyncssh also accepts a guess that is what both sides then agree on. But
        dropbear's client sends the packet again in that case."""
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

    def check_packet(self, kind: int) -> None:
        if self.peer_exchanges and kind > MSG_USERAUTH_LAST:
            raise asyncssh.ProtocolError("only a key exchange may follow KEXINIT (RFC 4253, 7.1)")

    def take_service_request(self, kind: int, number: int, packet: SSHPacket) -> None:
        """Accept a further request for the authentication service, as sshd does. Paramiko sends one with each key
        that it tries."""
        if self.is_logging_in and packet.get_remaining_payload() == String(_AUTHENTICATION):
            self.send_packet(MSG_SERVICE_ACCEPT, String(_AUTHENTICATION))
        else:
            super().take_service_request(kind, number, packet)

    async def take_userauth_request(self, kind: int, number: int, packet: SSHPacket) -> None:
        """Handle a login attempt. The next attempt waits until this one is answered. Otherwise asyncssh would drop
        this answer, and the attempt would not be counted, although its work was done."""
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

    def login_succeeds(self) -> None:
        self.limit_packets(PACKET_MAX)

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
