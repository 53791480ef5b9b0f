"""How each frame lies in memory, as `native/include/oob_wire.h` has it, and the events that a native half sends."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from oobconsole.interceptors.wire.numbers import LATENCY_BUCKETS, RANGES_MAX, STATS_MAX, GoneReason


class PortRange(NamedTuple):
    """`struct oob_port_range`: I/O ports that a native half intercepts, or that a server serves.

    Attributes:
        first: the first port: the range's base register.
        length: in ports.
        lines: bit n: the range's device drives ISA interrupt n.
        widths: how many bytes an access may have: bit 0: 1, bit 1: 2, bit 2: 4.
        posted: bit n: nobody needs to wait for a write to register n. A native half says 0.
    """

    first: int
    length: int
    lines: int
    widths: int = 1
    posted: int = 0


class Hello(NamedTuple):
    """First frame of a connection: who the native half is, and which ranges it intercepts."""

    capabilities: int
    machine: str
    instance: int
    ranges: tuple[PortRange, ...] = ()


class Access(NamedTuple):
    """One port access whose vCPU waits for the answer."""

    context: int
    seq: int
    port: int
    size: int
    write: bool
    value: int
    vcpu: int


class Posted(NamedTuple):
    """Byte-wide writes to one port, in order, that nobody waits for."""

    context: int
    port: int
    data: bytes
    vcpu: int


class ReadServed(NamedTuple):
    """The guest has read `value` from `port`, as it was published, and reading has an effect; nobody waits.

    Attributes:
        number: of the image that the guest reads from next: it has read the base register of all those before.
    """

    context: int
    port: int
    value: int
    number: int


class ContextAppeared(NamedTuple):
    """An L2 that has begun to use our ports, or is announced again on a new connection."""

    context: int
    vmcb: int
    ncr3: int


class ContextGone(NamedTuple):
    """An L2 that is no more."""

    context: int
    reason: GoneReason


class Gap(NamedTuple):
    """Output that was lost while the server was away."""

    context: int
    port: int
    lost: int


class Announced(NamedTuple):
    """Every context that a server has known has appeared; the native half waits for READY."""


class Stats(NamedTuple):
    """What the native half counted since it started: by the names in `STATS`, and in `LATENCY_BUCKETS`."""

    counters: dict[str, int]
    latency: tuple[int, ...]

    def latency_us(self, quantile: float) -> float:
        """The time in us within which that part (0 to 1) of the accesses was answered."""
        left = sum(self.latency) * quantile
        for bucket, count in enumerate(self.latency):
            if left <= count:
                return float(2 ** ((bucket + (left / count if count else 0)) / 4))
            left -= count
        return float(2 ** (LATENCY_BUCKETS / 4))


Event = Hello | Access | Posted | ReadServed | ContextAppeared | ContextGone | Gap | Stats | Announced

HEADER: Final = Struct("<HBBI")
PORT_RANGE: Final = Struct("<HHHBB")
HELLO: Final = Struct(f"<HBBIIHHI48sI{RANGES_MAX * PORT_RANGE.size}s")
WELCOME: Final = Struct(f"<HBBIIHHII{RANGES_MAX * PORT_RANGE.size}s")
ACCESS: Final = Struct("<HBBIIHBBIHH")
ANSWER: Final = Struct("<HBBIII")
POSTED: Final = Struct("<HBBIHHHH")
READ_SERVED: Final = Struct("<HBBIHBBI")
CONTEXT_APPEARED: Final = Struct("<HBBIQQQ")
CONTEXT_GONE: Final = Struct("<HBBIII")
GAP: Final = Struct("<HBBIHHIQ")
STATS_FRAME: Final = Struct(f"<HBBIII{STATS_MAX}Q")
IRQ: Final = Struct("<HBBIBBHI")
ATTENTION: Final = Struct("<HBBIII")
#: Followed by its images.
PUBLISH: Final = Struct("<HBBIIIHBB")
IMAGE: Final = Struct("<BB8s")
RESUME: Final = Struct("<HBBIHHIQ")
