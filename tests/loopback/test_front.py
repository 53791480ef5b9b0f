"""The process that strangers reach ends, hangs, or never begins: guests, recordings and local sessions go on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from oobconsole.client import sync
from oobconsole.front.supervisor import PING_SECONDS, PINGS_MAX
from tests.loopback.access import wait_for_log, wait_for_who
from tests.support.expect import Expect
from tests.support.pace import scaled
from tests.support.server import MEMORY_MACHINE, Server
from tests.support.sync import eventually

PRINTER = '[[vm]]\nname = "printer"\nchardev = "unix:printer.line"\n'
KILLS = 50
#: More would not fit what the client keeps.
LINES_MAX = 60_000
PATIENCE = 10


def fronts(server: Server) -> dict[str, dict[str, object]]:
    """How each front does, as `status` says."""
    found: dict[str, dict[str, object]] = json.loads(server.run_local("status", "--json").stdout)["fronts"]
    return found


def pid_of(server: Server, name: str = "ssh 1", *, other: int = 0) -> int:
    """The process of a front that serves; not that `other` one."""
    found: list[int] = []

    def serves() -> bool:
        front = fronts(server)[name]
        pid = front["pid"]
        if front["state"] != "serving" or not isinstance(pid, int) or pid == other:
            return False
        found.append(pid)
        return True

    eventually(serves, lambda: fronts(server), seconds=PATIENCE)
    return found[-1]


class Printer:
    """A guest on a socket that prints numbered lines, a few at a time, until it is told to stop."""

    def __init__(self, server: Server) -> None:
        self.printed = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(server.folder / "printer.line"))
        self._listener.listen()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._listener.settimeout(scaled(PATIENCE))
        peer, _ = self._listener.accept()
        with peer:
            peer.settimeout(scaled(PATIENCE))
            while not self._stop.wait(0.1):
                lines = range(self.printed, self.printed + 5)
                peer.sendall("".join(f"line {number:08}\r\n" for number in lines).encode())
                self.printed += len(lines)
                if self.printed >= LINES_MAX:
                    self._stop.wait(scaled(1200))
            peer.sendall(b"that is all\r\n")
            self._listener.settimeout(None)
            with contextlib.suppress(OSError):
                peer.recv(1)

    def stop(self) -> None:
        """Print the last line."""
        self._stop.set()

    def close(self) -> None:
        self._stop.set()
        self._listener.close()


@contextlib.contextmanager
def printing(settings: str = "") -> Iterator[tuple[Server, Printer]]:
    server = Server(MEMORY_MACHINE + PRINTER, settings=settings)
    printer = Printer(server)
    try:
        with server:
            yield server, printer
            printer.close()
    finally:
        printer.close()


def numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"line (\d{8})\r?\n", text)]


@pytest.mark.timeout(1200)
def test_it_is_killed_again_and_again_while_everybody_works() -> None:
    """`kill -9`, 50 times: a guest prints, somebody local looks on, and a client comes back and misses nothing."""
    with (
        printing("scrollback_kib = 8192") as (server, printer),
        subprocess.Popen(server.local("watch", "printer"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as local,
    ):
        target, patience = f"alice@127.0.0.1:{server.port}", scaled(PATIENCE)
        with sync.connect(target, keys=[server.key], known_hosts=None, reconnect_s=patience) as there:
            console = there.attach("printer", offset=0)
            for turn in range(KILLS):
                console.expect(f"line {printer.printed:08}", timeout=patience)  # it is there, and reads
                for pid in server.fronts()[: 1 + turn % 2]:  # with the spare, or without
                    os.kill(pid, signal.SIGKILL)
            printer.stop()
            console.expect("that is all", timeout=patience)
            assert numbers(console.transcript) == list(range(printer.printed))
        assert local.stdout is not None
        seen = numbers(read_until(local.stdout.fileno(), b"that is all"))
        assert seen == list(range(seen[0], printer.printed))
        recorded = server.run_local("log", "printer", "--since", "1h", "--raw").stdout.decode()
        assert numbers(recorded) == list(range(printer.printed))
        local.terminate()
        assert "bug" not in server.log.read_text()


def read_until(descriptor: int, mark: bytes) -> str:
    data = b""
    while mark not in data:
        more = os.read(descriptor, 1 << 16)
        assert more, data[-200:]
        data += more
    return data.decode()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as made:
        yield made


@contextlib.contextmanager
def joined(server: Server, local: Expect) -> Iterator[Expect]:
    """Somebody comes over the network to a console at which somebody local is."""
    wait_for_who(server, 1)
    with server.attach("web1") as remote:
        local.expect("alice is attached", timeout=PATIENCE)
        yield remote


def test_others_at_a_console_are_told_why_somebody_has_left(server: Server) -> None:
    with Expect(server.local("attach", "web1")) as local, joined(server, local):
        os.kill(pid_of(server), signal.SIGKILL)
        local.expect(r"alice has left \(the front that they came in by has ended\)", timeout=PATIENCE)
        local.send("still here")
        local.expect("still here", timeout=PATIENCE)


def test_a_client_that_comes_while_there_is_none_waits_and_is_served(server: Server) -> None:
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        assert server.run("ls").returncode == 0
    assert pid_of(server) != pid


def test_a_front_that_hangs_is_replaced_and_costs_nobody_local_anything(server: Server) -> None:
    pid = pid_of(server)
    with Expect(server.local("attach", "web1")) as local, joined(server, local):
        os.kill(pid, signal.SIGSTOP)
        stopped = time.monotonic()
        local.send("nobody waits")
        local.expect("nobody waits", timeout=PATIENCE)
        assert wait_for_log(server, r"begun again.*it does not answer any more \(signal SIGKILL\)")
        assert PINGS_MAX * PING_SECONDS - 1 < time.monotonic() - stopped < scaled(PINGS_MAX * PING_SECONDS + 2)
        assert pid_of(server) != pid
        assert server.run("ls").returncode == 0


def test_the_next_one_serves_within_a_second() -> None:
    """A spare process waits, which has loaded everything."""
    with Server() as server:
        for _ in range(3):
            eventually(partial(has_spare, server), server.fronts, seconds=PATIENCE)
            assert server.run("ls").returncode == 0  # a front that has let nobody in may have to wait for its turn
            os.kill(server.fronts()[0], signal.SIGKILL)
            began = time.monotonic()
            with socket.create_connection(("127.0.0.1", server.port), timeout=scaled(PATIENCE)) as client:
                assert client.recv(8) == b"SSH-2.0-"
            assert time.monotonic() - began < scaled(1)


def has_spare(server: Server) -> bool:
    """Is there a second process, and has it given up its rights, which it does last?"""
    processes = server.fronts()
    return len(processes) == 2 and "Seccomp:\t2" in Path(f"/proc/{processes[1]}/status").read_text()


def test_it_holds_no_file_and_no_socket_but_the_ones_it_was_given(server: Server) -> None:
    """No recording, no guest's socket, no audit log, no local socket: neither the one that serves nor the spare."""
    pid_of(server)
    eventually(partial(has_spare, server), server.fronts, seconds=PATIENCE)
    ours = held(server.pid)
    for pid in server.fronts():
        found = held(pid)
        files = {what for what in found if not what.startswith(("socket:", "pipe:", "anon_inode:"))}
        assert files <= {os.devnull}, found
        shared = {what for what in found if what.startswith("socket:")} & ours
        assert len(shared) == 1, "the listening socket is the only one that the core and the front both have"


def held(pid: int) -> set[str]:
    """What the descriptors of a process are, but for those that it closes meanwhile."""
    found = set()
    for number in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(str(number.readlink()))
    return found


def test_a_core_that_gets_no_time_blames_nobody(server: Server) -> None:
    pid = pid_of(server)
    with server.stopped():
        threading.Event().wait(12)
    assert server.run("ls").returncode == 0
    assert pid_of(server) == pid


def test_it_ends_with_the_server_however_that_ends() -> None:
    for end in (Server.stop, Server.kill):
        with Server() as short:
            pid = pid_of(short)
            end(short)
            eventually(partial(is_gone, pid), partial(str, pid), seconds=10)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_ones_that_never_begin_are_tried_again_ever_more_rarely_and_said() -> None:
    """Whatever it is: here its modules cannot be imported."""
    with Server() as broken:
        script = broken.folder / "sitecustomize.py"
        script.write_text("import sys\nif 'oobconsole.ssh.worker' in sys.orig_argv: sys.exit('no front today')\n")
        broken.stop()
        broken.through = ("env", f"PYTHONPATH={broken.folder}")
        broken.start()
        wait_for_log(broken, r"begun again.*seconds=1\.0")
        front = fronts(broken)["ssh 1"]
        assert front["state"] in ("waiting", "starting")
        assert "exit status 1" in str(front["reason"])
        assert b"front ssh 1: " in broken.run_local("status").stdout
        assert broken.run_local("ls").returncode == 0
        assert "no front today" in broken.log.read_text()


def test_several_share_nothing_but_the_address() -> None:
    with Server(settings="[front]\nworkers = 3\n") as server:
        pids = {name: pid_of(server, name) for name in fronts(server)}
        assert len(set(pids.values())) == 3
        for pid in list(pids.values())[:2]:
            os.kill(pid, signal.SIGSTOP)
        with server.attach("web1") as remote:
            remote.expect("attached", timeout=PATIENCE)
            remote.send("one is enough")
            remote.expect("one is enough", timeout=PATIENCE)
        for pid in list(pids.values())[:2]:
            os.kill(pid, signal.SIGCONT)
        assert server.run("ls").returncode == 0


def test_what_has_gone_through_it_is_counted_and_kept_when_it_ends() -> None:
    with Server(limits="max_connections_per_source = 1") as counted:
        stranger = counted.make_key("mallory", authorize=False)
        with counted.attach("web1") as remote:
            remote.expect("attached", timeout=PATIENCE)
            there = fronts(counted)["ssh 1"]
            assert (there["connections"], there["sessions"], there["logins"], there["refused"]) == (1, 1, 1, 0)
            assert there["turned_away"] == 0
            assert counted.run("ls").returncode == 255
            eventually(
                lambda: fronts(counted)["ssh 1"]["turned_away"] == 1, lambda: fronts(counted), seconds=PATIENCE
            )
        refused = subprocess.run(counted.ssh("ls", key=stranger), capture_output=True, check=False)
        assert refused.returncode == 255
        eventually(lambda: fronts(counted)["ssh 1"]["refused"] == 1, lambda: fronts(counted), seconds=PATIENCE)
        before = fronts(counted)["ssh 1"]
        assert (before["connections"], before["sessions"]) == (0, 0)
        pid = pid_of(counted)
        os.kill(pid, signal.SIGKILL)
        pid_of(counted, other=pid)
        after = fronts(counted)["ssh 1"]
        assert (after["logins"], after["refused"], after["turned_away"]) == (1, 1, 1)
        for name in ("received_bytes", "sent_bytes"):
            assert int(str(after[name])) >= int(str(before[name])) > 0


def test_what_confines_it_is_said(server: Server) -> None:
    front = fronts(server)["ssh 1"]
    assert front["lacking"] == []
    status = Path(f"/proc/{pid_of(server)}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    if os.geteuid() == 0:
        assert "0" not in fields["Uid"].split()


#: It is put into each process of the server: SIGUSR2 makes the thread of the event loop use the processor.
HOLD = """
import signal, time

def hold_the_loop(*_):
    ends = time.thread_time() + 1
    while time.thread_time() < ends:
        pass

signal.signal(signal.SIGUSR2, hold_the_loop)
"""


def test_what_holds_its_loop_is_said_in_the_cores_log() -> None:
    """security.md 4, variation: only the core's loop was watched, so 0 was said of the loop that strangers reach."""
    with Server() as server:
        (server.folder / "sitecustomize.py").write_text(HOLD)
        server.stop()
        server.through = ("env", f"PYTHONPATH={server.folder}")
        server.start()
        os.kill(pid_of(server), signal.SIGUSR2)
        said = wait_for_log(server, r"held the event loop +milliseconds=(\d+) where='([^']*)'.*front='ssh'\n")
        assert int(said[1]) > 100
        assert "hold_the_loop (sitecustomize.py:" in said[2]
        assert json.loads(server.run_local("status", "--json").stdout)["loop_held"] == 0
        os.kill(server.pid, signal.SIGUSR2)
        said = wait_for_log(server, r"held the event loop +milliseconds=\d+ where='([^']*)' task='[^']*'\n")
        assert "hold_the_loop (sitecustomize.py:" in said[1]
        assert server.run("ls").returncode == 0


def test_it_needs_no_module_that_it_has_not_loaded() -> None:
    """There may be no file that it can read."""
    with Server(limits="") as server:
        server.run("ls")
        server.run("web1", data=b"x\n")
        with Expect(server.ssh("web1", options=("-tt",))) as person:
            person.expect("web1 is live", timeout=PATIENCE)
        for user in ("nobody", "mallory"):
            subprocess.run(server.ssh("ls", user=user), capture_output=True, timeout=scaled(PATIENCE), check=False)
        with socket.create_connection(("127.0.0.1", server.port)) as scan:
            scan.sendall(b"GET / HTTP/1.1\r\n\r\n")
            scan.recv(1000)
        assert server.stop() == 0
        assert "imports a module late" not in server.log.read_text()
