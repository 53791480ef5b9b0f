"""Following libvirt hosts: libvirt's own test driver, and peers that are no libvirtd."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from oobconsole.access import ALL, Access, Grant
from oobconsole.config.guests import ConsoleConfig, LibvirtConfig
from oobconsole.config.schema import Config
from oobconsole.console.console import Console, ConsoleState
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Event, Events
from oobconsole.guests.directory import Directory
from oobconsole.libvirt import host as vm_libvirt
from oobconsole.libvirt import library as virt
from oobconsole.libvirt.domain import Domain
from oobconsole.libvirt.guests import Domains, DomainSource
from oobconsole.libvirt.host import Host
from oobconsole.net import dialer
from oobconsole.ops.metrics import Metrics
from oobconsole.power.power import PowerAction, PowerError
from oobconsole.session.seat import Seats
from oobconsole.session.services import Services
from oobconsole.session.view import Views
from oobconsole.vitals import Vitals
from tests.support.aio import soon, until


class Followed:
    """A server's consoles, and the host that it follows."""

    def __init__(self, uri: str, **config: Any) -> None:
        self.events: list[Event] = []
        events = Events()
        events.add_sink(self.events.append)
        directory = Directory(events)
        domains = Domains(4096, directory)
        self.source = DomainSource(LibvirtConfig(uri=uri, **config), domains, ConsoleConfig())
        directory.add(self.source)
        access = Access((Grant(("alice",), ("*",), ALL),))
        seats = Seats(directory, access, events)
        self.services = Services(
            directory,
            seats,
            Views(directory, access),
            access,
            events,
            Vitals(events),
            tail_lines=2,
            drain_s=0.1,
            drain_max_s=1,
        )

    @property
    def there(self) -> list[Console]:
        return list(self.services.directory.consoles())

    @property
    def states(self) -> dict[str, ConsoleState]:
        return {console.name: console.state for console in self.there}

    async def reach(self, **states: ConsoleState) -> None:
        await until(lambda: self.states == states, lambda: self.states)


@pytest.fixture
async def host() -> AsyncIterator[Any]:
    """A connection to the test driver's host of this process, whose domain `test` is as libvirt makes it."""
    connection = virt.load().open("test:///default")
    yield connection
    for domain in connection.listAllDomains():
        if domain.name() != "test":
            if domain.isActive():
                domain.destroy()
            domain.undefine()
    connection.close()


@pytest.fixture
async def followed() -> AsyncIterator[Followed]:
    made = Followed("test:///default", prefix="t-", domains=["test", "web*"])
    await made.services.directory.start()
    yield made
    await made.services.stop("over")


def xml(name: str, devices: str = "<serial type='pty'/>") -> str:
    return (
        f"<domain type='test'><name>{name}</name><memory>65536</memory><os><type>hvm</type></os>"
        f"<devices>{devices}</devices></domain>"
    )


OFF, FAULT, GONE = ConsoleState.OFF, ConsoleState.FAULT, ConsoleState.GONE


async def test_domains_come_run_end_and_go(host: Any, followed: Followed) -> None:
    await followed.reach(**{"t-test": FAULT})
    assert "no serial port and no console" in followed.there[0].reason
    host.defineXML(xml("other"))
    domain = host.defineXML(xml("web1"))
    await followed.reach(**{"t-test": FAULT, "t-web1": OFF})
    domain.create()
    await followed.reach(**{"t-test": FAULT, "t-web1": FAULT})
    console = followed.services.directory.find("t-web1")
    assert console is not None
    assert console.reason.startswith("libvirt cannot open serial0: this function is not supported")
    assert "; the next attempt is in " in console.reason
    domain.destroy()
    await followed.reach(**{"t-test": FAULT, "t-web1": OFF})
    assert console.reason == "web1 is shut off: it was destroyed"
    reader = console.attach()
    domain.undefine()
    await followed.reach(**{"t-test": FAULT, "t-web1": GONE})
    again = host.defineXML(xml("web1"))
    await followed.reach(**{"t-test": FAULT, "t-web1": OFF})
    assert followed.services.directory.find("t-web1") is console  # whoever is attached stays attached
    again.undefine()
    await followed.reach(**{"t-test": FAULT, "t-web1": GONE})
    reader.close()
    await followed.reach(**{"t-test": FAULT})
    assert followed.services.directory.guest("t-web1") is None
    told = [event.detail["state"] for event in followed.events if event.console == "t-web1"]
    assert told == ["off", "fault", "off", "gone", "off", "gone"]


async def test_a_console_is_the_same_over_restarts_and_saving(host: Any, followed: Followed, tmp_path: Path) -> None:
    """faults.md 35: destroyed and started, saved and restored, paused a hundred times; a name with a blank."""
    domain = host.defineXML(xml("web 1 ü"))
    other = domain.UUIDString()[:8]
    name = f"t-web_1__-{other}"

    async def reach(state: ConsoleState) -> None:
        await followed.reach(**{"t-test": FAULT, name: state})

    await reach(OFF)
    console = followed.services.directory.find(name)
    assert console is not None
    reader = console.attach()
    saved = str(tmp_path / "saved")
    for _ in range(3):
        domain.create()
        await reach(FAULT)  # the driver has no streams: it was tried to open
        domain.destroy()
        await reach(OFF)
    domain.create()
    await reach(FAULT)
    for _ in range(60):
        domain.suspend()
        domain.resume()
    domain.save(saved)
    await reach(OFF)
    assert "it was saved" in console.reason
    host.restore(saved)
    await reach(FAULT)
    domain.destroy()
    await reach(OFF)
    assert followed.services.directory.find(name) is console
    domain.undefine()
    await reach(GONE)
    reader.close()
    await followed.reach(**{"t-test": FAULT})


async def test_settings_that_are_read_again_hold_for_what_is_there_and_what_comes(
    host: Any, followed: Followed
) -> None:
    await followed.reach(**{"t-test": FAULT})
    folders = {"state_dir": "state", "authorized_keys": "keys"}
    followed.source.configure(Config.model_validate({"server": folders, "console": {"share": True}}))
    host.defineXML(xml("web1"))
    await followed.reach(**{"t-test": FAULT, "t-web1": OFF})
    assert all(console.settings.share for console in followed.there)


async def test_metrics_follow(host: Any, followed: Followed) -> None:
    metrics = Metrics(followed.services)
    domain = host.defineXML(xml("web7"))
    await followed.reach(**{"t-test": FAULT, "t-web7": OFF})
    assert b'oobconsole_console_attached{console="t-web7"} 0.0' in await metrics.render()
    domain.undefine()
    await followed.reach(**{"t-test": FAULT})
    assert b"t-web7" not in await metrics.render()


async def test_names_that_are_taken_or_can_be_none(host: Any, followed: Followed) -> None:
    for name in ("web 1", "web1", "web1.serial1"):
        host.defineXML(xml(name, "<serial type='pty'/>" * 2))
    await until(lambda: len(followed.states) == 7, lambda: followed.states)  # as many names as ports
    other = next(d for d in host.listAllDomains() if d.name() == "web 1").UUIDString()[:8]
    assert {"t-web1", "t-web1.serial1", f"t-web_1-{other}", f"t-web_1-{other}.serial1"} <= followed.states.keys()


async def test_power_by_the_test_driver(host: Any, followed: Followed) -> None:
    domain = host.defineXML(xml("web1"))
    await followed.reach(**{"t-test": FAULT, "t-web1": OFF})
    guest = followed.services.directory.guest("t-web1")
    assert guest is not None
    power = guest.power
    assert power is not None
    assert await power.do(PowerAction.ON) == "the guest is started"
    assert await power.do(PowerAction.ON) == "the guest runs already"
    domain.suspend()
    assert await power.do(PowerAction.ON) == "the guest goes on"
    assert await power.do(PowerAction.OFF) == "the guest is asked to switch off"
    await followed.reach(**{"t-test": FAULT, "t-web1": OFF})
    with pytest.raises(PowerError, match=r"libvirt refuses: .*domain is not running"):
        await power.do(PowerAction.RESET)
    domain.undefine()
    with pytest.raises(PowerError, match="libvirt refuses: Domain not found"):
        await power.do(PowerAction.ON)


class Told:
    """A follower that writes down what it is told."""

    def __init__(self) -> None:
        self.lost_for: list[tuple[str, float | None]] = []

    async def connected_to(self, domains: list[Domain]) -> None:
        raise AssertionError("that was no libvirtd")

    async def seen(self, uuid: str, domain: Domain | None) -> None:
        raise AssertionError("that was no libvirtd")

    def happened(self, uuid: str, what: str) -> None:
        raise AssertionError("that was no libvirtd")

    def lost(self, reason: str, retry_s: float | None) -> None:
        self.lost_for.append((reason, retry_s))


def _is(told: Told, times: int) -> bool:
    return len(told.lost_for) == times


@contextlib.contextmanager
def no_libvirtd(folder: Path) -> Iterator[socket.socket]:
    """A socket at the place of libvirtd's, at which the test listens."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "sock"))
        listener.listen()
        listener.setblocking(False)
        yield listener


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n" * 20,
        b"\x00\x00\x00\x1c\x20",  # half a message
        b"\xff\xff\xff\xff" + bytes(1000),  # 4 GiB
        b"\x00\x00\x00\x00" * 100,  # a wrong length
        b"",
    ],
    ids=["garbage", "half", "4 GiB", "wrong length", "nothing"],
)
async def test_what_is_no_libvirtd_costs_one_reason_and_is_tried_again(tmp_path: Path, garbage: bytes) -> None:
    with no_libvirtd(tmp_path) as listener:
        told = Told()
        host = Host("here", f"qemu+unix:///session?socket={tmp_path}/sock", told)
        host.start()
        for attempt in (1, 2):
            peer, _ = await soon(asyncio.get_running_loop().sock_accept(listener))
            with peer:
                peer.setblocking(True)
                peer.sendall(garbage)
                peer.shutdown(socket.SHUT_WR)
                await until(partial(_is, told, attempt), lambda: told.lost_for)
        assert all(reason and retry is not None and retry > 0 for reason, retry in told.lost_for)
        await host.stop()


async def test_a_libvirtd_that_says_nothing_keeps_one_attempt_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm_libvirt, "CONNECT_SECONDS", 0.1)
    with no_libvirtd(tmp_path) as listener:
        told = Told()
        host = Host("here", f"qemu+unix:///session?socket={tmp_path}/sock", told)
        host.start()
        peer, _ = await soon(asyncio.get_running_loop().sock_accept(listener))
        with peer:
            await until(lambda: len(told.lost_for) >= 3, lambda: told.lost_for)
            assert {reason for reason, _ in told.lost_for} == {"it has not answered in 0.1 s"}
            with pytest.raises(BlockingIOError):
                listener.accept()
        await host.stop()


async def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virt, "_loaded", [])
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'oobconsole\[libvirt\]'"):
        await Followed("test:///default").services.directory.start()


async def test_a_socket_that_appears_is_connected_within_a_second(tmp_path: Path) -> None:
    """faults.md 33: libvirt's local socket, however long it was away. It is found by looking, which is done more
    often than once in a second: the next attempt would be a day later."""
    assert dialer.LOOK_SECONDS < 1.0
    told = Told()
    host = Host("here", f"qemu+unix:///session?socket={tmp_path}/sock", told)
    host._dialer._delay = 86400.0  # as after a long time
    host.start()
    await until(lambda: bool(told.lost_for), lambda: told.lost_for)
    loop = asyncio.get_running_loop()
    with no_libvirtd(tmp_path) as listener:
        peer, _ = await soon(loop.sock_accept(listener))
        peer.close()
        await soon(host.stop())


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("qemu:///system", True),
        ("qemu:///session", True),
        ("qemu+unix:///system?socket=/run/x", True),
        ("qemu+ssh://root@host/system", False),
        ("qemu+tls://host/system", False),
        ("qemu+ssh:///system", False),
        ("test:///default", False),
    ],
)
def test_which_hosts_have_a_socket_here(uri: str, local: bool) -> None:
    assert (vm_libvirt.sockets_of(uri) is not None) is local
