"""QEMU's monitor and what people see of it: a server, a real OpenSSH client, and a monitor that is none of QEMU's."""

from __future__ import annotations

import json
import os
import pty
import socket
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.monitor import Monitor
from tests.support.pace import Deadline
from tests.support.server import Server
from tests.support.terminal import Terminal

VM = '[[vm]]\nname = "web1"\nchardev = "unix:serial"\nqmp = "qmp"\n'


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(VM) as running, socket.socket(socket.AF_UNIX) as line:
        line.bind(str(running.folder / "serial"))
        line.listen()
        yield running


@pytest.fixture
def monitor(server: Server) -> Iterator[Monitor]:
    with Monitor(server.folder / "qmp") as running:
        deadline = Deadline(20)
        while "query-status" not in running.commands:
            assert deadline.left, server.log.read_text()[-2000:]
            server.run("ls")
        yield running


def test_a_slow_answer_ends_no_events(server: Server, monitor: Monitor) -> None:
    """faults.md 22: with the time limit as it is, 10 s."""
    with watching(server, "web1") as console:
        console.expect(rb"you watch", timeout=20)
        monitor.held.add("query-status")
        monitor.event("STOP")
        console.expect(rb"web1: the guest is paused", timeout=10)
        deadline = Deadline(30)
        while "did not answer query-status" not in server.log.read_text():
            assert deadline.left, server.log.read_text()[-2000:]
            server.run("ls")
        monitor.release()
        monitor.event("STOP")
        console.expect(rb"web1: the guest is paused", timeout=10)
        monitor.event("GUEST_PANICKED", action="pause")
        console.expect(rb"web1: the guest's kernel has panicked", timeout=10)
        monitor.event("RESET", guest=True, reason="guest-reset")
        console.expect(rb"web1: the guest is reset \(guest-reset\)", timeout=10)


def watching(server: Server, console: str) -> Terminal:
    return Terminal(server.ssh("watch", console, options=("-t", "-e", "none")), columns=120, term="dumb")


def test_whoever_is_at_another_port_is_told_too() -> None:
    """A monitor is the whole guest's."""
    vm = '[[vm]]\nname = "web1"\nvfio_user = { ports = 2 }\nqmp = "qmp"\n'
    with (
        Server(vm) as server,
        Monitor(server.folder / "qmp") as monitor,
        watching(server, "web1.port2") as console,
        watching(server, "web1") as first,
    ):
        for person in (console, first):
            person.expect(rb"you watch", timeout=20)
        deadline = Deadline(20)
        while not monitor.connections:
            assert deadline.left, server.log.read_text()[-2000:]
            server.run("ls")
        monitor.event("GUEST_PANICKED", action="pause")
        monitor.event("RESET", reason="guest-reset")
        for person, name in ((console, "web1.port2"), (first, "web1")):
            person.expect(f"{name}: the guest's kernel has panicked", timeout=20)
            person.expect(f"{name}: the guest is reset .guest-reset.", timeout=20)


REFUSES = '''"""Loaded by Python as it starts: a driver that cannot send a break, as cdc_acm (EPIPE)."""
import fcntl, os
real = fcntl.ioctl
def ioctl(descriptor, request, *rest):
    if request == 0x5427:  # TIOCSBRK, asm-generic/ioctls.h
        raise OSError({number}, os.strerror({number}))
    return real(descriptor, request, *rest)
fcntl.ioctl = ioctl
'''


@pytest.mark.parametrize(
    ("number", "words"),
    [(32, "Broken pipe"), (95, "Operation not supported"), (25, "Inappropriate ioctl for device")],
)
def test_a_driver_that_refuses_a_break_ends_no_session(tmp_path: Path, number: int, words: str) -> None:
    """faults.md 20: through a session. The driver's refusal is put into the server's process; the rest is real."""
    (tmp_path / "sitecustomize.py").write_text(REFUSES.replace("{number}", str(number)))
    guest, port = pty.openpty()
    tty.setraw(port)
    line = f'[[vm]]\nname = "web1"\nserial = {{ device = "{os.ttyname(port)}" }}\n'
    with Server(line, through=["env", f"PYTHONPATH={tmp_path}"]) as server:
        with Terminal(server.ssh("web1", options=("-t", "-e", "none")), term="dumb") as person:
            person.expect(rb"you have the keyboard", timeout=20)
            person.send("\r~b")
            person.expect(f"no break was sent: the port refuses it: {words}".encode(), timeout=20)
            person.send("\r~s")
            person.expect(rb"SysRq key", timeout=20)
            person.send("h")
            person.expect(f"no break was sent: the port refuses it: {words}".encode(), timeout=20)
            person.send("still here")
            seen = b""
            while b"still here" not in seen:
                seen += os.read(guest, 4096)
            os.write(guest, b"and so am I")
            person.expect(rb"and so am I", timeout=20)
            assert person.running
            person.send("\r~.")
            assert person.wait(20) == 0
        audit = [json.loads(entry) for entry in (server.folder / "state" / "audit.jsonl").read_text().splitlines()]
        sent = [(entry["kind"], entry["sent"]) for entry in audit if entry["kind"] in ("break", "sysrq")]
        assert sent == [("break", False), ("sysrq", False)]
        assert "bug in oobconsole" not in server.log.read_text()
    os.close(guest)
    os.close(port)
