"""What every interceptor does the same: one suite, run over each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oobconsole.errors import StateError
from oobconsole.interceptors.base import Context
from tests.contract.rigs import PORT, MemoryRig, Rig, TcgRig


@pytest.fixture(params=["memory", "tcg"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    made: Rig = MemoryRig() if request.param == "memory" else TcgRig(tmp_path)
    await made.start()
    yield made
    await made.interceptor.stop()
    await made.interceptor.stop()


async def test_accesses_reach_the_handler_in_order(rig: Rig) -> None:
    await rig.appear(1)
    await rig.write(1, PORT, 1, 0x41)
    await rig.block(1, PORT, b"hello")
    assert await rig.read(1, PORT + 5, 1) == 0x78
    assert await rig.read(1, PORT, 2) == 0x5678
    assert await rig.read(1, PORT, 4) == 0x12345678
    log = [entry for entry in rig.events.handlers[1].log if entry[1] != 0x3FF]
    assert log == [
        ("write", PORT, 1, 0x41),
        ("block", PORT, b"hello"),
        ("read", PORT + 5, 1),
        ("read", PORT, 2),
        ("read", PORT, 4),
    ]


async def test_contexts_are_kept_apart(rig: Rig) -> None:
    for number in (1, 2, 3):
        await rig.appear(number)
        await rig.write(number, PORT, 1, number)
    assert [rig.events.handlers[n].log[0] for n in (1, 2, 3)] == [("write", PORT, 1, n) for n in (1, 2, 3)]


async def test_a_refused_context_finds_no_device(rig: Rig) -> None:
    rig.events.refuse = True
    await rig.appear(1)
    await rig.write(1, PORT, 1, 1)
    await rig.block(1, PORT, b"x")
    assert await rig.read(1, PORT, 1) == 0xFF
    assert await rig.read(1, PORT, 4) == 0xFFFFFFFF


async def test_a_gap_is_told(rig: Rig) -> None:
    await rig.appear(1)
    await rig.gap(1, PORT, 77)
    assert ("gap", PORT, 77) in rig.events.handlers[1].log


async def test_a_context_that_is_gone_may_be_followed_by_another(rig: Rig) -> None:
    await rig.appear(1)
    former = rig.events.handlers[1]
    await rig.vanish(1)
    rig.events.log.clear()
    await rig.appear(1)
    assert rig.events.handlers[1] is not former


async def test_a_lost_link_comes_back_to_the_same_handler(rig: Rig) -> None:
    await rig.appear(1)
    handler = rig.events.handlers[1]
    await rig.lose_link()
    assert ("down",) in rig.events.log
    await rig.come_back(1)
    await rig.write(1, PORT, 1, 9)
    assert rig.events.handlers[1] is handler
    assert ("write", PORT, 1, 9) in handler.log


async def test_interrupt_levels_and_attention(rig: Rig) -> None:
    await rig.appear(1)
    context = Context("l1", 1)
    rig.interceptor.set_irq(context, 4, True)
    rig.interceptor.set_attention(context, True)
    assert await rig.irq(1)
    assert await rig.attended(1)
    rig.interceptor.set_irq(context, 4, False)
    rig.interceptor.set_attention(context, False)
    assert not await rig.irq(1)
    assert not await rig.attended(1)


async def test_calls_for_a_context_that_is_away_are_ignored(rig: Rig) -> None:
    rig.interceptor.set_irq(Context("l1", 9), 4, True)
    rig.interceptor.set_attention(Context("l1", 9), True)
    rig.interceptor.publish(Context("l1", 9))


async def test_every_context_that_comes_back_keeps_its_handler(rig: Rig) -> None:
    for number in (1, 2, 3):
        await rig.appear(number)
    handlers = dict(rig.events.handlers)
    await rig.lose_link()
    await rig.come_back(3, 1, 2)
    for number in (1, 2, 3):
        await rig.write(number, PORT, 1, number)
        assert ("write", PORT, 1, number) in handlers[number].log
    assert not [entry for entry in rig.events.log if entry[0] == "gone"]


async def test_start_comes_first(rig: Rig, tmp_path: Path) -> None:
    fresh = type(rig)(tmp_path) if isinstance(rig, TcgRig) else type(rig)()
    with pytest.raises(StateError, match="NEW, which needs STARTED"):
        _ = fresh.interceptor.events
