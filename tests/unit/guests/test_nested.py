"""Contexts bound to guests, port accesses to UARTs and consoles: driven as an interceptor drives them."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from oobconsole.console.console import Console, ConsoleState
from oobconsole.console.reader import Notice
from oobconsole.devices.uart16550 import Fcr, Ier, Iir, Lcr, Lsr, Mcr, Reg
from oobconsole.guests import absence, nestedguest
from oobconsole.guests.nested import LOG_LINES
from oobconsole.interceptors.base import PortHandler
from tests.support.aio import idle, soon, until
from tests.support.rack import Rack

COM1, COM2, COM3 = 0x3F8, 0x2F8, 0x3E8
FIFO_TRIGGER_14 = 0xC1


def printed(console: Console) -> bytes:
    return console.read_from(0, 1 << 16).data


def enable_receive_interrupt(handler: PortHandler, base: int = COM1, fcr: int = FIFO_TRIGGER_14) -> None:
    handler.write(base + Reg.FCR, 1, fcr)
    handler.write(base + Reg.MCR, 1, Mcr.OUT2)
    handler.write(base + Reg.IER, 1, Ier.RDI)


def held(handler: PortHandler) -> tuple[int, bytes]:
    """What is published of COM1's receiver: the number of the first character, and all of them."""
    publication = handler.publications()[0]
    return publication.number, bytes(image.values[Reg.RBR] for image in publication.images[:-1])


class TestAccesses:
    async def test_bytes_reach_the_console_of_their_port(self) -> None:
        rack = await Rack({"name": "web1", "uarts": ["com1", "com2"]}).started()
        handler = rack.appear()
        handler.write(COM1, 1, ord("a"))
        handler.write_block(COM1, b"bc")
        handler.write_block(COM2, b"xyz")
        assert printed(rack.console()) == b"abc"
        assert printed(rack.console("web1.com2")) == b"xyz"

    async def test_ports_outside_read_all_ones_and_swallow_writes(self) -> None:
        handler = (await Rack().started()).appear()
        assert [handler.read(0x80, size) for size in (1, 2, 4)] == [0xFF, 0xFFFF, 0xFFFFFFFF]
        for size in (1, 2, 4):
            handler.write(0x80, size, 0xFFFFFFFF)
        handler.write_block(0x80, b"abc")
        handler.gap(0x80, 3)

    async def test_a_wider_access_is_several_bytes_wide_ones(self) -> None:
        handler = (await Rack().started()).appear()
        handler.write(COM1 + Reg.SCR, 2, 0x5A5A)
        assert handler.read(COM1 + Reg.SCR, 1) == 0x5A
        handler.write(COM1 + Reg.LCR, 2, (Mcr.DTR << 8) | Lcr.DLAB)
        handler.write(COM1 + Reg.DLL, 2, 0x1234)
        assert handler.read(COM1 + Reg.DLL, 4) == 0x34 | 0x12 << 8 | 0x01 << 16 | Lcr.DLAB << 24
        assert handler.read(COM1 + Reg.SCR, 4) == 0xFFFFFF5A

    async def test_input_arrives_as_the_guest_reads(self) -> None:
        rack = await Rack().started()
        handler = rack.appear()
        handler.write(COM1 + Reg.FCR, 1, 1)
        data = bytes(range(256)) * 4
        await soon(rack.console().write(data))
        got = bytearray()
        while handler.read(COM1 + Reg.LSR, 1) & Lsr.DR:
            got.append(handler.read(COM1, 1))
        assert got == data

    async def test_publications_are_what_reads_give(self) -> None:
        rack = await Rack({"name": "web1", "uarts": ["com1", "com2"]}).started()
        handler = rack.appear()
        first, second = handler.publications()
        assert (first.port, second.port) == (COM1, COM2)
        [image] = first.images
        assert image.valid == 0xFF
        for offset in range(8):
            assert image.values[offset] == handler.read(COM1 + offset, 1)
        await soon(rack.console().write(b"x"))
        full, empty = handler.publications()[0].images
        assert (full.values[Reg.LSR] & Lsr.DR, empty.values[Reg.LSR] & Lsr.DR) == (Lsr.DR, 0)


class TestInterrupts:
    async def test_the_character_timeout_comes_by_itself(self) -> None:
        rack = await Rack().started()
        handler = rack.appear()
        enable_receive_interrupt(handler)
        await soon(rack.console().write(b"abc"))
        await until(rack.level, lambda: rack.interceptor.levels)
        assert handler.read(COM1 + Reg.IIR, 1) & 0x0F == Iir.TIMEOUT

    async def test_it_comes_again_for_what_the_guest_left_in_the_fifo(self) -> None:
        rack = await Rack().started()
        handler = rack.appear()
        enable_receive_interrupt(handler)
        await soon(rack.console().write(b"abc"))
        for byte in b"abc":
            await until(rack.level, lambda: rack.interceptor.levels)
            assert handler.read(COM1, 1) == byte
            assert not rack.level()

    async def test_it_comes_in_loopback(self) -> None:
        rack = await Rack().started()
        handler = rack.appear()
        enable_receive_interrupt(handler)
        handler.write(COM1 + Reg.MCR, 1, Mcr.OUT2 | Mcr.LOOP)
        handler.write(COM1, 1, ord("x"))
        await until(rack.level, lambda: rack.interceptor.levels)
        assert printed(rack.console()) == b""

    async def test_two_uarts_on_one_line_hold_it_together(self) -> None:
        rack = await Rack({"name": "web1", "uarts": ["com1", "com3"]}).started()
        handler = rack.appear()
        for base in (COM1, COM3):
            enable_receive_interrupt(handler, base, fcr=0)
        await soon(rack.console().write(b"a"))
        await soon(rack.console("web1.com3").write(b"b"))
        assert rack.level()
        assert handler.read(COM1, 1) == ord("a")
        assert rack.level()
        assert handler.read(COM3, 1) == ord("b")
        assert not rack.level()

    async def test_the_level_is_driven_again_when_a_context_is_back(self) -> None:
        rack = await Rack().started()
        handler = rack.appear()
        enable_receive_interrupt(handler, fcr=0)
        await soon(rack.console().write(b"a"))
        rack.interceptor.lose_link("gone for lunch")
        rack.interceptor.levels.clear()
        assert rack.appear() is handler
        assert rack.level()

    async def test_the_line_falls_when_the_native_half_has_served_thre(self) -> None:
        rack = await Rack().started()
        handler = rack.appear()
        handler.write(COM1 + Reg.MCR, 1, Mcr.OUT2)
        handler.write(COM1 + Reg.IER, 1, Ier.RDI | Ier.THRI)
        assert rack.level()
        handler.served(COM1 + Reg.IIR, Iir.THRI, 0)
        assert rack.interceptor.levels[1, 4] is False
        await soon(rack.console().write(b"a"))
        handler.served(COM1 + Reg.IIR, Iir.THRI, 0)
        assert rack.interceptor.levels[1, 4] is True

    async def test_a_timeout_is_published_though_it_moves_no_line(self) -> None:
        """OUT2 holds the line back; a guest that polls IIR is to see it."""
        rack = await Rack().started()
        handler = rack.appear()
        enable_receive_interrupt(handler)
        handler.write(COM1 + Reg.MCR, 1, 0)
        before = rack.interceptor.published
        await soon(rack.console().write(b"a"))
        came_and_timed_out = before + 2
        await until(
            lambda: rack.interceptor.published >= came_and_timed_out, lambda: rack.interceptor.published - before
        )
        assert handler.publications()[0].images[0].values[Reg.IIR] & 0x0F == Iir.TIMEOUT


class TestContexts:
    async def test_are_bound_in_the_order_of_their_appearance(self) -> None:
        rack = await Rack({"name": "web1"}, {"name": "web2"}).started()
        rack.appear(7).write(COM1, 1, ord("7"))
        rack.appear(3).write(COM1, 1, ord("3"))
        assert (printed(rack.console("web1")), printed(rack.console("web2"))) == (b"7", b"3")
        assert rack.console("web2").state is ConsoleState.LIVE

    async def test_one_that_is_started_again_has_the_name_that_went_last(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever is attached there is told, and at the new guest. (real-guests.md F5)"""
        rack = await Rack({"name": "web1"}, {"name": "web2"}, {"name": "web3"}).started()
        for number in (1, 2):
            rack.appear(number)
        reader = rack.console("web2").attach()
        now = [1000.0]
        monkeypatch.setattr(
            nestedguest, "time", SimpleNamespace(monotonic=lambda: now[0], monotonic_ns=time.monotonic_ns)
        )
        rack.interceptor.vanish(1, "it ended")
        now[0] += 60
        rack.interceptor.vanish(2, "it ended")
        rack.appear(3).write(COM1, 1, ord("3"))
        assert rack.console("web1").state is ConsoleState.GONE
        assert rack.console("web2").state is ConsoleState.LIVE
        told = [await soon(reader.next()) for _ in range(3)]
        assert [item.text if isinstance(item, Notice) else item for item in told] == [
            "web2: the guest is gone: it ended",
            "web2: a new guest appeared",
            b"3",
        ]
        rack.appear(4).write(COM1, 1, ord("4"))
        assert printed(rack.console("web1")) == b"4"
        rack.appear(5).write(COM1, 1, ord("5"))
        assert printed(rack.console("web3")) == b"5"

    async def test_those_that_went_together_come_again_in_order(self) -> None:
        """As when their machine is started again."""
        rack = await Rack({"name": "web1"}, {"name": "web2"}).started()
        for number in (1, 2):
            rack.appear(number)
        for number in (1, 2):
            rack.interceptor.vanish(number, "machine restarted")
        rack.appear(3).write(COM1, 1, ord("3"))
        rack.appear(4).write(COM1, 1, ord("4"))
        assert (printed(rack.console("web1")), printed(rack.console("web2"))) == (b"3", b"4")

    async def test_one_too_many_is_refused_and_that_is_logged(self) -> None:
        rack = await Rack().started()
        with capture_logs() as logs:
            rack.appear(1)
            assert rack.interceptor.appear(2) is None
        assert [entry["context"] for entry in logs if entry["log_level"] == "warning"] == [2]

    async def test_guests_that_come_and_go_do_not_fill_the_log(self) -> None:
        rack = await Rack().started()
        with capture_logs() as logs:
            for number in range(1, 1000):
                rack.appear(number)
                rack.interceptor.vanish(number)
        assert len(logs) == LOG_LINES + 1
        assert "more of this is not logged" in logs[-1]["event"]

    async def test_a_new_guest_finds_a_uart_after_reset_and_no_old_input(self) -> None:
        rack = await Rack().started()
        handler = rack.appear(1)
        handler.write(COM1 + Reg.SCR, 1, 0x77)
        await soon(rack.console().write(b"typed for the old one"))
        reader = rack.console().attach()
        rack.interceptor.vanish(1, "replaced")
        assert rack.console().state is ConsoleState.GONE
        notice = await soon(reader.next())
        assert isinstance(notice, Notice)
        assert notice.text == "web1: the guest is gone: replaced"
        handler = rack.appear(2)
        assert handler.read(COM1 + Reg.SCR, 1) == 0
        assert not handler.read(COM1 + Reg.LSR, 1) & Lsr.DR
        assert rack.console().state is ConsoleState.LIVE

    async def test_a_link_that_breaks_again_before_its_guests_are_bound_leaves_no_absence_behind(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each loss counted by itself, and the first went on counting when the guest was back."""
        monkeypatch.setattr(absence, "AWAY_SECONDS", 0.0)
        rack = await Rack().started()
        rack.appear()
        for _ in range(2):
            rack.interceptor.lose_link("it closed the connection")
        rack.appear()
        await idle()
        assert rack.console().state is ConsoleState.LIVE

    async def test_a_link_that_is_back_within_a_second_was_not_away(self) -> None:
        """Nobody is told; what is typed meanwhile waits for it."""
        rack = await Rack().started()
        handler = rack.appear()
        assert not handler.read(COM1 + Reg.LSR, 1) & Lsr.DR
        reader = rack.console().attach()
        rack.interceptor.lose_link("it closed the connection")
        await soon(rack.console().write(b"t"))
        await idle()
        assert rack.console().state is ConsoleState.LIVE
        assert not handler.read(COM1 + Reg.LSR, 1) & Lsr.DR
        assert rack.appear() is handler
        assert handler.read(COM1, 1) == ord("t")
        assert not rack.machine.guests[0]._absence.pending  # nor will anybody be told
        rack.console().announce("the first that is told")
        notice = await soon(reader.next())
        assert isinstance(notice, Notice)
        assert notice.text == "web1: the first that is told"

    async def test_what_was_typed_waits_until_a_guest_that_runs_already_is_known(self) -> None:
        """Its registers come as writes, and the one that enables the FIFOs empties them."""
        rack = await Rack().started()
        await soon(rack.console().write(b"typed before"))
        handler = rack.appear()
        for register, value in ((Reg.LCR, 0x83), (Reg.DLL, 1), (Reg.DLM, 0), (Reg.LCR, 3), (Reg.FCR, 0xC1)):
            handler.write_block(COM1 + register, bytes((value,)))
        handler.write_block(COM1 + Reg.IER, bytes((Ier.RDI,)))
        assert held(handler)[1] == b"typed before"

    async def test_a_lost_link_changes_nothing_in_the_uart(self) -> None:
        rack = await Rack().started()
        handler = rack.appear()
        handler.write(COM1 + Reg.SCR, 1, 0x77)
        reader = rack.console().attach()
        rack.interceptor.lose_link("it closed the connection")
        await until(lambda: rack.console().state is ConsoleState.AWAY, lambda: rack.console().state)
        await soon(rack.console().write(b"typed meanwhile"))
        assert rack.appear() is handler
        handler.gap(COM1, 12)
        assert handler.read(COM1 + Reg.SCR, 1) == 0x77
        assert handler.read(COM1, 1) == ord("t")
        told = [item.text for item in [await soon(reader.next()) for _ in range(3)] if isinstance(item, Notice)]
        assert told[0] == "web1: machine rack7 is not connected: it closed the connection"
        assert "12 bytes of output were lost" in told[2]

    async def test_a_receiver_is_read_elsewhere_character_by_character(self) -> None:
        rack = await Rack({"name": "web1", "uarts": ["com1", "com2"]}).started()
        handler = rack.appear()
        enable_receive_interrupt(handler)
        number, data = held(handler)
        assert data == b""
        await soon(rack.console().write(b"0123456789abcdefghij"))
        assert held(handler) == (number, b"0123456789abcdef")
        handler.served(COM1, ord("2"), number + 3)
        assert held(handler) == (number + 3, b"3456789abcdefghi")
        for no_news in (number, number + 3, number + 3 + 17):
            handler.served(COM1, 0, no_news)
            assert held(handler) == (number + 3, b"3456789abcdefghi")
        assert handler.read(COM1, 1) == ord("3")
        handler.write(COM1 + Reg.FCR, 1, FIFO_TRIGGER_14 | Fcr.RESET_RX)
        assert held(handler) == (number + 20, b"")
        await soon(rack.console().write(b"k"))
        assert held(handler) == (number + 20, b"k")

    async def test_how_much_output_has_come_is_known_for_each_guest(self) -> None:
        rack = await Rack().started()
        handler = rack.appear()
        handler.write_block(COM1, b"abc")
        handler.gap(COM1, 5)
        assert handler.received() == ()  # a native half that has just announced it keeps its own count
        rack.interceptor.lose_link("it closed the connection")
        assert rack.appear().received() == ((COM1, 8),)
        rack.interceptor.vanish(1, "replaced")
        assert rack.appear(2).received() == ()

    async def test_a_guest_that_is_gone_while_the_link_is_down(self) -> None:
        rack = await Rack().started()
        rack.appear()
        rack.interceptor.lose_link("it closed the connection")
        rack.interceptor.vanish(1, "machine restarted")
        assert rack.console().state is ConsoleState.GONE
        assert rack.console().reason == "the guest is gone: machine restarted"


class TestAttention:
    async def test_follows_the_first_and_the_last_reader_of_any_port(self) -> None:
        rack = await Rack({"name": "web1", "uarts": ["com1", "com2"]}).started()
        rack.appear()
        assert rack.interceptor.attended == {1: False}
        first, second = rack.console().attach(), rack.console("web1.com2").attach()
        assert rack.interceptor.attended == {1: True}
        first.close()
        assert rack.interceptor.attended == {1: True}
        second.close()
        assert rack.interceptor.attended == {1: False}

    async def test_is_said_to_a_context_that_comes_later(self) -> None:
        rack = await Rack().started()
        rack.console().attach()
        rack.appear()
        assert rack.interceptor.attended == {1: True}


async def test_stopping_tells_whoever_is_attached() -> None:
    rack = await Rack().started()
    rack.appear()
    reader = rack.console().attach()
    await rack.machine.stop("the server stops")
    assert await soon(reader.next()) == Notice("the server stops", "end", {"reason": "the server stops"})
    with pytest.raises(EOFError):
        await soon(reader.next())
