"""A break that a client has asked for (RFC 4335), and the client's answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

#: How long a client may wait for its answer, in seconds. Programs take a longer silence for a broken connection.
ANSWER_SECONDS: Final = 10.0


class Break:
    """One break.

    Args:
        after: how many bytes of input came before it.
        answered: tells the client whether the break was sent; None: the client has not asked to be told.

    Attributes:
        refused: how many later breaks were refused since the last one was handed out, because too many waited.
        is_late: the client was told that the break is not sent, because it had to wait for too long. It must not be
            sent any more.
    """

    def __init__(self, after: int, answered: Callable[[bool], object] | None) -> None:
        self.after = after
        self.refused = 0
        self.is_late = False
        self._answered = answered
        self._timer: asyncio.TimerHandle | None = None
        if answered is not None:
            self._timer = asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._give_up)

    def answer(self, sent: bool) -> None:
        """Tell the client whether the break was sent. A second call does nothing."""
        self.forget()
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(sent)

    def forget(self) -> None:
        """Stop the clock: the client is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self.is_late = True
        self.answer(False)
