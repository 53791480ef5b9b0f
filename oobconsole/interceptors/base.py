"""The contract between an interceptor and the guests whose device accesses it brings.

Everything here is called from the event loop's thread and returns at once: an interceptor may
have a vCPU waiting for the answer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

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
    """Registers of one port range whose reading has, right now, no side effect.

    The native half may answer a guest's read from here, without asking, until the guest's next
    access changes anything.

    Attributes:
        port: of the register of bit 0.
        valid: bit n: `values[n]` may be read.
        after_thr: bit n: stays true even when a byte is written to THR (port + 0).
        values: eight registers.
    """

    port: int
    valid: int
    after_thr: int
    values: bytes


class Input(NamedTuple):
    """All that a guest will read from the receiver of one port, ahead: reading it then waits for nobody.

    Attributes:
        port: of RBR.
        number: of the first character; of a port, each has one more than that before it.
        data: the characters.
    """

    port: int
    number: int
    data: bytes


class PortHandler(Protocol):
    """Serves the intercepted ports of one guest. An access never raises for what the guest did."""

    def read(self, port: int, size: int) -> int:
        """Return what `in` of `size` (1, 2, 4) bytes from `port` yields."""

    def write(self, port: int, size: int, value: int) -> None:
        """Serve `out` of `size` (1, 2, 4) bytes to `port`."""

    def write_block(self, port: int, data: bytes) -> None:
        """Serve one byte-wide `out` to `port` for every byte of `data`, in order."""

    def thre_served(self, port: int) -> None:
        """Learn that the guest has read from IIR, `port`, that THR is empty; say its interrupt line again."""

    def taken(self, port: int, number: int) -> None:
        """Learn that the guest has read from RBR, `port`, what comes before the character of that number (modulo
        2**32); it may be told more than once."""

    def inputs(self) -> tuple[Input, ...]:
        """What the receivers hold that hold anything; cheap, called often."""

    def gap(self, port: int, lost: int) -> None:
        """Learn that `lost` bytes written to `port` did not reach the server, at this place."""

    def received(self) -> tuple[tuple[int, int], ...]:
        """For the first port of each range whose output we know: how many bytes of it have come since the context was
        first bound, by us or a server before us, those that a gap told of included."""

    def publications(self) -> tuple[Publication, ...]:
        """What may be read without asking after the accesses served so far; cheap, called often."""


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
