"""Whose connection does the server accept? It decides before it reads a byte, by limits and penalties like
MaxStartups and PerSourcePenalties of sshd_config(5).

Durations, limits and the order of checks are those of OpenSSH 9.8 and later (sshd.c `drop_connection`, srclimit.c).
"""

from __future__ import annotations

import heapq
import ipaddress
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, Protocol

#: How many networks of each address family are tracked. If there are more, those whose penalty ends first are
#: forgotten ("overflow:permissive").
SOURCES_MAX: Final = 65536
#: How many seconds of penalty must have added up before it is enforced, and how long it can get.
PENALTY_MIN: Final = 15.0
PENALTY_MAX: Final = 600.0
_IPV6_PREFIX: Final = 64  # one customer has a /64; sshd's own default is 128

Source = ipaddress.IPv4Network | ipaddress.IPv6Network | str


class Offence(Enum):
    """Something that is penalized.

    Attributes:
        text: what the client has done, in words.
        seconds: how long the penalty is.
    """

    CRASH = "caused an internal error", 90.0
    NO_SSH = "sent what is not SSH", 10.0
    TOO_MUCH = "sent more than a login needs", 30.0
    GRACE_EXCEEDED = "did not log in in time", 10.0
    AUTH_FAILED = "failed to log in", 5.0
    NO_AUTH = "connected without trying to log in", 1.0

    def __init__(self, text: str, seconds: float) -> None:
        self.text = text
        self.seconds = seconds


def source_of(address: str) -> Source:
    """Return the network for which an address stands: an IPv4 address for itself, and an IPv6 address for its /64. A
    text that is not an IP address stands for itself."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return ipaddress.IPv6Network((ip, _IPV6_PREFIX), strict=False)
    return ipaddress.IPv4Network(ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else ip)


class _Penalty:
    __slots__ = ("active", "ends", "reason")

    def __init__(self) -> None:
        self.ends = 0.0
        self.active = False
        self.reason = ""


class Penalties:
    """Which sources must wait, and until when?

    Args:
        sources_max: how many sources are tracked.
        clock: returns a monotonic time in seconds.
    """

    def __init__(self, sources_max: int = SOURCES_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self._max = sources_max
        self._clock = clock
        self._table: dict[Source, _Penalty] = {}
        self._by_end: list[tuple[float, int, Source]] = []  # a heap by end; entries may be out of date
        self._pushed = 0

    def __len__(self) -> int:
        return len(self._table)

    def punish(self, source: Source, offence: Offence) -> None:
        """Add the offence to the source's penalty. It is enforced when it is longer than `PENALTY_MIN`."""
        now = self._clock()
        self._expire(now)
        penalty = self._table.setdefault(source, _Penalty())
        penalty.ends = min(max(penalty.ends, now) + offence.seconds, now + PENALTY_MAX)
        penalty.reason = offence.text
        penalty.active = penalty.active or penalty.ends - now > PENALTY_MIN
        self._push(penalty.ends, source)
        if len(self._table) > self._max:
            self._drop_first()

    def refuses(self, source: Source) -> tuple[str, float]:
        """Return why a source must wait, and for how many more seconds; ("", 0) if it need not."""
        now = self._clock()
        self._expire(now)
        penalty = self._table.get(source)
        return (penalty.reason, penalty.ends - now) if penalty is not None and penalty.active else ("", 0.0)

    def clear(self) -> None:
        """Forget every penalty that has been counted."""
        self._table.clear()
        self._by_end.clear()

    def _push(self, ends: float, source: Source) -> None:
        self._pushed += 1
        heapq.heappush(self._by_end, (ends, self._pushed, source))
        if len(self._by_end) > 2 * len(self._table) + 64:
            self._by_end = [(p.ends, i, s) for i, (s, p) in enumerate(self._table.items())]
            heapq.heapify(self._by_end)

    def _expire(self, now: float) -> None:
        while self._by_end and self._by_end[0][0] <= now:
            self._pop()

    def _drop_first(self) -> None:
        while not self._pop():
            pass

    def _pop(self) -> bool:
        """Remove the first entry of the heap, and its penalty if the entry is up to date. Returns whether it was."""
        ends, _, source = heapq.heappop(self._by_end)
        penalty = self._table.get(source)
        if penalty is None or penalty.ends != ends:
            return False
        del self._table[source]
        return True


class Limits(Protocol):
    """The limits of the section `[server]`, from the configuration or from the settings of a front."""

    @property
    def penalties(self) -> bool:
        """Whether addresses whose logins fail again and again must wait."""

    @property
    def penalties_exempt(self) -> Sequence[str]:
        """Addresses and networks that get no penalties, and have no limit of connections per source."""

    @property
    def max_connections(self) -> int:
        """How many connections there may be at the same time."""

    @property
    def max_connections_per_source(self) -> int:
        """How many connections one source may have at the same time."""

    @property
    def max_startups(self) -> str:
        """How many connections may not be logged in yet, as START:RATE:FULL (sshd_config(5), MaxStartups)."""


class Gate:
    """Counts connections, and says which new ones are refused. `limits` may be replaced at any time.

    Args:
        chance: returns a random number from 0 to 99, for early drops.
        clock: returns a monotonic time in seconds.
    """

    def __init__(
        self,
        limits: Limits,
        chance: Callable[[], int] = lambda: random.randrange(100),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self._chance = chance
        self._penalties4 = Penalties(clock=clock)
        self._penalties6 = Penalties(clock=clock)
        self._connections: Counter[Source] = Counter()  # only those that are there: bounded by max_connections
        self._total = 0
        self._startups = 0

    def refuses(self, address: str) -> str:
        """Return why a new connection from that address is refused; empty: it is accepted."""
        source = source_of(address)
        if not self._exempt(address):
            reason, seconds = self._penalties(source).refuses(source) if self.limits.penalties else ("", 0.0)
            if reason:
                return f"your address {reason}; it has to wait {seconds:.0f} s"
            if self._connections[source] >= self.limits.max_connections_per_source:
                return f"your address has {self.limits.max_connections_per_source} connections, and may not have more"
        if self._total >= self.limits.max_connections:
            return "too many connections, try again later"
        return "too many logins at the same time, try again later" if self._drops_early() else ""

    def entered(self, address: str) -> None:
        """A connection was accepted. It is not logged in yet."""
        self._connections[source_of(address)] += 1
        self._total += 1
        self._startups += 1

    def logged_in(self) -> None:
        """One of the connections that were not logged in is now logged in."""
        self._startups -= 1

    def left(self, address: str, *, logged_in: bool) -> None:
        """A connection that was accepted is over."""
        source = source_of(address)
        self._connections[source] -= 1
        if not self._connections[source]:
            del self._connections[source]
        self._total -= 1
        self._startups -= not logged_in

    def punish(self, address: str, offence: Offence) -> None:
        """A client at that address, which is not logged in, has done that."""
        if self.limits.penalties and not self._exempt(address):
            source = source_of(address)
            self._penalties(source).punish(source, offence)

    def _penalties(self, source: Source) -> Penalties:
        """Return the table of a source's address family. There are two, because IPv6 addresses cost nothing: very
        many of them must not make the penalties of IPv4 addresses be forgotten."""
        return self._penalties6 if isinstance(source, ipaddress.IPv6Network) else self._penalties4

    def _exempt(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(ip in ipaddress.ip_network(network) for network in self.limits.penalties_exempt)

    def _drops_early(self) -> bool:
        """Return whether a new connection is dropped at random, as sshd.c does in `should_drop_connection`."""
        begin, rate, full = map(int, self.limits.max_startups.split(":"))
        if self._startups < begin:
            return False
        if self._startups >= full or rate == 100:
            return True
        return self._chance() < (100 - rate) * (self._startups - begin) // (full - begin) + rate
