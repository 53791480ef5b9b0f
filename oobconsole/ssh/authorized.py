"""One line of an authorized_keys file, as sshd(8) describes it (AUTHORIZED_KEYS FILE FORMAT)."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncssh

#: Options about services that this server offers to nobody. They change nothing.
_MOOT: Final = frozenset(
    option
    for name in ("agent-forwarding", "port-forwarding", "user-rc", "x11-forwarding")
    for option in (name, f"no-{name}")
) | {"environment", "permitlisten", "permitopen", "tunnel"}  # fmt: skip
_OPTION: Final = re.compile(r'([A-Za-z0-9-]+)(?:="((?:[^"\\]|\\.)*)")?(?:,|[ \t]+|$)')
_TIME: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)?)?(Z|UTC)?", re.IGNORECASE)


class BadLine(ValueError):
    """A line that lets nobody in, because it cannot be understood. The message says why."""


@dataclass(slots=True)
class Line:
    """The contents of a line.

    Attributes:
        key: the public key.
        ca: whether the line is about certificates that this key has signed, and not about the key itself.
        command: the command that is run whatever the client asks for; None: what the client asks for.
        pty: whether the client may have a terminal.
        sources: lists of patterns; the client's address must match each list.
        expires: when the line stops counting, in seconds since 1970; None: never.
        principals: names, one of which a certificate must have; empty: the user's own name.
        no_touch: whether a security key may sign without being touched.
    """

    key: asyncssh.SSHKey | None = None
    ca: bool = False
    command: str | None = None
    pty: bool = True
    sources: tuple[str, ...] = ()
    expires: float | None = None
    principals: tuple[str, ...] = ()
    no_touch: bool = False

    def refuses(self, address: str, now: float) -> str:
        """Return why the line does not let in a client from that address at that time. Empty: it does.

        Args:
            now: in seconds since 1970, as `expires` is.
        """
        if self.expires is not None and now >= self.expires:
            return "the key has expired (expiry-time)"
        if not all(matches_address(patterns, address) for patterns in self.sources):
            return "not from this address (from)"
        return ""


def parse(text: str) -> Line:
    """Parse a line.

    Raises:
        BadLine: it has no public key, or an option that the server cannot honour.
    """
    line = Line()
    rest = text.strip()
    if (key := public_key(rest)) is None:
        rest = _options(rest, line)
        key = public_key(rest)
    if key is None:
        raise BadLine("it has no public key that can be read: ssh-keygen -lf FILE shows what OpenSSH reads")
    line.key = key
    return line


def public_key(text: str) -> asyncssh.SSHKey | None:
    """Return the key of a text in OpenSSH's one-line format, with any comment; None if the text is not a key."""
    try:
        return asyncssh.import_public_key(" ".join(text.split(maxsplit=2)[:2]))
    except (asyncssh.KeyImportError, ValueError):
        return None


def _options(text: str, line: Line) -> str:
    """Parse the options at the beginning of a line into `line`. Returns the text behind them. Raises `BadLine`."""
    at = 0
    while option := _OPTION.match(text, at):
        name, value = option[1].lower(), option[2]
        _set(line, name, None if value is None else value.replace('\\"', '"'))
        at = option.end()
        if not option[0].endswith(","):
            break
    else:
        raise BadLine('it has no public key that can be read, or an option that is not written as name="value"')
    return text[at:]


def _set(line: Line, name: str, value: str | None) -> None:
    match name, value:
        case "cert-authority", None:
            line.ca = True
        case (("no-pty" | "restrict"), None):
            line.pty = False
        case "pty", None:
            line.pty = True
        case "no-touch-required", None:
            line.no_touch = True
        case "command", str():
            if line.command is not None:
                raise BadLine("it has command= twice: keep the one that is meant")
            if not value.strip():
                raise BadLine("command= is empty, which would force nothing; 'menu' forces the menu")
            line.command = value
        case "from", str():
            _check_networks(value)
            line.sources = (*line.sources, value)
        case "expiry-time", str():
            line.expires = min(_time(value), float("inf") if line.expires is None else line.expires)
        case "principals", str():
            if line.principals:
                raise BadLine("it has principals= twice: write one list, with commas between the names")
            if not all(names := tuple(value.split(","))):
                raise BadLine("principals= has an empty name, which would be nobody's: remove it, or write the name")
            line.principals = names
        case _:
            if name not in _MOOT:  # an unknown option may be one that restricts who is let in
                raise BadLine(
                    f"option {name!r} is not supported, or not in this form: docs/access.md shows each option"
                )


def _check_networks(patterns: str) -> None:
    """Raise `BadLine` if a pattern looks like a network but is none. It would match no address, and the author of the
    line must learn that."""
    for pattern in patterns.split(","):
        text = pattern.strip().removeprefix("!")
        if "/" in text:
            try:
                ipaddress.ip_network(text)
            except ValueError as error:
                raise BadLine(
                    f"from= has {text!r}, which is no network and would match no address: {error}"
                ) from None


def _time(value: str) -> float:
    """Parse YYYYMMDD[HHMM[SS]][Z]; without Z it is local time. Returns seconds since 1970. Raises `BadLine`."""
    found = _TIME.fullmatch(value)
    try:
        if found is None:
            raise ValueError
        numbers = [int(part or 0) for part in found.groups()[:6]]
        if found[7]:
            return datetime(*numbers, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]
        datetime(*numbers)  # type: ignore[arg-type]  # checks the ranges
        return time.mktime((*numbers, 0, 0, -1))  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        raise BadLine(
            f"expiry-time {value!r} is no time: YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z for UTC"
        ) from None


def matches_address(patterns: str, address: str) -> bool:
    """Return whether an address matches patterns (PATTERNS in ssh_config(5)): addresses, networks, * and ?, separated
    by commas; ! excludes. Host names are not looked up, as with sshd's `UseDNS no`."""
    words = patterns.split(",")
    excluded = [word[1:] for word in words if word.startswith("!")]
    wanted = [word for word in words if not word.startswith("!")]
    return _any(wanted, address) and not _any(excluded, address)


def _any(patterns: Sequence[str], address: str) -> bool:
    return any(_one(pattern.strip(), address) for pattern in patterns)


def _one(pattern: str, address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]) in ipaddress.ip_network(pattern)
    except ValueError:
        wildcards = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
        return bool(pattern) and re.fullmatch(wildcards, address, re.IGNORECASE) is not None
