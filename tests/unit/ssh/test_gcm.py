"""Our AES-GCM beside asyncssh's, which must understand it, and the other way round."""

from __future__ import annotations

import pytest
from asyncssh.crypto.cipher import GCMCipher
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.ssh.gcm import TAG, Gcm

PACKETS = st.lists(st.tuples(st.binary(min_size=1, max_size=64), st.binary(min_size=4, max_size=4)), max_size=8)
#: The last of these counts over at once (RFC 5647, 7.1: the counter has 64 bits).
NONCES = st.sampled_from([bytes(12), bytes(range(12)), b"\xff" * 12])


@given(st.sampled_from([16, 32]), NONCES, PACKETS)
def test_asyncssh_opens_what_we_seal(size: int, nonce: bytes, packets: list[tuple[bytes, bytes]]) -> None:
    key = bytes(range(size))
    ours, theirs = Gcm(key, nonce), GCMCipher(f"aes{8 * size}-gcm", key, nonce)
    for packet, length in packets:
        sealed = ours.seal(packet, length)
        assert theirs.verify_and_decrypt(length, sealed[:-TAG], sealed[-TAG:]) == packet


@given(st.sampled_from([16, 32]), NONCES, PACKETS)
def test_we_open_what_asyncssh_seals(size: int, nonce: bytes, packets: list[tuple[bytes, bytes]]) -> None:
    key = bytes(range(size))
    ours, theirs = Gcm(key, nonce), GCMCipher(f"aes{8 * size}-gcm", key, nonce)
    for packet, length in packets:
        sealed, tag = theirs.encrypt_and_sign(length, packet)
        assert ours.open(sealed[len(length) :] + tag, length) == packet


@pytest.mark.parametrize("changed", range(16 + TAG))
def test_a_changed_packet_is_not_opened(changed: int) -> None:
    key, nonce, length = bytes(16), bytes(12), bytes(4)
    sealed = bytearray(Gcm(key, nonce).seal(bytes(16), length))
    sealed[changed] ^= 1
    assert Gcm(key, nonce).open(bytes(sealed), length) is None


def test_a_changed_length_and_a_packet_without_a_tag_are_not_opened() -> None:
    sealed = Gcm(bytes(16), bytes(12)).seal(bytes(16), bytes(4))
    assert Gcm(bytes(16), bytes(12)).open(sealed, b"\0\0\0\1") is None
    assert Gcm(bytes(16), bytes(12)).open(b"", bytes(4)) is None
