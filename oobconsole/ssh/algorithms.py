"""What a connection may be secured with: nothing that is broken, and nothing that costs us more than the client.

asyncssh's defaults have RSA and finite-field key exchanges besides. Each costs the server 6 to 100 ms of its event
loop, and a client that never means to log in hardly anything (the "DHEat" attack, CVE-2002-20001).
"""

from __future__ import annotations

from typing import Final

#: Key exchanges, the preferred first. Every client of the last ten years knows one.
KEY_EXCHANGES: Final = (
    *("mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org"),
    *("ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521"),
)
#: Ciphers.
CIPHERS: Final = (
    *("chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com"),
    *("aes256-ctr", "aes192-ctr", "aes128-ctr"),
)
#: Integrity, where the cipher has none: no SHA-1, no tags of 64 bits. The last two are for old clients.
MACS: Final = (
    *("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"),
    *("hmac-sha2-256", "hmac-sha2-512"),
)
#: Signatures, of users: what sshd's PubkeyAcceptedAlgorithms has: no SHA-1, no DSA.
SIGNATURES: Final = (
    *("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "rsa-sha2-512", "rsa-sha2-256"),
    *("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ecdsa-sha2-nistp256@openssh.com"),
)
