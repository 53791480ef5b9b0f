"""Whether a native half is away, or only late: its absence is measured as far as this process could see it.

A timer that expires while this process itself did not run (a busy machine, a stopped process) says nothing of the
native half: what it has sent meanwhile has not been looked at yet. And one that is just connecting is not absent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

#: A native half that is back within so many seconds was not away: nobody is told.
AWAY_SECONDS: Final = 1.0
#: It is waited for in so many steps. One that ends later than it should, by so many seconds, does not count.
STEPS: Final = 10
LATE_SECONDS: Final = 0.1
#: After so many steps, whatever they were, it is told all the same: one that connects and connects, or this process
#: that is always late, must not leave people with a console that takes nothing and says nothing.
STEPS_MAX: Final = 50

_Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


def _later(delay: float, call: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(delay, call)


class Absence:
    """Of one guest's native half: from a lost link until the guest is bound again, or the absence is one.

    Args:
        tell: called once, with the reason, when it has been away for `AWAY_SECONDS`.
        connecting: is there a connection that may be the native half's? Its absence is over then, though the guest
            may have to be waited for.
        clock: in seconds.
        later: as an event loop's `call_later`.
    """

    def __init__(
        self,
        tell: Callable[[str], None],
        connecting: Callable[[], bool],
        *,
        clock: Callable[[], float] = time.monotonic,
        later: _Later = _later,
    ) -> None:
        self._tell = tell
        self._connecting = connecting
        self._clock = clock
        self._later = later
        self._timer: asyncio.TimerHandle | None = None
        self._reason = ""
        self._steps = self._absent = 0
        self._due = 0.0

    @property
    def pending(self) -> bool:
        """Is it waited for?"""
        return self._timer is not None

    def begin(self, reason: str) -> None:
        """The link is lost, or lost again before the guest was bound: each absence counts by itself."""
        self._reason = reason
        self._absent = 0
        if self._timer is None:
            self._steps = 0
            self._wait()

    def end(self) -> None:
        """The guest is bound again, or gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        step = AWAY_SECONDS / STEPS
        self._due = self._clock() + step
        self._timer = self._later(step, self._step)

    def _step(self) -> None:
        self._timer = None
        connecting = self._connecting()
        self._steps += 1
        if connecting:
            self._absent = 0
        elif self._clock() - self._due <= LATE_SECONDS:
            self._absent += 1
        # One step more than the time takes: a timer may be served before what has arrived in time.
        if self._absent > STEPS or self._steps >= STEPS_MAX:
            self._tell(f"{self._reason}; it is connecting again" if connecting else self._reason)
        else:
            self._wait()
