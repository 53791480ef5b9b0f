"""A domain's console through us, compared with `virsh console`. Both use the same port of the same guest, one after
the other."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.trust import Results, echo_ms, quantiles
from tests.stack.libvirtd import Libvirtd
from tests.stack.nested import PROMPT
from tests.support.expect import Expect, ExpectError
from tests.support.server import Server
from tests.support.terminal import Terminal

KIB = 128
RUNS = 5
BOOT_SECONDS = 90
IDLE_SECONDS = 10
#: Makes the guest send newlines as the program writes them, so that as many bytes come out as are counted.
PREPARE = f"stty -opost; head -c {KIB * 768} /dev/urandom | base64 -w 64 >/tmp/data; echo re''ady"


def libvirt() -> Results:
    """Measure the throughput from the guest, the time from a key to its echo, and what an idle console costs."""
    out: Results = {}
    with Libvirtd() as libvirtd:
        other = f"<serial type='unix'><source mode='bind' path='{libvirtd.folder}/com2'/></serial>"
        libvirtd.define(libvirtd.xml("web1", devices=("<serial type='pty'/>", other)))
        libvirtd.virsh("start", "web1")
        with Terminal(["virsh", "-c", libvirtd.uri, "console", "web1"]) as virsh:
            _prompt(virsh)
            virsh.send(f"{PREPARE}\n")
            virsh.expect(rb"ready\r?\n", timeout=60)
            out |= _measured("libvirt.virsh", virsh, "cat /tmp/data")
        with Server(f'[[libvirt]]\nuri = "{libvirtd.uri}"\n') as server:
            _live(server)
            with Expect(server.ssh("web1")) as ours:
                _prompt(ours)
                out |= _measured("libvirt.ours", ours, "cat /tmp/data")
                with Expect(server.ssh("web1.serial1")) as second:
                    out["libvirt.unix.kib_per_s"] = _rate(ours, second, "cat /tmp/data >/dev/ttyS1")
            libvirtd.virsh("suspend", "web1")
            out["libvirt.idle_cpu_percent"] = _idle_percent(server.pid)
    out["libvirt.throughput_ratio"] = out["libvirt.ours.kib_per_s"] / out["libvirt.virsh.kib_per_s"]
    return out


def _live(server: Server) -> None:
    with server.attach("events", "--json") as events:
        if b" live " not in server.run("ls").stdout:
            events.expect(rb'"state": "live"', timeout=30)


def _prompt(client: Expect) -> None:
    """Press Enter until the shell answers. Why more than once? What is typed before a client is at the console is
    lost."""
    for _ in range(BOOT_SECONDS):
        client.send("\n")
        with contextlib.suppress(ExpectError):
            client.expect(PROMPT, timeout=1)
            return
    client.expect(PROMPT, timeout=1)


def _measured(name: str, client: Expect, command: str) -> Results:
    rate = _rate(client, client, command)
    median, p99 = quantiles(echo_ms(client))
    client.send(b"\x03")
    client.expect(PROMPT, timeout=10)
    return {f"{name}.kib_per_s": rate, f"{name}.echo_ms.median": median, f"{name}.echo_ms.p99": p99}


def _rate(shell: Expect, reader: Expect, command: str) -> float:
    """Return how many KiB a second arrive at `reader` when the shell runs `command`."""
    where = "" if shell is reader else " >/dev/ttyS1"
    times = []
    if where:
        shell.send("stty -F /dev/ttyS1 raw -echo\n")
        shell.expect(PROMPT, timeout=10)
    for _ in range(RUNS):
        start = time.monotonic()
        shell.send(f"{command}; echo fi''nis{where}\n")
        reader.expect(rb"finis\r?\n", timeout=120)
        times.append(time.monotonic() - start)
    return KIB / statistics.median(times)


def _idle_percent(pid: int) -> float:
    """Return how much of one processor a process uses, in per cent."""
    return _difference(lambda: _cpu_seconds(pid)) / IDLE_SECONDS * 100


def _difference(value: Callable[[], float]) -> float:
    before = value()
    time.sleep(IDLE_SECONDS)
    return value() - before


def _cpu_seconds(pid: int) -> float:
    """Return the processor time of a process, in seconds (utime and stime of proc_pid_stat(5), in hundredths)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
