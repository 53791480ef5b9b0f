"""Who may log in: one file of public keys for each user, and certificates of the user CA.

A user's file is read at every login, so a change counts at once. A user without a file is treated as a user without
keys, so that a client cannot tell the difference. The CA's keys and the list of revoked keys are read at start and
reload.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import asyncssh
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from oobconsole import textfile, userkeys
from oobconsole.errors import EnvironmentFault
from oobconsole.front.ends import Unavailable, UserKeys
from oobconsole.log.log import LogLimit
from oobconsole.ssh.authorized import BadLine, Line, parse, public_key
from oobconsole.ssh.private import (
    SSHOpenSSHCertificate,
    decode_ssh_certificate,
    decode_ssh_public_key,
    id_of,
    serial_of,
)
from oobconsole.ssh.revoked import Revoked

log = structlog.get_logger(__name__)

#: How long an RSA key must be, in bits. Shorter keys can be factored (NIST SP 800-131A).
_RSA_MIN: Final = 2048
_ID_SHOWN: Final = 64  # characters of a certificate's ID in fingerprints
_limit = LogLimit(20)  # lines a minute about users' files, which a client can make the server read again and again


class Refused(Exception):
    """This key does not let this user in. The message says why; it is for the log, and not for the client.

    Attributes:
        ours: the fault is this host's, which has no descriptors left, or cannot read the file. Nobody could log in.
    """

    def __init__(self, reason: str, *, ours: bool = False) -> None:
        self.ours = ours
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Offered:
    """The key, or the certificate with its key, with which a client offers to sign."""

    key: asyncssh.SSHKey
    certificate: SSHOpenSSHCertificate | None = None

    @property
    def text(self) -> str:
        """The key's fingerprint as OpenSSH prints it. For a certificate also its ID, its number, and the CA's
        fingerprint."""
        if self.certificate is None:
            return self.key.get_fingerprint()
        serial, key_id = _number_and_id(self.certificate)
        ca = self.certificate.signing_key.get_fingerprint()
        return f"{self.key.get_fingerprint()} ID {key_id[:_ID_SHOWN]} (serial {serial}) CA {ca}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """How a user is let in.

    Attributes:
        command: the command that is run whatever the client asks for; None: what the client asks for.
        pty: whether the client may have a terminal.
        no_touch: whether a security key may sign without being touched.
    """

    command: str | None = None
    pty: bool = True
    no_touch: bool = False


@dataclass(frozen=True, slots=True)
class Trust:
    """Whom the configuration trusts.

    Attributes:
        folder: where users' files of keys are.
        cas: the keys of the CAs whose certificates let users in.
        revoked: the keys and certificates that do not count.
        reserved: files with another meaning. They are no user's keys, even if they lie in `folder`.
        strict: whether files of keys to which others may write do not count.
        ask: reads a user's file, if this process cannot; raises `Unavailable`. It is called in a thread.
    """

    folder: Path
    cas: tuple[asyncssh.SSHKey, ...] = ()
    revoked: Revoked = field(default_factory=Revoked)
    reserved: tuple[Path, ...] = ()
    strict: bool = True
    ask: Callable[[str], UserKeys] | None = None

    def allows(self, user: str, offered: Offered, address: str, now: float | None = None) -> Allowed:
        """Return how `offered` lets `user` in from `address`. Reads the user's file.

        Raises:
            Refused: the user may not log in so.
        """
        now = time.time() if now is None else now
        if why := userkeys.why_no_user(user):
            raise Refused(f"the name {why}")
        _check_strength(offered)
        self.check_revoked(offered)
        if offered.certificate is None:
            return _first(self._lines(user, offered.key, ca=False), address, now)
        return self._certified(user, offered.certificate, address, now)

    def check_revoked(self, offered: Offered) -> None:
        """Raise `Refused` if the key, the certificate or its CA is revoked."""
        if self.revoked.key(offered.key):
            raise Refused("the key is revoked")
        certificate = offered.certificate
        if certificate is not None and (
            self.revoked.key(certificate.signing_key) or self.revoked.certificate(*_number_and_id(certificate))
        ):
            raise Refused("the certificate, or its CA, is revoked")

    def still_allows(self, user: str, offered: Offered) -> bool:
        """Return whether `offered` would still let a user in who is logged in. Times and addresses were checked at
        the login, and are not checked again."""
        certificate = offered.certificate
        try:
            self.check_revoked(offered)
            if certificate is None:
                return any(True for _ in self._lines(user, offered.key, ca=False))
            by_file = any(True for _ in self._lines(user, certificate.signing_key, ca=True))
        except Refused as refused:
            return refused.ours  # if this host has run out of descriptors, the user has not lost a right
        return by_file or certificate.signing_key in self.cas

    def _certified(self, user: str, certificate: SSHOpenSSHCertificate, address: str, now: float) -> Allowed:
        """Return how a certificate lets a user in. As in sshd its CA is either trusted for all users
        (TrustedUserCAKeys), or by a cert-authority line in the user's own file."""
        _check_signature_algorithm(certificate)
        if not certificate.principals:
            raise Refused("the certificate names no principals")
        forced = certificate.options.get("force-command")
        if forced is not None and not str(forced).strip():
            raise Refused("the certificate forces an empty command, which would force nothing")
        if certificate.signing_key in self.cas and user in certificate.principals:
            return Allowed(command=str(forced) if forced is not None else None)
        lines = (
            line
            for line in self._lines(user, certificate.signing_key, ca=True)
            if set(line.principals or (user,)) & set(certificate.principals)
        )
        allowed = _first(lines, address, now, "the CA is not trusted, or the user is no principal of the certificate")
        if None not in (forced, allowed.command) and forced != allowed.command:
            raise Refused("the certificate and the authorized_keys file force different commands")
        command = allowed.command if forced is None else str(forced)
        return Allowed(command, allowed.pty, allowed.no_touch)

    def _lines(self, user: str, key: asyncssh.SSHKey, *, ca: bool) -> Iterator[Line]:
        """Yield the lines of the user's file that have that key. Raises `Refused` if the file cannot be used."""
        try:
            file, texts = self.keys(user) if self.ask is None else self.ask(user)
        except Unavailable as error:
            raise Refused(str(error), ours=error.ours) from error
        for number, text in enumerate(texts, 1):
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            try:
                line = parse(text)
            except BadLine as error:
                if _limit.allows():
                    log.warning(f"bad line in an authorized_keys file is ignored: {error}", file=f"{file}:{number}")
                continue
            if line.ca is ca and line.key == key:
                yield line

    def keys(self, user: str) -> UserKeys:
        """Read a user's file of keys.

        Raises:
            Unavailable: the file cannot be used. The log says so, too.
        """
        try:
            path = userkeys.file_of(self.folder, user, self.reserved)
            return UserKeys() if path is None else UserKeys(str(path), userkeys.lines(path, strict=self.strict))
        except userkeys.Unusable as error:
            if _limit.allows():
                log.warning(f"a file of keys is ignored: {error}", user=user)
            raise Unavailable(str(error), ours=error.ours) from error


def offered(data: bytes) -> Offered | None:
    """Decode what a client offers. Returns None if it is neither a key nor an OpenSSH certificate of a known kind."""
    try:
        certificate = decode_ssh_certificate(data)
    except (asyncssh.KeyImportError, ValueError):
        pass
    else:
        if not isinstance(certificate, SSHOpenSSHCertificate):
            return None
        return Offered(certificate.key, certificate)
    try:
        return Offered(decode_ssh_public_key(data))
    except (asyncssh.KeyImportError, ValueError):
        return None


def read_cas(path: Path) -> bytes:
    """Read the file of the CAs' keys. Raises `EnvironmentFault` if it cannot be read."""
    try:
        return textfile.read(path)
    except OSError as error:
        raise EnvironmentFault(f"{path}: user_ca cannot be read: {error.strerror}") from error


def parse_cas(data: bytes, path: Path) -> tuple[asyncssh.SSHKey, ...]:
    """Return the CAs' keys that a file holds.

    Args:
        data: the bytes of the file.
        path: the path of the file, for messages.

    Raises:
        EnvironmentFault: the file holds no key, or something that is not a key.
    """
    keys = []
    try:
        lines = textfile.decode(data, errors="replace").splitlines()
    except textfile.NotText as error:
        raise EnvironmentFault(f"{path}: user_ca {error}") from error
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if (key := public_key(line)) is None:
            raise EnvironmentFault(f"{path}: user_ca must hold public keys, one a line; this is none: {line[:60]!r}")
        keys.append(key)
    if not keys:
        raise EnvironmentFault(f"{path}: user_ca holds no public key")
    return tuple(keys)


def _first(lines: Iterator[Line], address: str, now: float, reason: str = "no such key") -> Allowed:
    """Return how the first line that lets the user in does so; as in sshd, only that line counts. Raises `Refused`
    with the reason of the last line."""
    for line in lines:
        reason = line.refuses(address, now)
        if not reason:
            return Allowed(line.command, line.pty, line.no_touch)
    raise Refused(reason)


def _check_signature_algorithm(certificate: SSHOpenSSHCertificate) -> None:
    """Raise `Refused` if the CA has signed with SHA-1, because such signatures can be forged. sshd's
    CASignatureAlgorithms does not have them either."""
    signed, key = certificate.public_data, certificate.signing_key.public_data
    at = signed.rfind(key)
    if at < 0:
        raise Refused("the certificate has its CA's key in another form than that of RFC 4253, section 6.6")
    signature = signed[at + len(key) :][4:]
    if signature[4:].startswith((b"ssh-rsa", b"ssh-dss")):
        raise Refused("the CA has signed with SHA-1: ssh-keygen -t rsa-sha2-512")


def _check_strength(offered: Offered) -> None:
    keys = [offered.key] if offered.certificate is None else [offered.key, offered.certificate.signing_key]
    for key in keys:
        rsa = key.pyca_key
        if isinstance(rsa, (RSAPublicKey, RSAPrivateKey)) and rsa.key_size < _RSA_MIN:
            raise Refused(f"an RSA key of {rsa.key_size} bits is too weak: {_RSA_MIN} are needed")


def _number_and_id(certificate: SSHOpenSSHCertificate) -> tuple[int, str]:
    return serial_of(certificate), id_of(certificate)
