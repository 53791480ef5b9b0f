"""A hundred terminals that show the same output: it is filtered once, and each is sent what its own filter says."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.console.console import Console
from oobconsole.session import once as sharing
from oobconsole.session import safe as slicing
from oobconsole.session.once import KEPT_MAX, FilteredOnce, once
from oobconsole.terminal.safe import SafeFilter
from tests.support.aio import soon
from tests.support.clock import stopped
from tests.unit.session.test_safe import outputs


class Counting(SafeFilter):
    """Counts the bytes that went through any of these filters."""

    count = 0

    def feed(self, data: bytes, now: float = 0.0) -> bytes:
        Counting.count += len(data)
        return super().feed(data, now)


@pytest.fixture(autouse=True)
def from_nothing() -> None:
    Counting.count = 0


@given(st.lists(outputs, min_size=1, max_size=5), st.lists(outputs, max_size=3))
async def test_each_is_sent_what_its_own_filter_says(pieces: list[bytes], earlier: list[bytes]) -> None:
    """Whatever its filter was in the middle of."""
    shared = FilteredOnce(lambda: True)
    filters = [SafeFilter() for _ in range(2 + len(earlier))]
    alone = [SafeFilter() for _ in filters]
    with pytest.MonkeyPatch.context() as patched:
        stopped(patched, sharing).now = 0.0  # a string is given up by time
        for one, other, before in zip(filters, alone, earlier, strict=False):
            one.feed(before)
            other.feed(before)
        for piece in pieces:
            shown = [await shared.feed(each, piece) for each in filters]
            assert shown == [each.feed(piece) for each in alone]
            assert [each.state() for each in filters] == [each.state() for each in alone]


async def test_a_hundred_at_the_same_time_cost_one() -> None:
    shared, data = FilteredOnce(lambda: True), b"\x1b[5nred\x9bc" * 2000
    filters = [Counting() for _ in range(100)]
    shown = await soon(asyncio.gather(*(shared.feed(each, data) for each in filters)))
    assert set(shown) == {SafeFilter().feed(data)}
    assert Counting.count == len(data)


async def test_who_leaves_in_the_middle_keeps_nobody_waiting() -> None:
    shared, data = FilteredOnce(lambda: True), b"\x1b[5nred" * 5000
    first, second = (asyncio.ensure_future(shared.feed(SafeFilter(), data)) for _ in range(2))
    await asyncio.sleep(0)
    assert shared._making
    first.cancel()
    assert await soon(second) == b"red" * 5000


async def test_text_passes_as_it_is_without_a_copy() -> None:
    data = b"a line of text\r\n" * 4000
    for shared in (FilteredOnce(lambda: False), FilteredOnce(lambda: True)):
        assert await soon(shared.feed(Counting(), data)) is data
    assert Counting.count == 0


async def test_what_is_dear_is_still_filtered_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    feed = SafeFilter.feed

    def counted(self: SafeFilter, data: bytes, now: float = 0.0) -> bytes:
        fed.append(len(data))
        return feed(self, data, now)

    monkeypatch.setattr(SafeFilter, "feed", counted)
    await soon(FilteredOnce(lambda: True).feed(SafeFilter(), b"text" + b"\x1b[5n" * 9000))
    assert sum(fed) == 36_000
    assert max(fed) <= slicing.SLICE


async def test_little_is_kept_and_nothing_for_one_alone() -> None:
    terminals = 2
    shared = FilteredOnce(lambda: terminals > 1)
    for number in range(20):
        await shared.feed(SafeFilter(), b"%d" % number * 40_000)
        assert sum(len(data) for _, data in shared._kept) <= KEPT_MAX
    terminals = 1
    await shared.feed(SafeFilter(), b"text")
    assert not shared._kept


def test_what_a_console_keeps_goes_with_it() -> None:
    console = Console("web1", scrollback=1024)
    assert once(console) is once(console)
    gone = weakref.ref(console)
    del console
    gc.collect()
    assert gone() is None
