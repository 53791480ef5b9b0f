"""Which configured guest a context is: the question that a binder answers when a context appears.

Nothing that an L2 does with its UART says so: its hypervisor could imitate that. So the answer is `InOrder`. A binder
under which a guest says who it is gives every context a device for that (`equip`), and answers `NoGuest.YET`. The
context then runs with a board of its own, and its output is kept, until the device calls `bind`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, IntEnum
from typing import Final, Protocol, TypeVar

from oobconsole.guests.board import Board
from oobconsole.interceptors.base import Context

#: Guests that went within so many seconds went together, as when their machine was started again: they take their
#: names again in the order of the configuration.
TOGETHER_SECONDS: Final = 1.0


class Claim(IntEnum):
    """Whose a guest without a context is by its recordings, seen from a context; the best claim first."""

    OWN = 0  # it was this context's when the server was here last
    FREE = 1  # nobody's
    OTHERS = 2  # it was another context's of the same native half, which may yet appear


class NoGuest(Enum):
    """Why a context is none of the guests."""

    NEVER = "no guest is configured for it"  # it gets no devices: its accesses reach nothing
    YET = "it has not said which guest it is"


class Candidate(Protocol):
    """A guest of the configuration, as a binder sees it."""

    @property
    def name(self) -> str:
        """The name that the configuration gives the guest."""

    @property
    def board(self) -> Board | None:
        """What runs as this guest; None: nothing."""

    @property
    def left(self) -> float:
        """When its last context went, by `time.monotonic`; long ago if it never had one."""

    def claim(self, context: Context) -> Claim:
        """Whose it is by its recordings."""


_G = TypeVar("_G", bound=Candidate)


class Binder(Protocol):
    """Says which guest a context is."""

    def equip(self, board: Board, bind: Callable[[str | None], object]) -> None:
        """Add devices to a board before its context runs. `bind` may be called at any time, and more than once: with
        the name of the guest that the context is from now on, or with None when it is none."""
        return

    def guest_for(self, context: Context, guests: Sequence[_G]) -> _G | NoGuest:
        """Choose one of the machine's guests for a context that appears. A guest that has a board loses that."""


class InOrder(Binder):
    """The guest that the context was when the server was here last. Else a guest that no other such context may yet
    claim: the one whose context went last, as it is most probably the same that has been started again, or else the
    first in the order of the configuration."""

    def guest_for(self, context: Context, guests: Sequence[_G]) -> _G | NoGuest:
        free = [guest for guest in guests if guest.board is None]
        last = max((guest.left for guest in free), default=0.0)
        return min(
            free,
            key=lambda guest: (guest.claim(context), guest.left < last - TOGETHER_SECONDS),
            default=NoGuest.NEVER,
        )
