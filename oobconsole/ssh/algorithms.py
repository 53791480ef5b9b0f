"""The algorithms that may secure a connection. None of them is broken, and none costs the server more than the
client.

asyncssh's defaults have RSA and finite-field key exchanges besides. Each costs the server 6 to 100 ms of its event
loop, and a client that never means to log in hardly anything (the "DHEat" attack, CVE-2002-20001).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

#: The key exchanges, in order of preference. Every client of the last ten years knows one of them.
KEY_EXCHANGES: Final = (
    *("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org"),
    *("ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521"),
)
#: The ciphers, in order of preference.
CIPHERS: Final = (
    *("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"),
    *("aes256-ctr", "aes192-ctr", "aes128-ctr"),
)
#: AES in Galois/Counter Mode. A packet of 32 KiB takes `cryptography` 11 us with it and 47 us with ChaCha20-Poly1305,
#: one of 32 bytes 5 us and 32 us, where the processor has instructions for AES (a Xeon of 2023).
FAST_CIPHERS: Final = (b"aes128-gcm@openssh.com", b"aes256-gcm@openssh.com")
_CPUINFO: Final = Path("/proc/cpuinfo")
#: The integrity algorithms, for ciphers that do not protect integrity themselves. There is no SHA-1 among them, and
#: none with tags of 64 bits. The last two are for old clients.
MACS: Final = (
    *("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"),
    *("hmac-sha2-256", "hmac-sha2-512"),
)
#: The algorithms of users' signatures: those of sshd's PubkeyAcceptedAlgorithms, without SHA-1 and DSA.
SIGNATURES: Final = (
    *("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "rsa-sha2-512", "rsa-sha2-256"),
    *("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ecdsa-sha2-nistp256@openssh.com"),
)


@functools.cache
def has_aes() -> bool:
    """Return whether this machine's processor has instructions for AES. Linux lists them among the processor's flags
    (x86) or features (ARM)."""
    try:
        lines = _CPUINFO.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any("aes" in line.split() for line in lines if line.lower().startswith(("flags", "features")))


def ciphers_for(ours: Sequence[bytes], *clients: Sequence[bytes]) -> list[bytes]:
    """Return the ciphers to offer to a client whose own offer is known.

    The client's order decides which cipher is used (RFC 4253, 7.1), and most clients have ChaCha20-Poly1305 first. So
    a client that has fast ciphers is offered no others.

    Args:
        ours: all ciphers that the server accepts.
        clients: the ciphers that the client offers, one sequence for each direction.
    """
    fast = [name for name in FAST_CIPHERS if name in ours and all(name in offered for offered in clients)]
    return fast or list(ours)
