"""The keeper: real sockets, a client that behaves, servers, and the end."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oobconsole.errors import EnvironmentFault
from oobconsole.vfio_user import keeper
from oobconsole.vfio_user import messages as m
from oobconsole.vfio_user.keeper import Keeper, Settings
from oobconsole.vfio_user.link import Kind
from oobconsole.vfio_user.port import BACKLOG_MAX, BREAKS_MAX, INPUT_MAX
from tests.support.pace import Deadline
from tests.support.vfio import (
    RunningKeeper,
    Vmm,
    irq_request,
    open_descriptors,
    read_request,
    request,
    running_keeper,
    write_request,
)

IIR, LCR, MCR, IER, FCR = 2, 3, 4, 1, 2


def line_status(vmm: Vmm) -> int:
    """LSR once there is something to read: data ready (0x01), with a break (0x10). Reading it forgets the break."""
    seen: list[int] = []
    assert wait(lambda: bool(seen.append(vmm.read(5) & 0x11) or seen[-1] & 0x01))  # type: ignore[func-returns-value]
    return seen[-1]


class TestClient:
    def test_registers_by_single_accesses(self, kept: RunningKeeper) -> None:
        vmm = kept.vmm()
        assert vmm.read(5) == 0x60
        vmm.write(7, 0x5A)
        assert vmm.read(7) == 0x5A
        vmm.write(LCR, 0x83)
        vmm.write(0, 0x0C01, size=2)
        assert vmm.read(0, size=2) == 0x0C01
        assert vmm.read(0, size=4) == 0x83010C01

    def test_a_uart_that_fails_is_told_to_the_server_and_its_guest_goes_on(
        self, kept: RunningKeeper, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        vmm, server = kept.vmm(), kept.server()

        def fail(_: int) -> int:
            raise IndexError("the bug")

        monkeypatch.setattr(kept.keeper._ports[0].uart, "read", fail)
        assert [vmm.read(5), vmm.read(5, 2)] == [0xFF, 0xFFFF]
        server.until(lambda: "its UART has failed" in server.states[-1]["reason"])
        assert server.states[-1]["up"]
        assert "IndexError: the bug" in capfd.readouterr().err
        vmm.print(b"it goes on")
        server.until(lambda: server.output == b"it goes on")

    def test_config_space(self, kept: RunningKeeper) -> None:
        vmm = kept.vmm()
        assert vmm.read(0, 4, region=m.CONFIG_REGION) == 0x00021B36
        vmm.write(0x10, 0xFFFFFFFF, 4, region=m.CONFIG_REGION)
        assert vmm.read(0x10, 4, region=m.CONFIG_REGION) == 0xFFFFFFF9

    def test_every_byte_alone_and_everything_at_once(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server()
        stream = [write_request(0, b"h", posted=True), write_request(0, b"e"), write_request(0, b"l", posted=True)]
        stream += [write_request(0, b"l", posted=True), read_request(5), write_request(0, b"o")]
        vmm.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for byte in b"".join(stream):
            vmm.send(bytes((byte,)))
        answers = [vmm.answer() for _ in range(3)]
        assert [payload[16:] for _, payload in answers] == [b"", b"\x60", b""]
        vmm.send(b"".join(stream))
        assert [vmm.answer() for _ in range(3)] == answers
        server.until(lambda: server.output == b"hellohello")

    def test_ids_are_echoed(self, kept: RunningKeeper) -> None:
        vmm = kept.vmm()
        for number in (0, 1, 0x0A0D, 0xFFFF):
            vmm.send(read_request(5, number=number))
            assert vmm.answer()[0] == (number, 9, 33, 1, 0)
            vmm.send(write_request(7, b"x", number=number))
            assert vmm.answer()[0] == (number, 10, 32, 1, 0)

    def test_posted_output_of_every_byte_in_order(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server()
        data = bytes(range(256)) * 8
        vmm.print(data)
        server.until(lambda: len(server.output) >= len(data))
        assert server.output == data

    @pytest.mark.parametrize("posted", [True, False])
    def test_multi_writes(self, kept: RunningKeeper, posted: bool) -> None:
        vmm, server = kept.vmm(), kept.server()
        writes = b"".join(m.ACCESS.pack(0, 0, 1) + bytes((byte,)).ljust(8, b"\0") for byte in b"multi")
        message = request(
            m.Command.REGION_WRITE_MULTI,
            (5).to_bytes(8, "little") + writes,
            flags=m.Flags.NO_REPLY if posted else 0,
        )
        if posted:
            vmm.send(message + write_request(0, b"!", posted=True))
        else:
            assert vmm.ask(message) == (5).to_bytes(8, "little")
            vmm.print(b"!")
        server.until(lambda: server.output == b"multi!")

    def test_ports_have_their_own_streams(self, tmp_path: Path) -> None:
        with running_keeper(tmp_path, bar="memory", ports=4) as kept:
            vmm = kept.vmm()
            servers = [kept.server(port) for port in range(4)]
            for port, server in enumerate(servers):
                vmm.print(b"port %d" % port, port)
                server.send(Kind.INPUT, b"%d" % port)
                server.until(lambda server=server, port=port: server.output == b"port %d" % port)
                server.until(lambda server=server: server.taken == 1)
            assert [vmm.received(port) for port in range(4)] == [b"0", b"1", b"2", b"3"]

    def test_an_interrupt_comes_by_eventfd_and_again_after_unmask(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server()
        fd = os.eventfd(0, os.EFD_NONBLOCK)
        vmm.ask(irq_request(0x24), [fd])
        for register, value in ((FCR, 0x01), (MCR, 0x08), (IER, 0x01)):
            vmm.write(register, value)
        for _ in range(3):
            server.send(Kind.INPUT, b"k")
            assert wait(lambda: readable(fd))
            os.eventfd_read(fd)
            assert vmm.read(IIR) in (0xC4, 0xCC)
            assert vmm.received() == b"k"
            vmm.ask(irq_request(0x11))
            assert vmm.read(IIR) == 0xC1
        os.close(fd)

    def test_kvm_unmasks_by_eventfd(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server()
        trigger, eoi = os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)
        vmm.ask(irq_request(0x24), [trigger])
        vmm.ask(irq_request(0x14), [eoi])
        for register, value in ((FCR, 0x01), (MCR, 0x08), (IER, 0x01)):
            vmm.write(register, value)
        server.send(Kind.INPUT, b"k")
        assert wait(lambda: readable(trigger))
        os.eventfd_read(trigger)
        os.eventfd_write(eoi, 1)  # the guest has ended its interrupt and the level is still there
        assert wait(lambda: readable(trigger))
        os.close(trigger)
        os.close(eoi)

    def test_a_break_and_input_arrive_in_order(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server()
        vmm.write(FCR, 0x01)
        server.send(Kind.INPUT, b"ab")
        server.send(Kind.BREAK)
        server.send(Kind.INPUT, b"c")
        server.until(lambda: server.taken == 3)
        assert [(vmm.read(5) & 0x11, vmm.read(0)) for _ in range(4)] == [(1, 97), (1, 98), (0x11, 0), (1, 99)]

    def test_breaks_are_said_to_be_taken_as_the_guest_reads(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server()
        for _ in range(BREAKS_MAX + 1):  # without FIFOs, the receiver holds one
            server.send(Kind.BREAK)
        server.until(lambda: server.breaks_taken == 1)
        for taken in range(2, BREAKS_MAX + 2):
            assert (vmm.read(5) & 0x11, vmm.read(0)) == (0x11, 0)
            server.until(lambda taken=taken: server.breaks_taken == taken)
        server.send(Kind.BREAK)
        assert (vmm.read(5) & 0x11, vmm.read(0)) == (0x11, 0)

    def test_one_break_more_than_may_wait_is_no_break_and_ends_the_link_of_who_counts_them(
        self, kept: RunningKeeper
    ) -> None:
        kept.vmm()
        server = kept.server()
        for _ in range(BREAKS_MAX + 2):
            server.send(Kind.BREAK)
        assert server.ends()
        after = kept.server()
        assert after.states[0]["breaks"] == BREAKS_MAX

    def test_a_server_of_an_earlier_version_hears_nothing_of_breaks(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server(attach=False)
        server.send(Kind.ATTACH, {"port": 0, "have": None})
        for _ in range(BREAKS_MAX + 2):
            server.send(Kind.BREAK)
        server.send(Kind.INPUT, b"x")
        received = [vmm.read(0) for status in iter(lambda: line_status(vmm), 0x01) if status & 0x10]
        # The keeper may have taken the first ones before the last ones came.
        assert received in ([0] * (BREAKS_MAX + 1), [0] * (BREAKS_MAX + 2))
        assert vmm.read(0) == ord("x")
        server.until(lambda: server.taken == 1)
        assert server.breaks_taken == 0

    def test_what_waits_is_said_to_the_server_that_comes_next(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server()
        server.send(Kind.INPUT, b"abcd")
        server.send(Kind.BREAK)
        server.until(lambda: server.taken == 1)
        server.close()
        after = kept.server()
        assert (after.states[0]["waiting"], after.states[0]["breaks"]) == (3, 1)
        assert [vmm.read(0) for _ in range(4)] == [*b"abcd"]
        after.until(lambda: (after.taken, after.breaks_taken) == (3, 1))

    def test_breaks_for_a_guest_that_is_gone_wait_no_longer(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server()
        for _ in range(3):
            server.send(Kind.BREAK)
        server.until(lambda: server.breaks_taken == 1)
        vmm.close()
        server.until_down()
        assert server.breaks_taken == 3

    def test_reset_keeps_the_connection(self, kept: RunningKeeper) -> None:
        vmm = kept.vmm()
        vmm.write(7, 0x5A)
        vmm.ask(request(m.Command.DEVICE_RESET))
        assert vmm.read(7) == 0

    def test_the_next_client_finds_a_device_that_was_reset_and_nothing_typed_for_the_former(
        self, kept: RunningKeeper
    ) -> None:
        server = kept.server()
        vmm = kept.vmm()
        server.until(lambda: server.states[-1]["up"])
        vmm.write(7, 0x5A)
        server.send(Kind.INPUT, b"typed for the former")
        server.until(lambda: server.taken > 0)
        vmm.close()
        assert "the VMM is gone" in server.until_down()["reason"]
        server.until(lambda: server.taken == 20)
        again = kept.vmm()
        assert (again.read(7), again.received()) == (0, b"")

    def test_a_second_client_is_sent_away(self, kept: RunningKeeper) -> None:
        vmm = kept.vmm()
        assert kept.vmm(greet=False).closed()
        assert vmm.read(5) == 0x60

    def test_no_descriptor_is_left(self, kept: RunningKeeper) -> None:
        before = open_descriptors()
        fds = [os.eventfd(0), os.open("/dev/null", os.O_RDONLY)]
        for _ in range(3):
            vmm = Vmm(kept.socket)
            vmm.ask(irq_request(0x24), fds[:1])
            vmm.ask(request(m.Command.DMA_MAP, bytes(32)), fds[1:])
            with pytest.raises(OSError, match="Invalid argument"):
                vmm.ask(irq_request(0x24), fds[1:])
            vmm.send(irq_request(0x24)[:10], fds[:1])
            vmm.close()
            assert wait(lambda: len(open_descriptors()) == len(before) + len(fds))
        for fd in fds:
            os.close(fd)


class TestServers:
    def test_output_without_a_server_is_kept(self, kept: RunningKeeper) -> None:
        vmm = kept.vmm()
        vmm.print(b"nobody hears this")
        vmm.read(5)
        server = kept.server()
        server.until(lambda: server.output == b"nobody hears this")
        assert server.gaps == []

    def test_a_server_that_has_some_gets_the_rest(self, kept: RunningKeeper) -> None:
        vmm = kept.vmm()
        vmm.print(b"0123456789")
        vmm.read(5)
        server = kept.server(have=4)
        server.until(lambda: server.output == b"456789")
        assert (server.attached_at, server.gaps) == (4, [])

    def test_of_more_than_is_kept_the_oldest_is_lost_and_said_to_be(self, kept: RunningKeeper) -> None:
        vmm = kept.vmm()
        for _ in range(BACKLOG_MAX // 1024 + 2):
            vmm.print(bytes(1024))
        vmm.read(5)
        server = kept.server(have=100)
        server.until(lambda: len(server.output) == BACKLOG_MAX)
        assert server.gaps == [2048 - 100]

    def test_a_server_that_reads_nothing_does_not_hold_the_guest(self, kept: RunningKeeper) -> None:
        server, vmm = kept.server(), kept.vmm()
        pieces = 500  # more than the socket to the server takes besides what is kept: else there is no gap
        for _ in range(pieces):
            vmm.print(bytes(1024))
        assert vmm.read(5) == 0x60
        server.until(lambda: sum(server.gaps) + len(server.output) == 1024 * pieces)
        assert len(server.gaps) == 1

    def test_the_newest_server_is_the_one(self, kept: RunningKeeper) -> None:
        former = kept.server()
        vmm, newest = kept.vmm(), kept.server()
        assert former.ends()
        vmm.print(b"x")
        newest.until(lambda: newest.output == b"x")

    def test_input_waits_for_the_guest(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server()
        vmm.write(FCR, 0x01)
        data = os.urandom(INPUT_MAX)
        server.send(Kind.INPUT, data)
        server.until(lambda: server.taken == 16)
        assert vmm.received() == data
        server.until(lambda: server.taken == INPUT_MAX)

    @pytest.mark.parametrize(
        "bad",
        [
            lambda server: server.sock.sendall(b"\xff" * 9),
            lambda server: server.sock.sendall(b"\x02\xff\xff\xff\xff"),
            lambda server: server.send(Kind.OUTPUT, b"x"),
            lambda server: server.send(Kind.ATTACH, {"port": 0}),
            lambda server: [server.send(Kind.INPUT, bytes(4096)) for _ in range(3)],
        ],
    )
    def test_one_that_says_nonsense_is_dropped(self, kept: RunningKeeper, bad: Callable[[object], object]) -> None:
        vmm, server = kept.vmm(), kept.server()
        bad(server)
        assert server.ends()
        assert vmm.read(7) == 0

    @pytest.mark.parametrize("port", [1, -1, None, "0"])
    def test_a_port_that_is_none(self, kept: RunningKeeper, port: object) -> None:
        server = kept.server(attach=False)
        server.send(Kind.ATTACH, {"port": port, "have": None})
        assert server.ends()

    def test_many_that_come_and_go(self, kept: RunningKeeper) -> None:
        before = open_descriptors()
        for _ in range(50):
            kept.server(attach=False).close()
        server = kept.server()
        server.close()
        assert wait(lambda: len(open_descriptors()) == len(before))


class TestEnd:
    def test_without_anybody_it_ends(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keeper, "LINGER_S", 0.1)
        kept = RunningKeeper(tmp_path)
        kept.server().close()
        kept.join()
        assert list(tmp_path.iterdir()) == []

    def test_a_client_keeps_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keeper, "LINGER_S", 0.05)
        kept = RunningKeeper(tmp_path)
        vmm = kept.vmm()
        server = kept.server()
        server.send(Kind.END)
        server.until(lambda: True)
        server.close()
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            assert vmm.read(5) == 0x60
        vmm.close()
        kept.join()

    def test_end_is_the_end_when_nobody_is_there(self, tmp_path: Path) -> None:
        kept = RunningKeeper(tmp_path)
        kept.server().send(Kind.END)
        kept.join()

    def test_a_socket_that_cannot_be_had(self, kept: RunningKeeper, tmp_path: Path) -> None:
        before = open_descriptors()
        with pytest.raises(EnvironmentFault, match="another server listens here"):
            Keeper(Settings(str(kept.socket), str(tmp_path / "other"), "io", 1))
        with pytest.raises(EnvironmentFault, match="another server listens here"):
            Keeper(Settings(str(tmp_path / "other"), str(kept.control), "io", 1))
        assert not (tmp_path / "other").exists()
        assert wait(lambda: set(open_descriptors()) == set(before))

    def test_an_idle_keeper_sleeps_until_somebody_wants_something(self, kept: RunningKeeper) -> None:
        vmm, server = kept.vmm(), kept.server()
        vmm.print(b"x")
        server.until(lambda: server.output == b"x")
        vmm.read(5)
        assert wait(lambda: kept.keeper._timeout() is None)


def wait(true: Callable[[], bool]) -> bool:
    """Look again and again, for 20 s."""
    deadline = Deadline(20)
    while not true():
        if not deadline.left:
            return False
        time.sleep(0.002)
    return True


def readable(fd: int) -> bool:
    """Has an eventfd been signalled? It stays so."""
    try:
        os.eventfd_write(fd, os.eventfd_read(fd))
    except BlockingIOError:
        return False
    return True
