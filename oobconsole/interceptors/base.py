"""The contract between an interceptor and the guests whose device accesses it brings.

Everything here is called from the event loop's thread and returns at once: an interceptor may
have a vCPU waiting for the answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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
        number: from 1, given by the native half, unique among the live contexts of `machine`.
        origin: where it was seen (VMCB, nested CR3), for the log; never an identity.
        instance: of the native half, where it outlives us: it gives a number only once. 0: it does not.
    """

    machine: str
    number: int
    origin: str = ""
    instance: int = 0


class Publication(NamedTuple):
    """What a guest will read from the registers of one range of ports, ahead: nobody waits for it then.

    Attributes:
        port: the first one of the range.
        number: of the first image (`devices.device.Ahead`).
        images: at least one, and at most `wire.IMAGES_MAX`; the guest reads from the first one, and each reading of
            the first port moves on to the next.
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
        """Learn that the guest has read `value` from `port` as it was published, and reads from the image of that
        number next (modulo 2**32); it may be told more than once."""

    def gap(self, port: int, lost: int) -> None:
        """Learn that `lost` bytes written to `port` did not reach the server, at this place."""

    def received(self) -> tuple[tuple[int, int], ...]:
        """For the first port of each range whose output we know: how many bytes of it have come since the context was
        first bound, by us or a server before us, those that a gap told of included."""

    def publications(self) -> tuple[Publication, ...]:
        """What the guest will read, after the accesses served so far; cheap, called often."""


class InterceptorEvents(Protocol):
    """What an interceptor tells its machine."""

    def link_up(self, peer: str) -> None:
        """The native half is connected; its contexts appear next."""

    def link_down(self, reason: str) -> None:
        """The native half is away; contexts keep their handlers until they are gone."""

    def context_appeared(self, context: Context) -> PortHandler | None:
        """Bind a context, or bind it again after a lost link. `None` refuses it: its accesses
        are answered as from an absent device (all ones)."""

    def context_gone(self, context: Context, reason: str) -> None:
        """The guest is destroyed, or another took its place."""


class InterceptorState(Enum):
    """Has `start` been called?"""

    NEW = "new"
    STARTED = "started"


class Interceptor(ABC):
    """How one machine's device accesses reach us."""

    _events: InterceptorEvents | None = None

    @property
    def events(self) -> InterceptorEvents:
        """Whom to tell. Raises `StateError` before `start`."""
        if self._events is None:
            raise StateError(InterceptorState.NEW, InterceptorState.STARTED)
        return self._events

    @property
    def connecting(self) -> bool:
        """Has anybody connected who is, or may be about to say that it is, the native half? Its contexts may not have
        appeared yet."""
        return False

    @abstractmethod
    async def start(self, events: InterceptorEvents) -> None:
        """Begin to listen. Raises `EnvironmentFault` when that cannot be done."""

    @abstractmethod
    async def stop(self) -> None:
        """Close everything; guests go on without us. Idempotent."""

    @abstractmethod
    def set_irq(self, context: Context, line: int, level: bool) -> None:
        """Drive an ISA interrupt line (0-15) of a guest. Ignored for a context that is away:
        the machine drives the level again when it reappears."""

    @abstractmethod
    def publish(self, context: Context) -> None:
        """Send the handler's publications again: something else than an access changed them."""

    @abstractmethod
    def set_attention(self, context: Context, attended: bool) -> None:
        """Say whether anybody is attached: an attended guest is woken sooner when idle."""
