from __future__ import annotations

from oobconsole.ssh.algorithms import CIPHERS, ciphers_for

OURS = [name.encode() for name in CIPHERS]
FAST = [b"aes128-gcm@openssh.com", b"aes256-gcm@openssh.com"]
SLOW = b"chacha20-poly1305@openssh.com"


def test_who_knows_fast_ciphers_is_offered_nothing_else() -> None:
    assert ciphers_for(OURS, OURS, OURS) == FAST
    assert ciphers_for(OURS, [SLOW, FAST[1]], [FAST[1]]) == [FAST[1]]


def test_who_does_not_know_them_in_both_directions_is_offered_everything() -> None:
    assert ciphers_for(OURS, [SLOW], [SLOW, *FAST]) == OURS
    assert ciphers_for(OURS, [], []) == OURS


def test_what_we_do_not_accept_is_not_offered() -> None:
    assert ciphers_for([SLOW, FAST[1]], OURS, OURS) == [FAST[1]]
