"""Filters what a console prints once, however many terminals show it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary, ref

from oobconsole.console.console import Console
from oobconsole.session.safe import next_slice, slices
from oobconsole.terminal.safe import SafeFilter, State

#: How many bytes of a console's output are kept together with what they were filtered to. Readers that keep up are no
#: further apart, because the guest waits for a reader that is half a scrollback behind (console/pace.py).
KEPT_MAX: Final = 256 << 10
#: The state of a filter, and what it is fed. A hundred readers at the same place are given the same object, so that
#: its hash is computed once and comparing it is quick.
_Key: TypeAlias = tuple[State, bytes]
#: So much output that is more than text is filtered without a turn for others, in bytes.
_LITTLE: Final = 1024


class FilteredOnce:
    """The filter that all terminals at one console share.

    How can a filter be shared? Every terminal has a filter of its own, because each terminal begins at another place
    of the output. But what a filter returns, and the state in which that leaves it, depend on nothing but its state
    before and on the data. So two filters in the same state that are fed the same data can be given the same answer.
    Nearly all of a console's watchers are in that case.

    Args:
        is_shared: returns whether there are several terminals at the console.
    """

    def __init__(self, is_shared: Callable[[], bool]) -> None:
        self._is_shared = is_shared
        self._kept: dict[_Key, tuple[bytes, State]] = {}
        self._size = 0
        self._making: dict[_Key, asyncio.Future[None]] = {}
        self._takes_long: _Key | None = None  # what was found last to be neither text nor little

    async def feed(self, safe: SafeFilter, data: bytes) -> bytes:
        """Return what `safe.feed(data)` would return. If that takes long, others have a turn of the event loop
        meanwhile."""
        now = time.monotonic()
        if not self._is_shared():
            self._forget()
            return await _filtered(safe, data, now)
        key = (safe.state(now), data)
        while (known := self._kept.get(key)) is None:
            if key not in self._making:
                return await self._make(key, safe, now)
            await asyncio.wait([self._making[key]])  # look again: whoever was making it may have gone
        shown, state = known
        safe.follow(state, now)
        return shown

    def feed_at_once(self, safe: SafeFilter, data: bytes) -> bytes | None:
        """Return what `feed` returns, if that takes no turn of the event loop; else None, and nothing is fed."""
        now = time.monotonic()
        if not self._is_shared():
            self._forget()
            return _filtered_at_once(safe, data, now)
        key = (safe.state(now), data)
        known = self._kept.get(key)
        if known is not None:
            shown, state = known
            safe.follow(state, now)
            return shown
        if key == self._takes_long or key in self._making:
            return None
        made = _filtered_at_once(safe, data, now)
        if made is None:
            self._takes_long = key
        else:
            self._keep(key, made, safe.state(now))
        return made

    async def _make(self, key: _Key, safe: SafeFilter, now: float) -> bytes:
        """Filter the data of a key, and keep the result for others who have the same key."""
        made = self._making[key] = asyncio.get_running_loop().create_future()
        try:
            shown = await _filtered(safe, key[1], now)
            self._keep(key, shown, safe.state(now))
        finally:
            del self._making[key]
            made.set_result(None)
        return shown

    def _forget(self) -> None:
        """Forget what is kept for other terminals, because there are none."""
        if self._kept:
            self._kept.clear()
            self._size = 0
        self._takes_long = None

    def _keep(self, key: _Key, shown: bytes, state: State) -> None:
        self._kept[key] = shown, state
        self._size += len(key[1])
        while self._size > KEPT_MAX:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._size -= len(oldest[1])


async def _filtered(safe: SafeFilter, data: bytes, now: float) -> bytes:
    """Filter `data`. Most output is nothing but text: that passes in one step and without a copy."""
    await next_slice()
    plain = safe.passes(data, now)
    if plain == len(data):
        return data
    return data[:plain] + b"".join([safe.feed(part, now) async for part in slices(data[plain:])])


def _filtered_at_once(safe: SafeFilter, data: bytes, now: float) -> bytes | None:
    """Return what `_filtered` returns, if `data` is nothing but text, or little."""
    before = None if len(data) <= _LITTLE else safe.state(now)
    plain = safe.passes(data, now)
    if plain == len(data):
        return data
    if before is None:
        return data[:plain] + safe.feed(data[plain:], now)
    safe.follow(before, now)
    return None


_of: Final[WeakKeyDictionary[Console, FilteredOnce]] = WeakKeyDictionary()


def once(console: Console) -> FilteredOnce:
    """Return the filter that all terminals at a console share."""
    found = _of.get(console)
    if found is None:
        known = ref(console)  # what `_of` keeps for a console must not keep the console itself alive
        found = _of[console] = FilteredOnce(lambda: (alive := known()) is not None and alive.attached > 1)
    return found
