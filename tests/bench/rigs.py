"""oobconsole, conserver and ser2net, each as a server of the same lines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.expect import Expect, ExpectError
from tests.support.server import Server

#: How long a server may take to start, in seconds. conserver needs a second for each 16 lines.
_START_SECONDS = 180.0


class Process:
    """A process of the benchmark that carries out orders. Orders and answers are JSON, one in each line."""

    def __init__(self, module: str, *words: str, ready: float = _START_SECONDS) -> None:
        command = [sys.executable, "-m", f"tests.bench.{module}", *words]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self._answer(ready)
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, what: str, **about: object) -> None:
        """Give an order, without waiting. `end` returns the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **about}).encode() + b"\n")
        self._process.stdin.flush()

    def end(self, timeout: float = 300) -> Any:
        """Wait for the answer to the last order, and return it."""
        return self._answer(timeout)

    def do(self, what: str, **about: object) -> Any:
        """Give an order, and wait for the answer."""
        self.begin(what, **about)
        return self.end()

    def _answer(self, timeout: float) -> Any:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise ExpectError(f"{self._process.args!r} did not answer in {timeout:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise ExpectError(f"{self._process.args!r} ended (status {self._process.wait()})")
        return json.loads(line)


class Rig(ABC):
    """A console server that is connected to lines of a source (`source.py`). The server runs as long as the block
    does.

    Args:
        count: how many lines there are. Their consoles are `g0`, `g1`, …

    Attributes:
        start_seconds: how many seconds passed from the server's start until all lines were connected. A server that
            connects to a line only when somebody comes is ready when it listens.
    """

    name = ""

    def __init__(self, count: int) -> None:
        self.count = count
        self.start_seconds = 0.0
        self.folder = Path(tempfile.mkdtemp(prefix="oob-"))

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.source = stack.enter_context(Process("source", str(self.folder), str(self.count)))
            stack.callback(self.stop)
            began = time.monotonic()
            self.start()
            self._wait_connected()
            self.start_seconds = time.monotonic() - began
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stack.close()

    @abstractmethod
    def start(self) -> None:
        """Start the server."""

    @abstractmethod
    def stop(self) -> None:
        """End the server. It may have ended already."""

    def runs(self) -> bool:
        """Return whether the server still runs."""
        return True

    @abstractmethod
    def pids(self) -> list[int]:
        """Return the ids of the server's processes, its main process first."""

    @abstractmethod
    def client(self, number: int) -> list[str]:
        """Return the command line of the client that users have, for one console, on pipes."""

    @abstractmethod
    def watcher(self, number: int, *, terminal: bool = False) -> dict[str, object]:
        """Return what describes a client for `crowd.py`."""

    def attach(self, number: int) -> Expect:
        """Return a client that is attached for certain: what it has typed has come back."""
        client = Expect(self.client(number))
        client.send("hello\n")
        client.expect(rb"hello", timeout=20)
        return client

    def crowd(self, watchers: Sequence[dict[str, object]], flood: int = 0) -> Process:
        """Attach all of these clients. `flood` is how many bytes the flood has that they will get."""
        file = self.folder / "crowd.json"
        file.write_text(json.dumps({"flood": flood, "clients": list(watchers)}))
        return Process("crowd", str(file), ready=300)

    def _wait_connected(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while (connected := self.source.do("count")["connected"]) < self.count:
            if time.monotonic() > deadline:
                raise ExpectError(f"{self.name}: {connected} of {self.count} lines are connected")
            select.select([], [], [], 0.1)


class Oobconsole(Rig):
    """Our server, which records each console."""

    name = "oobconsole"

    def start(self) -> None:
        lines = "".join(f'[[vm]]\nname = "g{i}"\nchardev = "unix:{self.folder}/{i}"\n' for i in range(self.count))
        self.server = Server(lines, settings="drain_ms = 300")
        self.server.start()

    def stop(self) -> None:
        if hasattr(self, "server"):
            self.server.__exit__(None, None, None)

    def pids(self) -> list[int]:
        return family(self.server.pid)

    def client(self, number: int) -> list[str]:
        return self.server.ssh(f"g{number}", options=("-T",))

    def watcher(self, number: int, *, terminal: bool = False) -> dict[str, object]:
        about = {"port": self.server.port, "key": str(self.server.key)}
        command = f"watch g{number}{'' if terminal else ' --json-notices'}"
        return {"kind": "ssh", "terminal": terminal, "command": command, **about}

    def recorded(self, number: int) -> bytes:
        """Return what is on disk of a console's output."""
        folder = self.server.folder / "state" / "recordings" / f"g{number}"
        return b"".join(path.read_bytes() for path in sorted(folder.glob("*.raw")))


class _Daemon(Rig):
    """A server that Debian packages. It runs in the foreground."""

    _process: subprocess.Popen[bytes] | None = None

    def _run(self, *command: str) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)

    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is not None:
            children = self.pids()[1:] if self.runs() else []
            self._process.terminate()
            self._process.wait(20)
            self._process = None
            for child in children:  # those of conserver go on when conserver ends too early
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGTERM)

    def _wait_listening(self, port: int) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(port):
            if time.monotonic() > deadline:
                raise ExpectError((self.folder / "server.log").read_text()[-1000:])
            select.select([], [], [], 0.05)

    def pids(self) -> list[int]:
        assert self._process is not None
        return family(self._process.pid)


class Conserver(_Daemon):
    """conserver, with a log file for each console. Users have its own client."""

    name = "conserver"

    def start(self) -> None:
        self.port = free_ports(1)[0]
        lines = "".join(f"console g{i} {{ uds {self.folder}/{i}; }}\n" for i in range(self.count))
        (self.folder / "conserver.cf").write_text(
            f"default * {{ master 127.0.0.1; type uds; rw *; logfile {self.folder}/log.&; }}\n{lines}"
            "access * { trusted 127.0.0.1; }\n"
        )
        (self.folder / "passwd").touch()
        names = {"-C": "conserver.cf", "-P": "passwd", "-L": "server.log", "-p": str(self.port)}
        options = [word for pair in names.items() for word in pair]
        self._run("/usr/sbin/conserver", *options, "-b", "0", "-M", "127.0.0.1")

    def _wait_connected(self) -> None:
        super()._wait_connected()
        self._wait_listening(self.port)

    def client(self, number: int) -> list[str]:
        return ["console", "-n", "-M", "127.0.0.1", "-p", str(self.port), f"g{number}"]

    def watcher(self, number: int, *, terminal: bool = False) -> dict[str, object]:
        return {"kind": "program", "command": [*self.client(number)[:-1], "-s", f"g{number}"]}


class Ser2net(_Daemon):
    """ser2net. Its consoles are plain TCP connections, and it keeps no log."""

    name = "ser2net"

    def start(self) -> None:
        self.ports = free_ports(self.count)
        (self.folder / "ser2net.yaml").write_text(
            "%YAML 1.1\n---\n"
            + "".join(
                f"connection: &g{i}\n  accepter: tcp,127.0.0.1,{port}\n  connector: unix,{self.folder}/{i}\n"
                "  options: {max-connections: 256, connector-retry-time: 1}\n"
                for i, port in enumerate(self.ports)
            )
        )
        self._run("/usr/sbin/ser2net", "-n", "-c", "ser2net.yaml", "-P", str(self.folder / "pid"))

    def client(self, number: int) -> list[str]:
        return ["socat", "-", f"TCP:127.0.0.1:{self.ports[number]}"]

    def watcher(self, number: int, *, terminal: bool = False) -> dict[str, object]:
        return {"kind": "tcp", "port": self.ports[number]}

    def _wait_connected(self) -> None:
        self._wait_listening(self.ports[-1])  # ser2net connects to a line only when somebody comes


def _answers(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def free_ports(count: int) -> list[int]:
    """Return TCP ports that nobody uses now."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in held:
            sock.bind(("127.0.0.1", 0))
        return [int(sock.getsockname()[1]) for sock in held]


def family(pid: int) -> list[int]:
    """Return the ids of a process and of everything that descends from it. A server's front is a child of the
    server."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").iterdir():
            with contextlib.suppress(OSError):  # the process has just ended
                found += map(int, (task / "children").read_text().split())
    return found


def memory_mib(pids: Sequence[int]) -> float:
    """Return how much memory these processes use together, in MiB. What they share counts once (PSS)."""
    return sum(_field(pid, "smaps_rollup", "Pss") for pid in pids) / 1024


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return how much processor time these processes have used so far, in seconds."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / ticks


def _field(pid: int, file: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    assert found is not None, (pid, file, name)
    return int(found[1])
