"""What is written in a certificate of OpenSSH's form (OpenSSH's PROTOCOL.certkeys), and asyncssh tells nobody."""

from __future__ import annotations

from typing import Final

from asyncssh.public_key import SSHOpenSSHCertificate

_HOST: Final = 2  # SSH2_CERT_TYPE_HOST


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
