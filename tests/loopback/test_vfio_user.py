"""A real server with a serial card of ours, and a VMM of our own that behaves, or does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from oobconsole.vfio_user import messages as m
from tests.support.expect import Expect
from tests.support.server import Server
from tests.support.terminal import Terminal
from tests.support.vfio import LinkedServer, Vmm, end_keeper


@pytest.fixture
def server() -> Iterator[Server]:
    with Server('[[vm]]\nname = "web"\nvfio_user = { ports = 2 }\n') as running:
        yield running
        running.stop()
        end_keeper(control(running))


def control(server: Server) -> Path:
    return server.folder / "state" / "web.keeper"


def vmm_of(server: Server, *, greet: bool = True) -> Vmm:
    return Vmm(server.folder / "state" / "web.vfio", greet=greet)


def keeper_pid(server: Server) -> int:
    with_keeper = LinkedServer(control(server), attach=False)
    with_keeper.close()
    return int(with_keeper.hello["pid"])


def follow(server: Server) -> Expect:
    return Expect(["tail", "-n", "+1", "-f", str(server.log)])


def test_consoles_of_both_ports(server: Server) -> None:
    vmm = vmm_of(server)
    for port, name in enumerate(("web", "web.port2")):
        with server.attach(name) as client:
            client.expect("attached", timeout=20)
            vmm.print(b"login: ", port)
            client.expect("login: ", timeout=20)
            client.send("root\n")
            typed = b""
            while len(typed) < 5:
                typed += vmm.received(port)
            assert typed == b"root\n"
    vmm.close()


def test_a_bad_vmm_costs_one_line_and_one_console_in_fault(server: Server) -> None:
    bad = vmm_of(server)
    with follow(server) as log:
        bad.send(m.HEADER.pack(1, 9, 0xFFFFFFFF, 0, 0))
        found = log.expect(rb"line is down +console='web' [^\n]*4294967295 bytes[^\n]*retry_s=0\.\d", timeout=20)
        assert b"protocol error" in found[0]
        assert bad.closed()
        listed = server.run("ls").stdout.decode()
        assert "fault" in listed
        vmm = vmm_of(server)
        with server.attach("web") as client:
            client.expect("attached", timeout=20)
            vmm.print(b"well again")
            client.expect("well again", timeout=20)
        vmm.close()
        log.expect(rb"line is down +console='web' [^\n]*the VMM is gone", timeout=20)
    lines = [line for line in server.log.read_text().splitlines() if "4294967295" in line and "console='web'" in line]
    assert len(lines) == 1


def test_a_server_that_is_stopped_leaves_the_card_to_its_guest(server: Server) -> None:
    vmm = vmm_of(server)
    vmm.print(b"before ")
    with server.attach("web") as client:
        client.expect("attached", timeout=20)
    pid = keeper_pid(server)
    assert server.stop() == 0
    vmm.print(b"meanwhile ")
    assert vmm.read(5) == 0x60
    server.start()
    assert keeper_pid(server) == pid
    with server.attach("web") as client:
        client.expect("attached", timeout=20)
        vmm.print(b"after")
        client.expect("after", timeout=20)
    assert server.run("log", "web", "--lines", "1").stdout.strip().endswith(b"before meanwhile after")
    vmm.close()


def test_a_card_that_is_configured_otherwise_is_another_one_once_its_vmm_is_gone(server: Server) -> None:
    vmm = vmm_of(server)
    pid = keeper_pid(server)
    server.stop()
    server.config.write_text(server.config.read_text().replace("ports = 2", 'ports = 2, bar = "memory"'))
    server.start()
    with follow(server) as log:
        log.expect(rb"is another device than the one configured now; it goes when its VMM does", timeout=20)
        assert vmm.read(0, 4, region=m.CONFIG_REGION) == 0x00031B36
        vmm.close()
        log.expect(rb"no VMM has connected to", timeout=60)
    assert keeper_pid(server) != pid
    again = vmm_of(server)
    assert again.read(0, 4, region=m.CONFIG_REGION) == 0x950A1415
    again.close()


def test_a_keeper_that_is_killed_is_started_again(server: Server) -> None:
    pid = keeper_pid(server)
    os.kill(pid, 9)
    with follow(server) as log:
        log.expect(rb"its keeper is gone", timeout=20)
        log.expect(rb"no VMM has connected to", timeout=20)
    assert keeper_pid(server) != pid
    vmm_of(server).close()


def test_a_reload_counts_for_every_port(server: Server) -> None:
    """faults.md 27: NAME.port2, too; and doctor knows that console."""
    text = server.config.read_text()
    more = (
        '[console]\nshare = true\nescape = "%"\n[[grant]]\nusers = "alice"\nconsoles = "web.port2"\nrights = "all"\n'
    )
    server.config.write_text(text + more)
    assert b"console.escape, console.share" in server.run_local("reload").stdout
    for name in ("web", "web.port2"):
        with Terminal(server.ssh(name, options=("-t", "-e", "none"))) as client:
            client.expect(rb"shared; %\. detaches", timeout=20)
    checked = server.run_local("doctor").stdout
    assert b"matches no console" not in checked, checked
