"""The keeper, and clients that send what no VMM sends, or nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

import pytest

from oobconsole.vfio_user import client
from oobconsole.vfio_user import messages as m
from tests.support.pace import scaled
from tests.support.vfio import RunningKeeper, Vmm, read_request, request


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not so much that a good client would be taken for one that says nothing."""
    monkeypatch.setattr(client, "PATIENCE_S", round(scaled(0.1), 1))


def garbage(vmm: Vmm) -> None:
    vmm.send(b"\r\n\r\nHELP ME PLEASE\r\n")


def wrong_length(vmm: Vmm) -> None:
    vmm.send(request(m.Command.REGION_READ, bytes(17)))


def four_gib(vmm: Vmm) -> None:
    vmm.send(m.HEADER.pack(1, 9, 0xFFFFFFFF, 0, 0))


def half_a_message(vmm: Vmm) -> None:
    vmm.send(read_request(0)[:20])


def half_a_message_then_the_end(vmm: Vmm) -> None:
    vmm.send(read_request(0)[:20])
    vmm.sock.shutdown(socket.SHUT_WR)


def too_many_descriptors(vmm: Vmm) -> None:
    vmm.send(request(m.Command.DMA_MAP, bytes(32)), [0] * 20)


def version_again(vmm: Vmm) -> None:
    vmm.send(request(m.Command.VERSION, b"\0\0\0\0"))


def answers_unread(vmm: Vmm) -> None:
    for _ in range(40):
        vmm.send(read_request(0) * 400)


BAD = (
    garbage,
    wrong_length,
    four_gib,
    half_a_message,
    half_a_message_then_the_end,
    too_many_descriptors,
    version_again,
    answers_unread,
)


@pytest.mark.usefixtures("impatient")
class TestBadClients:
    @pytest.mark.parametrize("what", BAD)
    def test_one_costs_a_reason_and_the_next_retry(self, kept: RunningKeeper, what: Callable[[Vmm], None]) -> None:
        server = kept.server()
        vmm = kept.vmm()
        server.until(lambda: server.states[-1]["up"])
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it is closed already
            what(vmm)
        state = server.until_down()
        assert state["reason"].startswith("the VMM is at fault: ")
        assert 0 < state["retry_s"] <= 0.24
        assert vmm.closed()
        assert kept.vmm().read(5) == 0x60

    def test_nothing_at_all(self, kept: RunningKeeper) -> None:
        server = kept.server()
        assert kept.vmm(greet=False).closed()
        server.until(lambda: "at fault" in server.states[-1]["reason"])
        assert f"it said nothing for {client.PATIENCE_S:g} s" in server.states[-1]["reason"]

    def test_half_a_version_over_and_over_waits_ever_longer(self, kept: RunningKeeper) -> None:
        server = kept.server()
        waits: list[float] = []
        for _ in range(3):
            count = len(server.states)
            kept.vmm(greet=False).send(b"\1\0")
            server.until(lambda count=count: any(s["retry_s"] for s in server.states[count:]))
            waits.append(server.states[-1]["retry_s"])
            server.until(lambda: server.states[-1]["retry_s"] is None)
        assert waits[0] < waits[1] < waits[2]

    def test_a_slow_one_that_goes_on_is_served(self, kept: RunningKeeper) -> None:
        vmm = kept.vmm()
        for half in (read_request(5)[:9], read_request(5)[9:]):
            vmm.send(half)
        assert vmm.answer()[1][16:] == b"\x60"
