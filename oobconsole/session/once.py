"""What a console prints is filtered once, however many terminals show it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary, ref

from oobconsole.console.console import Console
from oobconsole.session.safe import next_slice, slices
from oobconsole.terminal.safe import SafeFilter, State

#: So much filtered output of a console is kept, in bytes. Readers that keep up are no further apart: the guest waits
#: for who is half a scrollback behind (console/pace.py).
KEPT_MAX: Final = 256 << 10
#: The state of a filter, and what it is fed. A hundred readers of the same place are given the same object, so that
#: its hash is computed once and it is compared with itself.
_Key: TypeAlias = tuple[State, bytes]


class FilteredOnce:
    """Of one console.

    Args:
        is_shared: are there several terminals?

    Every terminal has a filter of its own, because each begins at another place of the output. What a filter returns,
    and the state that it is left in, depend on its state and on the data alone. So whoever feeds the same data to a
    filter in the same state, which nearly all of a console's watchers do, is given the same answer.
    """

    def __init__(self, is_shared: Callable[[], bool]) -> None:
        self._is_shared = is_shared
        self._kept: dict[_Key, tuple[bytes, State]] = {}
        self._size = 0
        self._making: dict[_Key, asyncio.Future[None]] = {}

    async def feed(self, safe: SafeFilter, data: bytes) -> bytes:
        """What `safe.feed(data)` returns, with a turn of the event loop for everybody else where that takes long."""
        now = time.monotonic()
        if not self._is_shared():
            self._kept.clear()
            self._size = 0
            return await _filtered(safe, data, now)
        key = (safe.state(now), data)
        while (known := self._kept.get(key)) is None:
            if key not in self._making:
                return await self._make(key, safe, now)
            await asyncio.wait([self._making[key]])  # and look again: whoever made it may have left in the middle
        shown, state = known
        safe.follow(state, now)
        return shown

    async def _make(self, key: _Key, safe: SafeFilter, now: float) -> bytes:
        made = self._making[key] = asyncio.get_running_loop().create_future()
        try:
            shown = await _filtered(safe, key[1], now)
            self._keep(key, shown, safe.state(now))
        finally:
            del self._making[key]
            made.set_result(None)
        return shown

    def _keep(self, key: _Key, shown: bytes, state: State) -> None:
        self._kept[key] = shown, state
        self._size += len(key[1])
        while self._size > KEPT_MAX:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._size -= len(oldest[1])


async def _filtered(safe: SafeFilter, data: bytes, now: float) -> bytes:
    """What is nothing but text, as most output is, passes in one step and without a copy."""
    await next_slice()
    plain = safe.passes(data, now)
    if plain == len(data):
        return data
    return data[:plain] + b"".join([safe.feed(part, now) async for part in slices(data[plain:])])


_of: Final[WeakKeyDictionary[Console, FilteredOnce]] = WeakKeyDictionary()


def once(console: Console) -> FilteredOnce:
    """Return the filter that all terminals at a console share."""
    found = _of.get(console)
    if found is None:
        known = ref(console)  # what is kept by a console must not keep it
        found = _of[console] = FilteredOnce(lambda: (alive := known()) is not None and alive.attached > 1)
    return found
