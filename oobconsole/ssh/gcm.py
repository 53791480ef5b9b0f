"""AES-GCM as SSH uses it (RFC 5647), for one direction of a connection.

Why not asyncssh's? For each packet asyncssh makes a new cipher of the key, which takes ten times as long as it takes
to encrypt a typed key. Here the cipher is made once, when the keys are new. Sans I/O.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: How many bytes the tag has that follows each packet.
TAG: Final = 16
_FIXED: Final = 4  # bytes of the nonce that never change; the rest counts the packets (RFC 5647, 7.1)
_COUNTED: Final = 8
_COUNTS: Final = 1 << (8 * _COUNTED)


class Gcm:
    """One direction.

    Args:
        key: 16 or 32 bytes.
        nonce: the 12 bytes of the next packet's nonce.
    """

    __slots__ = ("_cipher", "_count", "_fixed")

    def __init__(self, key: bytes, nonce: bytes) -> None:
        self._cipher = AESGCM(key)
        self._fixed = nonce[:_FIXED]
        self._count = int.from_bytes(nonce[_FIXED:])

    def seal(self, packet: bytes, length: bytes) -> bytes:
        """Encrypt a packet. Returns the encrypted packet with its tag.

        Args:
            packet: the packet behind its length.
            length: the packet's length, four bytes that are sent in clear. The tag covers them, too.
        """
        nonce = self._fixed + self._count.to_bytes(_COUNTED)
        self._count = (self._count + 1) % _COUNTS
        return self._cipher.encrypt(nonce, packet, length)

    def open(self, sealed: bytes, length: bytes) -> bytes | None:
        """Decrypt a packet that has its tag behind it. Returns None if it is not what the other end has sent."""
        nonce = self._fixed + self._count.to_bytes(_COUNTED)
        self._count = (self._count + 1) % _COUNTS
        try:
            return self._cipher.decrypt(nonce, sealed, length)
        except InvalidTag:
            return None
