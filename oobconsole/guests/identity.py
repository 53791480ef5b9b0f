"""Which configured guest is a context? A binder answers that question when the context appears.

The UART cannot tell: whatever an L2 does with its UART, its hypervisor could imitate. So the binder that is there,
`InOrder`, assigns the guests in an order. Another binder could let a guest say who it is. Such a binder answers
`NoGuest.YET`. The context then runs with its own board, and its output is kept, until a device of the board says
which guest the context is (`Bind` in `fittings.py`). Each device that a machine's guests have is made with a function
for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum
from typing import Final, Protocol, TypeVar

from oobconsole.guests.board import Board
from oobconsole.interceptors.base import Context

#: Guests that went within so many seconds of each other went together, for example because their machine was started
#: again. They get their names back in the order of the configuration.
TOGETHER_SECONDS: Final = 1.0


class Claim(IntEnum):
    """What a guest's recordings say about a context: was the context this guest before? The best claim comes
    first."""

    OWN = 0  # the context was this guest when the server was here last
    FREE = 1  # the recordings name no context of this native half
    OTHERS = 2  # another context of the same native half was this guest, and may yet appear


class NoGuest(Enum):
    """Why a context is none of the guests."""

    NEVER = "no guest is configured for it"  # the context gets no devices: its accesses reach nothing
    YET = "it has not said which guest it is"  # the context gets devices, and its output is kept


class Candidate(Protocol):
    """A guest of the configuration, as a binder sees it."""

    @property
    def name(self) -> str:
        """The name that the configuration gives the guest."""

    @property
    def board(self) -> Board | None:
        """The board of the context that is this guest now; None: there is no such context."""

    @property
    def left(self) -> float:
        """When the guest's last context went, by `time.monotonic`; minus infinity if it never had one."""

    def claim(self, context: Context) -> Claim:
        """Return what the guest's recordings say about that context."""


_G = TypeVar("_G", bound=Candidate)


class Binder(Protocol):
    """Says which guest a context is."""

    def guest_for(self, context: Context, guests: Sequence[_G]) -> _G | NoGuest:
        """Choose one of the machine's guests for a context that appears. If that guest has a board, the board's
        context stops being this guest."""


class InOrder(Binder):
    """Chooses the guest that the context was when the server was here last. If there is no such guest, chooses among
    the guests that no other context may yet claim: first those whose context went last, because the context is most
    probably that guest, started again. Among equals the first in the order of the configuration is chosen."""

    def guest_for(self, context: Context, guests: Sequence[_G]) -> _G | NoGuest:
        free = [guest for guest in guests if guest.board is None]
        last = max((guest.left for guest in free), default=0.0)
        return min(
            free,
            key=lambda guest: (guest.claim(context), guest.left < last - TOGETHER_SECONDS),
            default=NoGuest.NEVER,
        )
