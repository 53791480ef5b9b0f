"""One line of the audit log: JSON, chained to the line before it by SHA-256, and signed with Ed25519.

    {"seq":…,"time":…,"kind":…, … ,"prev":HASH,"hash":HASH,"sig":SIGNATURE}

`hash` is the SHA-256 of the line's bytes up to `,"hash"`, `prev` is the hash of the line before, `sig` signs `hash`.
Bytes are hashed as they stand in the file, so that nothing depends on how somebody writes JSON.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from oobconsole import keyfile, textfile
from oobconsole.errors import EnvironmentFault

#: The `prev` of the first line, which has no line before it.
GENESIS: Final = "0" * 64
#: The most bytes that a line has.
LINE_MAX: Final = 64 * 1024
#: Kinds of entries that the log makes itself.
TORN: Final = "audit-torn"  # a crash cut the line before short: its size and SHA-256
CONTINUED: Final = "audit-continued"  # a new file begins: which file it continues
REMOVED: Final = "audit-removed"  # an old file was removed to make room: its last seq and hash
RESUMED: Final = "audit-resumed"  # nothing could be written for so many seconds, and so many events were lost
BEHIND: Final = "audit-clock-behind"  # the clock shows an earlier time than the last entry, by so many seconds
DAMAGED: Final = "audit-damaged"  # a crash of the machine, or somebody else, has changed the log: what was found

_TEXT_MAX: Final = 4096  # characters of one value; a longer text is cut
_FIELDS_MAX: Final = 48 * 1024  # bytes of an entry's JSON; a larger entry keeps its kind and user only
_OURS: Final = frozenset({"seq", "time", "prev", "hash", "sig"})
_LINE: Final = re.compile(rb'(\{.+),"hash":"([0-9a-f]{64})","sig":"([A-Za-z0-9+/]{86}==)"\}', re.DOTALL)
_CONTEXT: Final = b"oobconsole audit 1\0"  # before what is signed, so that no signature can be used elsewhere


class Damaged(ValueError):
    """A line is not an entry as it was written. The message says why; it follows the words "a line that"."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line whose hash is right. Its signature and its place in the log are checked by others.

    Attributes:
        seq: its number, from 1 on.
        prev: the hash of the entry before.
        hash: SHA-256 of this entry, in hexadecimal digits.
        signature: 64 bytes of Ed25519.
        fields: everything in the line, these four included.
    """

    seq: int
    prev: str
    hash: str
    signature: bytes
    fields: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The name of what happened, as `events.Kind` has it."""
        return str(self.fields.get("kind"))


def encode(seq: int, prev: str, time: str, fields: Mapping[str, object], key: Ed25519PrivateKey) -> tuple[bytes, str]:
    """Make the line of an entry.

    Args:
        seq: the entry's number.
        prev: the hash of the entry before, or GENESIS.
        time: when it happened: UTC, ISO 8601.
        fields: what happened; a name that the log uses itself gets a `_`.

    Returns:
        The line, newline included, and its hash.
    """
    what = {f"{name}_" if name in _OURS else name: _bounded(value) for name, value in fields.items()}
    if len(json.dumps(what, default=str)) > _FIELDS_MAX:
        what = {"kind": what.get("kind"), "user": what.get("user", ""), "too_long": True}
    whole = {"seq": seq, "time": time, **what, "prev": prev}
    body = json.dumps(whole, separators=(",", ":"), default=str)[:-1].encode()
    digest = hashlib.sha256(body).hexdigest()
    signature = base64.b64encode(key.sign(_signed(digest))).decode()
    return body + f',"hash":"{digest}","sig":"{signature}"}}\n'.encode(), digest


def decode(line: bytes) -> Entry:
    """Read a line, without its newline.

    Raises:
        Damaged: the line is not an entry, or was changed.
    """
    parts = _LINE.fullmatch(line)
    if parts is None:
        raise Damaged("is no entry of an audit log")
    stated = parts[2].decode()
    if hashlib.sha256(parts[1]).hexdigest() != stated:
        raise Damaged("was changed: its hash is another")
    try:
        fields = json.loads(line)
        entry = Entry(int(fields["seq"]), str(fields["prev"]), stated, base64.b64decode(parts[3]), fields)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"is no entry of an audit log: {error}") from error
    if base64.b64encode(entry.signature) != parts[3]:  # base64: its last character has bits that decoding drops
        raise Damaged("was changed: its signature is written otherwise")
    return entry


def check_signature(entry: Entry, key: Ed25519PublicKey) -> None:
    """Check that the owner of the key wrote the entry.

    Raises:
        Damaged: somebody else wrote it.
    """
    try:
        key.verify(entry.signature, _signed(entry.hash))
    except InvalidSignature as error:
        raise Damaged("is not signed by this key: somebody else made it, or another --key is needed") from error


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in `path`. When there is no file, make a key there, with mode 0600.

    Raises:
        EnvironmentFault: the file cannot be read or made, others may read it, or it holds no Ed25519 key.
    """
    data = keyfile.load_or_make(path, "audit log's key")
    try:
        key = ser.load_ssh_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise EnvironmentFault(f"{path}: is no usable private key: {error}; {keyfile.mend(path, error)}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise EnvironmentFault(f"{path}: the audit log's key must be Ed25519, without a passphrase")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Return the public key in `path`, in OpenSSH's format.

    Raises:
        EnvironmentFault: the file cannot be read, or holds no Ed25519 public key.
    """
    try:
        key = ser.load_ssh_public_key(textfile.read(path))
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        make = f"ssh-keygen -y -f {path.with_suffix('')} > {path}"
        raise EnvironmentFault(f"{path}: is no public key: {error}; the private one has it, too: {make}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise EnvironmentFault(
            f"{path}: is no Ed25519 public key: the audit log has no other, so name the .pub file beside its key"
        )
    return key


def fingerprint(key: Ed25519PublicKey) -> str:
    """The fingerprint of a key, as `ssh-keygen -l` prints it: `SHA256:…`."""
    blob = base64.b64decode(key.public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH).split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _signed(digest: str) -> bytes:
    return _CONTEXT + bytes.fromhex(digest)


def _bounded(value: object) -> object:
    return value[:_TEXT_MAX] + "…" if isinstance(value, str) and len(value) > _TEXT_MAX else value
