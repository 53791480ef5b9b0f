"""Says who may do what at which console, by `[[group]]` and `[[grant]]`. Nothing is allowed that no grant allows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final


class Right(StrEnum):
    """What a user may do at a console."""

    WATCH = "watch"
    WRITE = "write"
    FORCE = "force"  # take the keyboard from somebody
    POWER = "power"
    LOG = "log"  # read what was recorded


ALL: Final = frozenset(Right)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever is logged in.

    Attributes:
        name: the user's name.
        key: the fingerprint of the key or certificate that was used, as OpenSSH prints it.
        address: the address that the connection came from; empty for the local command.
        local: the user came through the admin socket, which only the server's own user and root can open. Such a user
            may do everything.
    """

    name: str
    key: str = ""
    address: str = ""
    local: bool = False

    def is_user(self, other: Principal) -> bool:
        """Return whether `other` is the same user, perhaps in another session. A local user is never the same as a
        user of SSH."""
        return self.name == other.name and self.local == other.local


@dataclass(frozen=True, slots=True)
class Grant:
    """One `[[grant]]` of the configuration, with its groups replaced by their members."""

    users: tuple[str, ...]
    consoles: tuple[str, ...]
    rights: frozenset[Right]

    def covers(self, user: str, console: str) -> bool:
        """Return whether the grant names this user and this console."""
        return _matches(user, self.users) and _matches(console, self.consoles)


@dataclass(slots=True)
class Access:
    """What the configuration grants now. A reload replaces `grants` as a whole."""

    grants: tuple[Grant, ...] = field(default_factory=tuple)

    def rights(self, who: Principal, console: str) -> frozenset[Right]:
        """Return every right that `who` has at `console`."""
        if who.local:
            return ALL
        granted = (grant.rights for grant in self.grants if grant.covers(who.name, console))
        return frozenset[Right]().union(*granted)

    def sees(self, who: Principal, console: str) -> bool:
        """Return whether `who` has any right at `console`. This is quicker than `rights`, because one grant is
        enough."""
        return who.local or any(grant.rights and grant.covers(who.name, console) for grant in self.grants)

    def may(self, who: Principal, right: Right, console: str) -> bool:
        """Return whether `who` has that right at `console`."""
        return right in self.rights(who, console)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
