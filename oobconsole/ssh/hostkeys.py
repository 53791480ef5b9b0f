"""The server's host key, which is made at the first start and kept private, and the certificate of that key."""

from __future__ import annotations

import time
from pathlib import Path

import asyncssh
import structlog

from oobconsole import keyfile, textfile
from oobconsole.errors import EnvironmentFault
from oobconsole.ssh.private import SSHOpenSSHCertificate, is_host_certificate, validity_of

log = structlog.get_logger(__name__)


def load_or_make(path: Path) -> asyncssh.SSHKey:
    """Return the host key in the file `path`. If there is no such file, an Ed25519 key is made there (mode 0600).

    Raises:
        EnvironmentFault: the key cannot be read or made, or others may read it.
    """
    data = keyfile.load_or_make(path, "host key")
    try:
        return asyncssh.import_private_key(data)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise EnvironmentFault(f"{path}: is no usable private key: {error}; {keyfile.mend(path, error)}") from error


def load_certificate(path: Path, key: asyncssh.SSHKey) -> SSHOpenSSHCertificate:
    """Return the host certificate in the file `path`, which must be for `key`. If it has expired, that is logged, but
    the certificate is used.

    Raises:
        EnvironmentFault: the file cannot be read, or is not a host certificate of this key.
    """
    certificate = parse_certificate(read_certificate(path), path, key)
    begin, end = validity_of(certificate)
    if not begin <= time.time() < end:
        log.error("the host certificate is not valid now: clients will not believe it", file=str(path))
    return certificate


def read_certificate(path: Path) -> bytes:
    """Read the file of the host certificate. Raises `EnvironmentFault` if it cannot be read."""
    try:
        return textfile.read(path)
    except OSError as error:
        raise EnvironmentFault(f"{path}: the host certificate cannot be read: {error.strerror}") from error


def parse_certificate(data: bytes, path: Path, key: asyncssh.SSHKey) -> SSHOpenSSHCertificate:
    """Return the host certificate that a file holds, which must be for `key`.

    Args:
        data: the bytes of the file.
        path: the path of the file, for messages.

    Raises:
        EnvironmentFault: it is not a host certificate of this key.
    """
    try:
        certificate = asyncssh.import_certificate(data)
    except (asyncssh.KeyImportError, ValueError) as error:
        raise EnvironmentFault(
            f"{path}: is no OpenSSH certificate: {error}; have the CA sign the key again"
        ) from error
    if not isinstance(certificate, SSHOpenSSHCertificate) or not is_host_certificate(certificate):
        raise EnvironmentFault(
            f"{path}: is no host certificate; make one with: ssh-keygen -s CA -h -I ID -n NAMES KEY.pub"
        )
    if certificate.key != key.convert_to_public():
        raise EnvironmentFault(
            f"{path}: certifies {certificate.key.get_fingerprint()}, but the host key is {key.get_fingerprint()}"
        )
    return certificate
