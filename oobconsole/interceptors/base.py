"""The contract between an interceptor and the guests whose device accesses it brings.

Everything here is called from the event loop's thread and returns at once: an interceptor may
have a vCPU waiting for the answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from oobconsole.devices.device import Image
from oobconsole.errors import StateError


@dataclass(frozen=True, slots=True)
class Context:
    """One L2 as an interceptor tells it apart from the others.

    Attributes:
        machine: the configured name of the L1 it runs under.
        number: from 1 on. The native half gives it; it is unique among the live contexts of `machine`.
        origin: where the L2 was seen (VMCB, nested CR3). It is for the log, and never an identity.
        instance: identifies a native half that may outlive the server; such a native half gives each number only
            once. 0: the native half does not outlive the server.
    """

    machine: str
    number: int
    origin: str = ""
    instance: int = 0


class Publication(NamedTuple):
    """What a guest will read from the registers of one range of ports, told ahead, so that the guest need not wait.

    Attributes:
        port: the first port of the range.
        number: the number of the first image (`devices.device.Ahead`).
        images: at least one, and at most `wire.IMAGES_MAX`. The guest reads from the first image, and each time that
            it reads the first port it moves on to the next image.
    """

    port: int
    number: int
    images: tuple[Image, ...]


class PortHandler(Protocol):
    """Serves the intercepted ports of one guest. An access never raises for what the guest did."""

    def read(self, port: int, size: int) -> int:
        """Return what `in` of `size` (1, 2, 4) bytes from `port` yields."""

    def write(self, port: int, size: int, value: int) -> None:
        """Serve `out` of `size` (1, 2, 4) bytes to `port`."""

    def write_block(self, port: int, data: bytes) -> None:
        """Serve one byte-wide `out` to `port` for every byte of `data`, in order."""

    def served(self, port: int, value: int, number: int) -> None:
        """Learn that the guest has read the published `value` from `port`, and reads from image `number` (modulo
        2**32) next. The native half may tell the same more than once."""

    def gap(self, port: int, lost: int) -> None:
        """Learn that `lost` bytes which the guest wrote to `port` at this place did not reach the server."""

    def received(self) -> tuple[tuple[int, int], ...]:
        """Return pairs of a port and a count, for the first port of each range whose output is known. The count is
        how many bytes of output have come since the context was first bound, by this server or one before it. Bytes
        that a gap reported count, too."""

    def publications(self) -> tuple[Publication, ...]:
        """Return what the guest will read after the accesses served so far. This is called often, so it is cheap."""


class InterceptorEvents(Protocol):
    """What an interceptor tells its machine. `guests.nested.Machine` implements it."""

    def link_up(self, peer: str) -> None:
        """The native half is connected. Its contexts appear next. `peer` describes it, for the log."""

    def link_down(self, reason: str) -> None:
        """The native half is away. Contexts keep their handlers until they are gone."""

    def context_appeared(self, context: Context) -> PortHandler | None:
        """Bind a context, or bind it again after a lost link. Returns what serves its accesses. `None` refuses the
        context: its accesses are answered as if there were no device (all ones)."""

    def context_gone(self, context: Context, reason: str) -> None:
        """The guest is destroyed, or another guest has taken its place. `reason` says which, in words."""


class InterceptorState(Enum):
    """Whether `Interceptor.start` has been called."""

    NEW = "new"
    STARTED = "started"


class Report(NamedTuple):
    """What an interceptor's native half has counted, for metrics.

    Attributes:
        accesses: how many accesses the server has served whose vCPU waited for the answer.
        counters: the native half's own counters, by name (docs/wire-protocol.md).
        latency: how many of these waits were how long, in buckets that `wire.Stats` describes.
    """

    accesses: int
    counters: Mapping[str, int]
    latency: Sequence[int]


class Interceptor(ABC):
    """The Python half of an interceptor: brings the device accesses of one machine's guests to the server."""

    _events: InterceptorEvents | None = None

    @property
    def events(self) -> InterceptorEvents:
        """The machine that is told what happens. Raises `StateError` before `start`."""
        if self._events is None:
            raise StateError(InterceptorState.NEW, InterceptorState.STARTED)
        return self._events

    @property
    def connecting(self) -> bool:
        """Is there a connection that is the native half's, or may turn out to be? Its contexts may not have appeared
        yet."""
        return False

    def report(self) -> Report | None:
        """Return what the native half has counted; None: there is no native half."""
        return None

    @abstractmethod
    async def start(self, events: InterceptorEvents) -> None:
        """Begin to listen. Raises `EnvironmentFault` when that cannot be done."""

    @abstractmethod
    async def stop(self) -> None:
        """Close everything. The guests go on without the server. A second call does nothing."""

    @abstractmethod
    def set_irq(self, context: Context, line: int, level: bool) -> None:
        """Drive an ISA interrupt line (0-15) of a guest. This does nothing for a context that is away: when the
        context reappears, its board drives the line again."""

    @abstractmethod
    def publish(self, context: Context) -> None:
        """Send the handler's publications again, because something else than an access has changed them."""

    @abstractmethod
    def set_attention(self, context: Context, attended: bool) -> None:
        """Say whether anybody is attached. The native half wakes an idle guest sooner if so."""
