"""How each frame lies in memory, as `native/include/oob_wire.h` has it, and the events that a native half sends."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from oobconsole.interceptors.wire.numbers import LATENCY_BUCKETS, STATS_MAX, GoneReason


class Hello(NamedTuple):
    """First frame of a connection: who the native half is."""

    capabilities: int
    machine: str
    instance: int


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


class ThreServed(NamedTuple):
    """The guest has read from a port, IIR, that THR is empty; nobody waits."""

    context: int
    port: int


class Taken(NamedTuple):
    """The guest has read from a port, RBR, all characters before the one of that number; nobody waits."""

    context: int
    port: int
    next: int


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


Event = Hello | Access | Posted | ThreServed | Taken | ContextAppeared | ContextGone | Gap | Stats | Announced

HEADER: Final = Struct("<HBBI")
HELLO: Final = Struct("<HBBIIHHI48sI")
WELCOME: Final = Struct("<HBBIIHHII")
ACCESS: Final = Struct("<HBBIIHBBIHH")
ANSWER: Final = Struct("<HBBIII")
POSTED: Final = Struct("<HBBIHHHH")
THRE_SERVED: Final = Struct("<HBBIHHI")
TAKEN: Final = Struct("<HBBIHHI")
CONTEXT_APPEARED: Final = Struct("<HBBIQQQ")
CONTEXT_GONE: Final = Struct("<HBBIII")
GAP: Final = Struct("<HBBIHHIQ")
STATS_FRAME: Final = Struct(f"<HBBIII{STATS_MAX}Q")
IRQ: Final = Struct("<HBBIBBHI")
ATTENTION: Final = Struct("<HBBIII")
PUBLISH: Final = Struct("<HBBIIHBB8s")
RESUME: Final = Struct("<HBBIHHIQ")
INPUT: Final = Struct("<HBBIHBBI16s")
