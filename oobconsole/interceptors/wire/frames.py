"""The layout of each frame, as `native/include/oob_wire.h` defines it, and the events that a native half sends."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from oobconsole.interceptors.wire.numbers import LATENCY_BUCKETS, RANGES_MAX, STATS_MAX, GoneReason


class PortRange(NamedTuple):
    """`struct oob_port_range`: I/O ports that a native half intercepts, or that a server serves.

    Attributes:
        first: the first port, which is the range's base register.
        length: how many ports the range has.
        lines: bit n: the range's device drives ISA interrupt n.
        widths: how many bytes an access may have. Bit 0: 1 byte; bit 1: 2 bytes; bit 2: 4 bytes.
        posted: bit n: nobody needs to wait for a write to register n. A native half sends 0.
    """

    first: int
    length: int
    lines: int
    widths: int = 1
    posted: int = 0


class Hello(NamedTuple):
    """The first frame of a connection: who the native half is, and which ranges it intercepts."""

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
    """The guest has read the published `value` from `port`, and reading has an effect. The guest does not wait.

    Attributes:
        number: the number of the image that the guest reads from next. It has read the base register in all images
            before that one.
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
    """An L2 is gone."""

    context: int
    reason: GoneReason


class Gap(NamedTuple):
    """`lost` bytes of output that the guest wrote to `port` while the server was away, and that were not kept."""

    context: int
    port: int
    lost: int


class Announced(NamedTuple):
    """All contexts that a server has known before have appeared. The native half now waits for READY."""


class Stats(NamedTuple):
    """What the native half has counted since it started. `counters` is by the names in `STATS`. `latency` has
    `LATENCY_BUCKETS` numbers of accesses, by how long their answer took (numbers.py)."""

    counters: dict[str, int]
    latency: tuple[int, ...]

    def latency_us(self, quantile: float) -> float:
        """Return the time in microseconds within which that part of the accesses (0 to 1) was answered."""
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
#: The images follow.
PUBLISH: Final = Struct("<HBBIIIHBB")
IMAGE: Final = Struct("<BB8s")
RESUME: Final = Struct("<HBBIHHIQ")
