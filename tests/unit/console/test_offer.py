"""Output that readers are offered in the turn in which it was printed, without their tasks being woken."""

from __future__ import annotations

import asyncio

import pytest

from oobconsole import supervise
from oobconsole.console.console import Console
from oobconsole.console.output import GATHERED
from oobconsole.console.reader import PIECE, Notice, Reader
from tests.support.aio import soon, stays, until


class Shown:
    """A reader's function that shows output. It takes so many pieces; None: all."""

    def __init__(self, pieces: int | None = None) -> None:
        self.pieces = pieces
        self.got: list[bytes] = []

    def __call__(self, data: bytes) -> bool:
        if self.pieces == len(self.got):
            return False
        self.got.append(data)
        return True


@pytest.fixture
def console() -> Console:
    return Console("web1", scrollback=4 * PIECE)


async def waits(reader: Reader, shown: Shown) -> asyncio.Future[bytes | Notice]:
    """A task that waits for what `shown` does not take."""
    return await stays(reader.next(at_once=shown))


async def test_output_is_shown_while_the_task_waits(console: Console) -> None:
    shown = Shown()
    reader = console.attach()
    task = await waits(reader, shown)
    console.output(b"login: ")
    await until(lambda: shown.got == [b"login: "], lambda: shown.got)
    assert not task.done()
    assert reader.position == console.end
    task.cancel()


async def test_what_comes_close_together_is_gathered(console: Console) -> None:
    shown = Shown()
    task = await waits(console.attach(), shown)
    for letter in b"the first alone":
        console.output(bytes((letter,)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await until(lambda: b"".join(shown.got) == b"the first alone", lambda: shown.got)
    assert shown.got[0] == b"t"
    assert len(shown.got) < 15
    task.cancel()


async def test_much_does_not_wait(console: Console) -> None:
    shown = Shown()
    task = await waits(console.attach(), shown)
    console.output(b"a")
    await until(lambda: len(shown.got) == 1, lambda: shown.got)
    console.output(b"b")
    console.output(b"c" * GATHERED)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert b"".join(shown.got) == b"ab" + b"c" * GATHERED
    task.cancel()


async def test_what_is_not_shown_is_returned_by_next_and_nothing_else_overtakes_it(console: Console) -> None:
    shown = Shown(pieces=1)
    task = await waits(console.attach(), shown)
    console.output(b"one")
    await until(lambda: shown.got == [b"one"], lambda: shown.got)
    console.output(b"two")
    assert await soon(task) == b"two"
    assert shown.got == [b"one"]


async def test_a_notice_comes_behind_the_output_before_it(console: Console) -> None:
    reader, shown = console.attach(), Shown()
    task = await waits(reader, shown)
    console.output(b"before")
    console.announce("a notice")
    console.output(b"behind")
    assert await soon(task) == b"before"
    assert await soon(reader.next(at_once=shown)) == Notice("web1: a notice")
    assert await soon(reader.next(at_once=shown)) == b"behind"
    assert shown.got == []


async def test_output_that_is_not_kept_any_more_is_told(console: Console) -> None:
    shown = Shown()
    task = await waits(console.attach(), shown)
    console.output(b"x" * 5 * PIECE)
    notice = await soon(task)
    assert isinstance(notice, Notice)
    assert notice.kind == "skipped"
    assert notice.detail["bytes"] == PIECE


async def test_a_reader_that_was_given_up_is_offered_nothing(console: Console) -> None:
    reader, shown = console.attach(), Shown()
    task = await waits(reader, shown)
    task.cancel()
    console.output(b"lost to nobody")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    assert shown.got == []
    assert await soon(reader.next()) == b"lost to nobody"


async def test_a_bug_at_one_reader_is_told_and_is_not_the_others_fault(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(supervise, "tell", lambda part, error: told.append(f"{part}: {error}"))

    def broken(data: bytes) -> bool:
        raise RuntimeError("a bug")

    first = await stays(console.attach().next(at_once=broken))
    shown = Shown()
    second = await waits(console.attach(), shown)
    console.output(b"text")
    assert await soon(first) == b"text"
    await until(lambda: shown.got == [b"text"], lambda: shown.got)
    assert told == ["a reader of web1: a bug"]
    second.cancel()
