"""security.md 10: what a guest prints costs others little, however many watch it, and whatever it is."""

from __future__ import annotations

import asyncio

import pytest

from oobconsole.session.mirror import SEQUENCES_MAX, SLICE, Mirror
from oobconsole.session.safe import SLICES_MAX, next_slice, slices
from tests.support.aio import Work, idle, soon


async def test_all_sessions_share_a_few_slices_of_a_turn() -> None:
    """Ten of them, each of which has a screenful; and each has its turn."""
    work = Work()
    order: list[int] = []

    async def session(number: int) -> None:
        async for _ in slices(bytes(5000)):
            work.one()
            order.append(number)

    await soon(asyncio.gather(*map(session, range(10))))
    assert work.total == 30
    assert work.most <= 2 * SLICES_MAX  # those that have waited, and those that come
    assert [order.index(number) for number in range(10)] == list(range(10))
    assert sorted(order[:10]) == list(range(10))


async def test_who_leaves_while_it_waits_keeps_nobody_waiting() -> None:
    waiting = [asyncio.ensure_future(next_slice()) for _ in range(20)]
    await asyncio.sleep(0)
    for task in waiting[::2]:
        task.cancel()
    await soon(asyncio.gather(*waiting, return_exceptions=True))
    await soon(next_slice())


@pytest.mark.parametrize("dear", [b"\x1b[999S", b"\x1b[2J", b"\x1bc", b"x\x1b[999b", b"\n", b"text", b"\x1b["])
async def test_a_terminals_model_is_fed_a_few_sequences_at_a_time(
    dear: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them can change a hundred thousand cells."""
    mirror = Mirror(24, 80)
    fed: list[bytes] = []
    monkeypatch.setattr(mirror.model, "feed", fed.append)
    printed = dear * 500
    mirror.sent(printed)
    await soon(mirror.catch_up())
    assert b"".join(fed) == printed
    assert all(len(part) <= SLICE and part.count(b"\x1b") <= SEQUENCES_MAX for part in fed)


async def test_others_have_their_turn_between_two_feeds(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror, work = Mirror(24, 80), Work()
    monkeypatch.setattr(mirror.model, "feed", lambda _: work.one())
    mirror.sent(b"\x1b[999S" * 100)
    await soon(mirror.catch_up())
    await idle()
    assert (work.most, work.total) == (1, 50)
