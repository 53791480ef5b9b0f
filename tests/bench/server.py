"""Our server with many consoles and clients, compared with Debian's conserver and ser2net at the same lines."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from tests.bench.many import many
from tests.bench.rigs import Conserver, Oobconsole, Process, Rig, Ser2net, cpu_seconds, memory_mib
from tests.bench.source import LINE_LENGTH, MARK
from tests.bench.trust import Results, quantiles
from tests.support.expect import Expect, ExpectError
from tests.support.server import Server

CONSOLES: Final = int(os.environ.get("CONSOLES", "1000"))
CLIENTS: Final = int(os.environ.get("CLIENTS", "200"))
WATCHERS: Final = int(os.environ.get("WATCHERS", "100"))
ATTACHES: Final = int(os.environ.get("ATTACHES", "60"))
FLOOD: Final = 16 << 20
KEYS: Final = 200
WARM_UP: Final = 10
#: The pause between two keys, in seconds. Nobody types faster, and a key's echo has come before the next key.
KEY_SECONDS: Final = 0.02
#: For how many seconds processor time is counted.
WINDOW_SECONDS: Final = 10.0
IDLE_CONSOLES: Final = 200
RIGS: Final = (Oobconsole, Conserver, Ser2net)
#: How often a figure is measured that other work of the machine changes. The servers are measured by turns, and the
#: median counts.
ROUNDS: Final = int(os.environ.get("ROUNDS", "3"))
#: When a crowd has been told nothing for so many seconds, no line of ours is on its terminals any more: our lines
#: disappear some seconds after they were shown.
_STILL_SECONDS: Final = 10.0
_STILL_MAX_SECONDS: Final = 90.0


def server() -> Results:
    """Measure everything, for each of the servers."""
    out = _idle_memory()
    with contextlib.ExitStack() as stack:
        rigs = [stack.enter_context(kind(4)) for kind in RIGS]
        for measure, rounds in ((_attach, 1), (_echo, ROUNDS), (_throughput, ROUNDS), (_flood, 1)):
            found = [_round(rigs, measure) for _ in range(rounds)]
            out |= {name: statistics.median(each[name] for each in found) for name in found[0]}
    for kind in RIGS:
        with kind(CONSOLES) as rig:
            try:
                out |= _of(rig, _many)
            except (OSError, ExpectError):
                if rig.runs():
                    raise
                out[f"server.{rig.name}.many.survives"] = 0.0  # ser2net does not always survive
    return out | many()


def _round(rigs: Sequence[Rig], measure: Callable[[Rig], Results]) -> Results:
    """Measure one server after the other, so that whatever else this machine does disturbs all of them alike."""
    out: Results = {}
    for rig in rigs:
        out |= _of(rig, measure)
    return out


def _of(rig: Rig, measure: Callable[[Rig], Results]) -> Results:
    results = {f"server.{rig.name}.{name}": value for name, value in measure(rig).items()}
    print(
        *(f"    {name} {value:.3f}\n" for name, value in results.items()), sep="", end="", file=sys.stderr, flush=True
    )
    return results


def _idle_memory() -> Results:
    """Return how much memory a server with one console of an L2 needs, and how much each further idle console
    adds."""

    def machines(count: int) -> str:
        guests = "".join(f'[[machine.guest]]\nname = "g{i}"\n' for i in range(count))
        return f'[[machine]]\nname = "l1"\n{guests}'

    sizes = []
    for count in (1, 1 + IDLE_CONSOLES):
        with Server(machines(count)) as running:
            running.run("ls")
            sizes.append(memory_mib([running.pid, *running.fronts()[:1]]))
    return {"server.mib": sizes[0], "server.kib_per_console": (sizes[1] - sizes[0]) * 1024 / IDLE_CONSOLES}


# -- one client -----------------------------------------------------------------------------------------


def _attach(rig: Rig) -> Results:
    """Measure the time from the client's start to the echo of what it types at once. For our server, also measure the
    time to the first screen."""
    out = _times("attach_ms", [_attach_ms(rig, i % rig.count) for i in range(ATTACHES)])
    if isinstance(rig, Oobconsole):
        out |= _times("screen_ms", [_screen_ms(rig, i % rig.count) for i in range(ATTACHES)])
    return out


def _attach_ms(rig: Rig, number: int) -> float:
    start = time.monotonic()
    with rig.attach(number):
        return (time.monotonic() - start) * 1000


def _screen_ms(rig: Oobconsole, number: int) -> float:
    """Return how many ms pass until the screen shows what the guest has printed before."""
    start = time.monotonic()
    with Expect(rig.server.ssh(f"g{number}", options=("-tt",))) as client:
        client.expect(rb"hello", timeout=20)
        return (time.monotonic() - start) * 1000


def _echo(rig: Rig, name: str = "alone") -> Results:
    """Measure the echo of a key at a console that nobody else watches."""
    with rig.attach(1) as client:
        return _times(f"echo_ms.{name}", [_key_ms(client, i) for i in range(WARM_UP + KEYS)][WARM_UP:])


def _key_ms(client: Expect, number: int) -> float:
    key = bytes((ord("A") + number % 26,))
    time.sleep(KEY_SECONDS)
    start = time.monotonic()
    client.send(key)
    client.expect(key, timeout=10)
    return (time.monotonic() - start) * 1000


def _times(name: str, values: list[float]) -> Results:
    median, p99 = quantiles(values)
    return {f"{name}.median": median, f"{name}.p99": p99}


# -- a flood --------------------------------------------------------------------------------------------


def _throughput(rig: Rig) -> Results:
    """Measure how fast a guest can print while nobody is attached, and how fast the client that users have gets
    it."""
    out: Results = {}
    if not isinstance(rig, Ser2net):  # ser2net reads nothing while nobody is attached
        out["flood_mib_s.nobody"] = _mib_s(rig.source.do("flood", line=1, size=FLOOD)["seconds"])
    with _Client(rig, 2) as client:
        start = time.monotonic()
        flooded = rig.source.do("flood", line=2, size=FLOOD)
        data = client.flood()
        out["flood_mib_s.one_client"] = _mib_s(time.monotonic() - start)
    is_whole = hashlib.sha256(data).hexdigest() == flooded["sha256"]
    assert is_whole or not isinstance(rig, Oobconsole), f"{len(data)} bytes came of {FLOOD}"
    return out | {"one_client.is_whole": float(is_whole)}


def _flood(rig: Rig) -> Results:
    """Let one guest print as fast as it can. Many clients watch it, and one of the clients is stopped."""
    others = [rig.watcher(3, terminal=i % 2 == 0) for i in range(WATCHERS - 1)]
    with _Client(rig, 3) as stopped, rig.crowd(others, FLOOD) as crowd:
        _wait_until_still(crowd)
        stopped.process.send_signal(signal.SIGSTOP)
        used = [cpu_seconds(rig.pids()), cpu_seconds([crowd.pid])]
        start = time.monotonic()
        rig.source.begin("flood", line=3, size=FLOOD)
        reports = crowd.do("flooded")
        used = [cpu_seconds(rig.pids()) - used[0], cpu_seconds([crowd.pid]) - used[1]]
        stopped.process.send_signal(signal.SIGCONT)
        flooded = rig.source.end()
        whole = [report for report in reports if report["sha256"] == flooded["sha256"]]
        out = {
            "watchers.whole": float(len(whole)),
            "watchers.least_percent": min(report["got"] for report in reports) * 100 / FLOOD,
            "watchers.stopped_percent": stopped.got_or_told() * 100 / FLOOD,
            "watchers.cpu_s": used[0],
            "watchers.crowd_cpu_s": used[1],
        }
        if len(whole) == len(reports):
            out["watchers.mib_s"] = _mib_s(max(report["at"] for report in reports) - start)
    if isinstance(rig, Oobconsole):
        recorded = rig.recorded(3).rpartition(MARK)[2]
        assert hashlib.sha256(recorded).hexdigest() == flooded["sha256"], "the recording is not whole"
    return out


def _wait_until_still(crowd: Process) -> None:
    """Wait until our lines have disappeared from a crowd's terminals. Why? Each client was told of all who came
    later. Bytes of such a line between those of the flood would make another flood of it."""
    deadline = time.monotonic() + _STILL_MAX_SECONDS
    before, since = -1, time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < _STILL_SECONDS:
        now = sum(report["total"] for report in crowd.do("count"))
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.1)


def _mib_s(seconds: float) -> float:
    return FLOOD / seconds / (1 << 20)


class _Client:
    """The client that users have, at one console. What it shows goes into files."""

    def __init__(self, rig: Rig, number: int) -> None:
        self._files = [rig.folder / f"shown.{number}", rig.folder / f"notices.{number}"]
        self._command = rig.client(number)

    def __enter__(self) -> _Client:
        out, err = (path.open("wb") for path in self._files)
        with out, err:
            self.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=out, stderr=err)
        assert self.process.stdin is not None
        self.process.stdin.write(b"hello\n")
        self.process.stdin.flush()
        _until(lambda: b"hello" in self._files[0].read_bytes())
        self._before = self._size + len(MARK)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()

    @property
    def _size(self) -> int:
        return self._files[0].stat().st_size

    def flood(self) -> bytes:
        """Return the bytes of the flood that the client has shown, when the flood is whole."""
        _until(lambda: self._size - self._before >= FLOOD)
        return self._files[0].read_bytes()[self._before :]

    def got_or_told(self) -> int:
        """Return how many bytes the client has got, and of how many it was told that it has missed them."""

        def count() -> int:
            told = re.findall(rb"(\d+) bytes of output are not kept", self._files[1].read_bytes())
            return sum(map(int, told)) + self._size - self._before

        with contextlib.suppress(AssertionError):  # the other servers do not tell of bytes that are lost
            _until(lambda: count() >= FLOOD)
        return count()


def _until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# -- many consoles, many clients ------------------------------------------------------------------------


def _many(rig: Rig) -> Results:
    """Measure a server whose consoles are all idle at first, and then all print once a second."""
    few = memory_mib(rig.pids())
    numbers = [i * CONSOLES // CLIENTS for i in range(CLIENTS)]
    with rig.crowd([rig.watcher(number, terminal=i % 2 == 0) for i, number in enumerate(numbers)]) as crowd:
        many = memory_mib(rig.pids())
        out = {
            "many.start_s": rig.start_seconds,
            "many.mib": few,
            "many.mib_with_clients": many,
            "many.kib_per_client": (many - few) * 1024 / CLIENTS,
            "many.cpu_percent.idle": _cpu_percent(rig.pids()),
        }
        before = crowd.do("count")
        rig.source.do("print", seconds=1.0)
        time.sleep(WINDOW_SECONDS)
        out["many.survives"] = float(rig.runs())
        if rig.runs():
            out |= _printing(rig, crowd, [before[i]["total"] for i in range(CLIENTS)], numbers)
    return out


def _printing(rig: Rig, crowd: Process, before: Sequence[int], numbers: Sequence[int]) -> Results:
    """Measure while all consoles print."""
    out = {
        "many.cpu_percent.printing": _cpu_percent(rig.pids()),
        "many.crowd_cpu_percent": _cpu_percent([crowd.pid]),
        **_echo(rig, "loaded"),
    }
    printed = rig.source.do("stop")["printed"]
    wanted = [had + printed[number] * LINE_LENGTH for had, number in zip(before, numbers, strict=True)]
    out["many.clients_whole"] = float(_whole(crowd, wanted))
    out["many.mib_after_printing"] = memory_mib(rig.pids())
    return out


def _whole(crowd: Process, wanted: Sequence[int]) -> int:
    """Return how many clients have got everything that their guest printed, and nothing else."""

    def count() -> int:
        return sum(report["total"] == total for report, total in zip(crowd.do("count"), wanted, strict=True))

    with contextlib.suppress(AssertionError):
        _until(lambda: count() == len(wanted))
    return count()


def _cpu_percent(pids: Sequence[int]) -> float:
    """Return how much of one processor these processes use, in per cent."""
    start, used = time.monotonic(), cpu_seconds(pids)
    time.sleep(WINDOW_SECONDS)
    return (cpu_seconds(pids) - used) / (time.monotonic() - start) * 100
