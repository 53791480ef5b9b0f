"""The short way of a channel's data: past asyncssh, with the same checks.

Packets of a channel's data (RFC 4254, 5.2) are nearly all that a connection carries. asyncssh makes a few dozen calls
for each of them. With AES-GCM, which nearly all clients use, such a packet takes a short way through `DataWay`. All
other packets go asyncssh's way.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from typing import Final, cast

import asyncssh
from asyncssh.constants import MSG_CHANNEL_DATA
from asyncssh.encryption import Encryption, GCMEncryption

from oobconsole.ssh.gcm import TAG, Gcm
from oobconsole.ssh.private.channel import Channel

#: The beginning of a packet of a channel's data: length of the padding, kind, channel, length of the data (RFC 4253,
#: 6, and RFC 4254, 5.2).
_DATA: Final = struct.Struct(">BBII")
_LENGTH: Final = struct.Struct(">I")
_BLOCK: Final = 16  # a packet of AES-GCM has a multiple of so many bytes behind its length (RFC 5647, 7.2)
_PADDING_MIN: Final = 4  # RFC 4253, 6
#: An encrypted packet of at most so many bytes is copied behind its length, because one write is cheaper than two.
_JOINED_MAX: Final = 4096


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


class DataWay(asyncssh.SSHServerConnection):
    """The part of a connection that carries channels' data.

    Attributes:
        peer_exchanges: the client has sent KEXINIT, and not yet NEWKEYS. To be set by a subclass. Meanwhile no packet
            takes the short way.
    """

    peer_exchanges = False

    def took_packet(self) -> None:
        """Called when the connection begins to handle a packet."""

    def _recv_pkthdr(self) -> bool:
        encryption = self._recv_encryption
        if type(encryption) is _Sealing:
            return self._open_packet(encryption)
        if not super()._recv_pkthdr():
            return False
        self.took_packet()
        return True

    def use_short_way(self, *, receive: bool) -> None:
        """Take the short way from now on, in one direction, if its new cipher is AES-GCM."""
        if receive:
            self._recv_encryption = _sealing(self._recv_encryption)
            return
        self._send_encryption = _sealing(self._send_encryption)
        #: The padding is encrypted, and never looked at: the same random bytes serve for each packet.
        self._padding = os.urandom(_PADDING_MIN + _BLOCK)

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
