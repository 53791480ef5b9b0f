"""The server's half of the wire: the order of frames, what is published, and native halves that come and go."""

from __future__ import annotations

from oobconsole.devices.device import Image
from oobconsole.interceptors import wire
from oobconsole.interceptors.base import Context, Publication
from oobconsole.interceptors.wire import FrameType, IrqMode
from tests.contract.logged import Output
from tests.contract.rigs import PORT, TcgRig
from tests.support.aio import idle
from tests.support.native_half import Frame, NativeHalf, access, appeared, gone, posted, read_served, stats

IMAGE = Image(0xFF, 0, bytes(5) + b"\x60" + bytes(2))
PUBLISHED = Publication(PORT, 7, (IMAGE,))
CONTEXT = Context("l1", 1)


def published(accesses: int, number: int = 7, images: tuple[Image, ...] = (IMAGE,)) -> Frame:
    """Return the frame that publishes these images, after so many accesses."""
    return Frame(FrameType.PUBLISH, 1, (accesses, number, PORT, len(images), 0, *images))


# -- order -------------------------------------------------------------------------------------------


async def test_the_interrupt_then_the_registers_then_the_answer(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].raise_irq = True
    tcg.events.handlers[1].published = (PUBLISHED,)
    tcg.half.send(posted(b"a") + access(1) + access(2))
    kinds = [(await tcg.half.frame()).kind for _ in range(6)]
    assert kinds == [FrameType.IRQ, FrameType.PUBLISH, FrameType.ANSWER] * 2


async def test_the_registers_then_the_interrupt_that_nobody_asked_for(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].published = (PUBLISHED,)
    tcg.interceptor.set_irq(CONTEXT, 4, True)
    assert [(await tcg.half.frame()).kind for _ in range(2)] == [FrameType.PUBLISH, FrameType.IRQ]


async def test_a_batch_is_served_in_order(tcg: TcgRig) -> None:
    await tcg.appear(1)
    batch = b"".join((posted(b"ab"), access(1, direction=1, value=1), posted(b"c"), access(2)))
    tcg.half.send(batch)
    assert [(await tcg.half.frame()).fields for _ in range(2)] == [(1, 0), (2, 0x78)]
    log = [("block", PORT, b"ab"), ("write", PORT, 1, 1), ("block", PORT, b"c"), ("read", PORT, 1)]
    assert tcg.events.handlers[1].log == log


async def test_an_interrupt_that_the_native_half_has_served_is_an_access(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].published = (PUBLISHED,)
    tcg.half.send(posted(b"ab") + read_served(1, 9, 0x3FA, 0xC2) + posted(b"c"))
    assert await tcg.half.frame() == published(4)
    assert tcg.events.handlers[1].log == [("block", PORT, b"ab"), ("served", 0x3FA, 0xC2, 9), ("block", PORT, b"c")]
    tcg.interceptor.set_irq(CONTEXT, 4, True)
    assert await tcg.half.frame() == (FrameType.IRQ, 1, (4, IrqMode.HIGH, 0, 4))


async def test_frames_may_come_in_pieces(tcg: TcgRig) -> None:
    for number, byte in enumerate(appeared(1) + posted(b"ab") + access(1)):
        tcg.half.send(bytes((byte,)))
        if number % 7 == 0:
            await idle()
    assert (await tcg.half.frame()).fields == (1, 0x78)


# -- publications ------------------------------------------------------------------------------------


async def test_publications_follow_an_access_and_count_it(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].published = (PUBLISHED,)
    tcg.half.send(posted(b"abc"))
    assert await tcg.half.frame() == published(3)


async def test_what_changed_without_an_access_is_published_once(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.events.handlers[1].published = (PUBLISHED,)
    for _ in range(3):
        tcg.interceptor.publish(CONTEXT)
    tcg.events.handlers[1].published = ()
    await tcg.half.settle(1)
    assert tcg.half.other == [published(0)]


async def test_what_the_native_half_cannot_do_is_not_asked_of_it(tcg: TcgRig) -> None:
    await tcg.lose_link()
    tcg.half = NativeHalf(tcg.path, "l1", capabilities=wire.Capability.IRQ_PULSE)
    await tcg.half.connect()
    await tcg.appear(1)
    tcg.events.handlers[1].published = (PUBLISHED,)
    tcg.interceptor.set_attention(CONTEXT, True)
    for level in (True, False):
        tcg.interceptor.set_irq(CONTEXT, 4, level)
    await tcg.half.settle(1)
    assert tcg.half.other == [(FrameType.IRQ, 1, (4, IrqMode.PULSE, 0, 0))]


async def test_what_can_be_read_comes_before_whatever_tells_of_it(tcg: TcgRig) -> None:
    """So that no reading of a receiver waits for us, or is answered too late."""
    assert await tcg.half.announce(1) == {}
    handler = tcg.events.handlers[1]
    handler.published = (PUBLISHED,)
    tcg.interceptor.set_irq(CONTEXT, 4, True)
    assert await tcg.half.frame() == published(0)
    assert (await tcg.half.frame()).kind is FrameType.IRQ
    handler.published = (Publication(PORT, 8, (IMAGE, IMAGE)),)
    tcg.half.send(access(1))
    assert await tcg.half.frame() == published(1, 8, (IMAGE, IMAGE))
    assert (await tcg.half.frame()).kind is FrameType.ANSWER
    handler.raise_irq = True
    tcg.half.send(access(2))
    kinds = [(await tcg.half.frame()).kind for _ in range(3)]
    assert kinds == [FrameType.IRQ, FrameType.PUBLISH, FrameType.ANSWER]


async def test_what_was_read_is_told_and_the_rest_is_published_again(tcg: TcgRig) -> None:
    assert await tcg.half.announce(1) == {}
    handler = tcg.events.handlers[1]
    handler.published = (Publication(PORT, 0xFFFFFFFF, (IMAGE, IMAGE)),)
    for accesses in (1, 2):  # the native half may have given it up
        tcg.half.send(read_served(1, 0xFFFFFFFF, value=0x41))
        assert await tcg.half.frame() == published(accesses, 0xFFFFFFFF, (IMAGE, IMAGE))
    assert handler.log == [("served", PORT, 0x41, 0xFFFFFFFF)] * 2


# -- coming and going --------------------------------------------------------------------------------


async def test_output_goes_on_where_the_server_has_it(tcg: TcgRig) -> None:
    assert await tcg.half.announce(1, 2) == {}
    tcg.events.handlers[1].has = 1234
    await tcg.lose_link()
    await tcg.connect()
    assert await tcg.half.announce(1, 3) == {1: {PORT: 1234}}
    await tcg.lose_link()
    await tcg.connect(instance=8)
    assert await tcg.half.announce(1) == {}


async def test_another_qemu_ends_the_former_ones_guests(tcg: TcgRig) -> None:
    await tcg.appear(1)
    await tcg.lose_link()
    await tcg.connect(instance=8)
    await tcg.events.wait_for("gone", 1)


async def test_a_context_that_is_not_announced_again_has_ended(tcg: TcgRig) -> None:
    for number in (1, 2):
        await tcg.appear(number)
    await tcg.lose_link()
    tcg.events.log.clear()
    await tcg.come_back(3, 2)
    assert tcg.events.log == [("up",), ("appeared", 2), ("gone", 1), ("appeared", 3)]


async def test_a_context_may_end_while_others_are_still_waited_for(tcg: TcgRig) -> None:
    await tcg.appear(1)
    await tcg.lose_link()
    await tcg.connect()
    tcg.events.log.clear()
    tcg.half.send(appeared(2) + gone(2))
    await tcg.events.wait_for("gone", 2)
    assert tcg.events.log == [("gone", 1), ("appeared", 2), ("gone", 2)]


async def test_a_link_may_be_lost_before_every_context_was_announced_again(tcg: TcgRig) -> None:
    for number in (1, 2):
        await tcg.appear(number)
    await tcg.lose_link()
    await tcg.connect()
    tcg.half.send(appeared(2))
    tcg.events.log.clear()
    await tcg.lose_link()
    await tcg.come_back(2, 1)
    assert not [entry for entry in tcg.events.log if entry[0] == "gone"]


async def test_the_next_native_half_is_welcome_as_soon_as_the_former_is_dead(tcg: TcgRig) -> None:
    for instance in range(20, 30):
        tcg.half._writer.transport.abort()
        await tcg.connect(instance)
    assert tcg.events.log.count(("up",)) == 11


async def test_a_second_native_half_is_refused(tcg: TcgRig, output: Output) -> None:
    other = NativeHalf(tcg.path, "l1", instance=3)
    await other.connect(greet=False)
    other.send(wire.encode_hello("l1", 3))
    assert await other.ended() == b""
    await tcg.appear(1)
    [line] = output.lines("native half refused")
    assert "connected already" in line


async def test_counters_are_kept(tcg: TcgRig) -> None:
    await tcg.appear(1)
    tcg.half.send(stats(1, 2, 3))
    await tcg.half.settle(1)
    assert tcg.interceptor.stats.counters == {"reads": 1, "writes": 2, "published": 3}
    assert (tcg.interceptor.counters.accesses, tcg.interceptor.counters.batches > 0) == (1, True)
