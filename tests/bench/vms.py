"""A guest of a plain QEMU with three kinds of serial ports: QEMU's own isa-serial, and our card with either kind of
BAR.

All three are measured in one run of one guest. A shell at a fourth port makes the others print.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from tests.bench.trust import Results, quantiles
from tests.stack.nested import L2Console
from tests.stack.plain import PlainGuest
from tests.support.server import Server
from tests.support.vfio import end_keeper

CONFIG: Final = """
[[vm]]
name = "shell"
chardev = "unix:shell"
[[vm]]
name = "io"
vfio_user = { socket = "io.vfio", bar = "io" }
[[vm]]
name = "memory"
vfio_user = { socket = "memory.vfio", bar = "memory" }
"""
#: Which of the guest's ports belongs to each console.
TTYS: Final = {"isa": "/dev/ttyS1", "io": "/dev/ttyS2", "memory": "/dev/ttyS3"}
ROUNDS: Final = 5
#: How many times five rounds are measured, where two ways cannot be measured at the same time.
TURNS: Final = 8
KIB: Final = 64
KEYS: Final = 200
WARM_UP: Final = 20
PATIENCE: Final = 120.0


class Pipe:
    """A client whose bytes are read and counted, and not looked at."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def send(self, data: bytes) -> None:
        """Type these bytes."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)

    def read(self, size: int, timeout: float = PATIENCE) -> bytes:
        """Read so many bytes. Raises `TimeoutError`, which says how many bytes have come, when too few come in
        time."""
        assert self._process.stdout is not None
        fd, data = self._process.stdout.fileno(), bytearray()
        deadline = time.monotonic() + timeout
        while len(data) < size:
            if not select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"{len(data)} of {size} bytes came in {timeout:g} s")
            data += os.read(fd, size - len(data))
        return bytes(data)


class Lab:
    """The guest, with two servers. One has the shell and our cards. The other has the isa-serial, and can be stopped
    alone."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.server = stack.enter_context(Server(CONFIG, settings="tail_lines = 0"))
        folder = self.server.folder
        isa = f'[[vm]]\nname = "isa"\nchardev = "unix:{folder}/isa"\n'
        self.isa_server = stack.enter_context(Server(isa, settings="tail_lines = 0"))
        for name in ("io", "memory"):
            stack.callback(end_keeper, folder / "state" / f"{name}.keeper")
        options = ["-serial", f"unix:{folder}/isa,server=on,wait=off", *self._card("io"), *self._card("memory")]
        self.guest = stack.enter_context(PlainGuest(folder, f"unix:{folder}/shell,server=on,wait=off", options))
        self.shell = stack.enter_context(L2Console(self.server, "shell"))
        self.shell.wake(90)
        self.shell.run(f"head -c {KIB * 1024} /dev/urandom >/tmp/data")
        for tty in TTYS.values():
            self.shell.run(f"stty -F {tty} raw -echo 115200; (sleep 99999 <{tty}) & true")

    def _card(self, name: str) -> list[str]:
        words = [sys.executable, "-m", "oobconsole", "qemu-options", name, "--config", str(self.server.config)]
        return shlex.split(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    def client(self, name: str) -> Pipe:
        """Return OpenSSH's client at a console."""
        return Pipe((self.isa_server if name == "isa" else self.server).ssh(name))

    def socat(self) -> Pipe:
        """Return a socat that is connected to the isa-serial's socket itself. The server of that port is stopped
        meanwhile, because QEMU serves one client at a time."""
        return Pipe(["socat", "-", f"UNIX-CONNECT:{self.server.folder}/isa"])


def _ready(client: Pipe, shell: L2Console, tty: str) -> None:
    """Wait until what the guest prints reaches the client. QEMU keeps nothing for a client that comes later."""
    for _ in range(30):
        shell.run(f"printf x >{tty}")
        with contextlib.suppress(TimeoutError):
            client.read(1, 1)
            return
    client.read(1, 1)


def _kib_s(lab: Lab, client: Pipe, tty: str) -> float:
    """Let the guest print the whole file once. Returns the KiB per second."""
    start = time.monotonic()
    lab.shell.send(f"cat /tmp/data >{tty}\n")
    client.read(KIB * 1024)
    elapsed = time.monotonic() - start
    lab.shell.run("true", timeout=60)
    return KIB / elapsed


def _echo_ms(client: Pipe) -> list[float]:
    """Type a key and wait for its echo, many times. Returns the milliseconds that each took, without the first
    ones."""
    times = []
    for i in range(WARM_UP + KEYS):
        start = time.monotonic()
        client.send(bytes((ord("a") + i % 26,)))
        client.read(1, 10)
        times.append((time.monotonic() - start) * 1000)
    return times[WARM_UP:]


def _throughput(lab: Lab) -> Results:
    """Measure the ports one after the other in each round, so that other work of the machine disturbs all of them
    alike."""
    found: dict[str, list[float]] = {name: [] for name in TTYS}
    with contextlib.ExitStack() as stack:
        clients = {name: stack.enter_context(lab.client(name)) for name in TTYS}
        for name, client in clients.items():
            _ready(client, lab.shell, TTYS[name])
        for _ in range(ROUNDS):
            for name, client in clients.items():
                found[name].append(_kib_s(lab, client, TTYS[name]))
    return {f"vms.{name}_kib_s": statistics.median(values) for name, values in found.items()}


def _echo(lab: Lab) -> Results:
    out: Results = {}
    for name, tty in TTYS.items():
        lab.shell.run(f"stty -F {tty} raw echo; (cat <{tty} >/dev/null) & true")
        with lab.client(name) as client:
            _ready(client, lab.shell, tty)
            out[f"vms.{name}_echo_ms.median"], out[f"vms.{name}_echo_ms.p99"] = quantiles(_echo_ms(client))
        lab.shell.run(f"stty -F {tty} raw -echo")
    return out


def _chardev_against_socat(lab: Lab) -> Results:
    """Measure the same isa-serial by turns through us and through socat."""
    tty, through_us, through_socat = TTYS["isa"], [], []
    for _ in range(TURNS):
        with lab.client("isa") as client:
            _ready(client, lab.shell, tty)
            through_us += [_kib_s(lab, client, tty) for _ in range(ROUNDS)]
        lab.isa_server.stop()
        with lab.socat() as client:
            _ready(client, lab.shell, tty)
            through_socat += [_kib_s(lab, client, tty) for _ in range(ROUNDS)]
        lab.isa_server.start()
    us, socat = statistics.median(through_us), statistics.median(through_socat)
    return {"vms.isa_through_us_kib_s": us, "vms.isa_socat_kib_s": socat, "vms.isa_of_socat": us / socat}


def vms() -> Results:
    """Measure everything."""
    with contextlib.ExitStack() as stack:
        lab = Lab(stack)
        out = _throughput(lab) | _chardev_against_socat(lab) | _echo(lab)
    for name in ("io", "memory"):
        out[f"vms.{name}_of_isa"] = out[f"vms.{name}_kib_s"] / out["vms.isa_kib_s"]
        out[f"vms.{name}_echo_ratio"] = out[f"vms.{name}_echo_ms.median"] / out["vms.isa_echo_ms.median"]
    return out
