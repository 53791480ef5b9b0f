"""Is a native half away, or only late? Its absence is measured, but only while this process could have noticed it.

A timer may expire while this process itself did not run (a busy machine, a stopped process). Such a timer proves
nothing about the native half, because nobody has looked yet at what it has sent. And a native half that is just
connecting is not absent.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

#: If a native half is back within so many seconds, nobody is told that it was away.
AWAY_SECONDS: Final = 1.0
#: That time is divided into so many steps. A step that ends late, by so many seconds, does not count.
STEPS: Final = 10
LATE_SECONDS: Final = 0.1
#: After so many steps people are told in any case, even if steps did not count. Otherwise a native half that connects
#: again and again, or a process that is always late, would leave people with a console that takes nothing and says
#: nothing.
STEPS_MAX: Final = 50

_Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]


def _later(delay: float, call: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(delay, call)


class Absence:
    """Watches one guest's native half from a lost link until the guest is bound again, or has been away long enough.

    Args:
        tell: called once, with the reason, when the native half has been away for `AWAY_SECONDS`.
        connecting: whether there is a connection that may be the native half's. Then the native half is not absent,
            even if its guest is not bound yet.
        clock: returns a monotonic time in seconds.
        later: has the arguments of an event loop's `call_later`.
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
        """Whether an absence is being measured now."""
        return self._timer is not None

    def begin(self, reason: str) -> None:
        """The link is lost, or lost again before the guest was bound. The time of an earlier absence does not
        count."""
        self._reason = reason
        self._absent = 0
        if self._timer is None:
            self._steps = 0
            self._wait()

    def end(self) -> None:
        """The guest is bound again, or gone: nobody need be told any more."""
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
        # `>` waits for one step more than the time takes, because a timer may be served before data that came in
        # time.
        if self._absent > STEPS or self._steps >= STEPS_MAX:
            self._tell(f"{self._reason}; it is connecting again" if connecting else self._reason)
        else:
            self._wait()
