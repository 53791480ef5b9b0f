"""A server of ten thousand consoles. What does it cost to find one of them, to list a few, to type a key in the menu,
and to answer a scrape of the metrics?

The price of each of these must depend on how much is shown, not on how many consoles exist
(`tests/unit/session/test_view.py` counts the work). The goals are: a console is found in less than 50 us, and a key
in the menu is answered in less than 10 ms.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
import timeit
import urllib.request
from collections.abc import Callable
from typing import Final, Self

from oobconsole.config.guests import ConsoleConfig
from oobconsole.console.console import Console
from oobconsole.events import Events
from oobconsole.guests.directory import Directory
from oobconsole.guests.guest import Guest
from oobconsole.guests.line import Lines
from tests.bench.rigs import memory_mib
from tests.bench.trust import Results, quantiles
from tests.support.server import Server

CONSOLES: Final = int(os.environ.get("MANY_CONSOLES", "10000"))
#: How many guests a machine gets. A configuration allows 1,024.
A_MACHINE: Final = 1000
#: The name of a console that is not among the first.
_NAME: Final = f"web{CONSOLES * 7 // 9:05}"
KEYS: Final = 60
RUNS: Final = 10
#: The pause between two keys, in seconds. A person's pause is about as long, and the menu has drawn everything by
#: then.
KEY_SECONDS: Final = 0.1
_SETTINGS: Final = '[recording]\nenabled = false\n[metrics]\nlisten = "127.0.0.1:0"\n'


def many() -> Results:
    """Measure all of it. The keys of the results begin with `server.many_consoles.`."""
    out = {"find_us": _find_us()}
    start = time.monotonic()
    with Server(_SETTINGS + _machines(), patience=300) as server:
        out["start_s"] = time.monotonic() - start
        out["mib"] = memory_mib([server.pid])
        out |= _times("ls_head_ms", lambda: _head(server, "ls"))
        out |= _times("ls_names_head_ms", lambda: _head(server, "ls", "--names"))
        out["ls_s"] = _seconds(lambda: subprocess.run(server.ssh("ls"), capture_output=True, check=True))
        out |= _times("attach_ms", lambda: _head(server, "attach", _NAME, "--from-start"))
        out |= _keys(server)
        out["scrape_s"] = _seconds(lambda: _scrape(server))
        out |= _lag(server)
    return {f"server.many_consoles.{name}": value for name, value in out.items()}


def _machines() -> str:
    text = ""
    for begin in range(0, CONSOLES, A_MACHINE):
        text += f'[[machine]]\nname = "rack{begin // A_MACHINE}"\ninterceptor = "memory"\n'
        numbers = range(begin, min(begin + A_MACHINE, CONSOLES))
        text += "".join(f'[[machine.guest]]\nname = "web{number:05}"\n' for number in numbers)
    return text


def _find_us() -> float:
    """Return how long it takes to find a console by its name in this process, in microseconds."""
    directory, source = Directory(Events()), Lines("rack", [], settings=ConsoleConfig())
    for number in range(CONSOLES):
        name = f"web{number:05}"
        consoles = [Console(name, scrollback=4096)]
        directory.appeared(Guest(name, source, settings=ConsoleConfig(), consoles=consoles))
    times = 10_000
    return timeit.timeit(lambda: directory.find(_NAME), number=times) / times * 1e6


def _seconds(do: Callable[[], object]) -> float:
    start = time.monotonic()
    do()
    return time.monotonic() - start


def _times(name: str, do: Callable[[], object]) -> Results:
    median, p99 = quantiles([_seconds(do) * 1000 for _ in range(RUNS)])
    return {f"{name}.median": median, f"{name}.p99": p99}


def _head(server: Server, *command: str) -> None:
    """Run `ssh HOST … | head -n 1` from its start to its end."""
    with subprocess.Popen(server.ssh(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        client.stdout.readline()
        client.stdout.close()


class _Menu:
    """The menu of consoles, at OpenSSH's client."""

    def __init__(self, server: Server) -> None:
        self._client = subprocess.Popen(server.ssh(options=("-tt",)), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._client.stdout is not None
        assert self._client.stdin is not None
        self._out, self._keys = self._client.stdout, self._client.stdin
        self.shown = b""
        while b"%d consoles" % CONSOLES not in self.shown:
            assert self._read(60), f"the menu does not show {CONSOLES} consoles: {self.shown[-500:]!r}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.communicate(b"\x03", timeout=30)

    def _read(self, seconds: float) -> bool:
        """Wait for the menu to draw something, for so many seconds at most. Returns whether it did."""
        there = bool(select.select([self._out], [], [], seconds)[0])
        if there:
            part = os.read(self._out.fileno(), 1 << 16)
            assert part, f"the menu ended: {self.shown[-500:]!r}"
            self.shown += part
        return there

    def key_ms(self, key: bytes) -> float:
        """Press a key when the menu is at rest. Returns the milliseconds until the first bytes that are drawn for the
        key."""
        while self._read(KEY_SECONDS):
            pass
        start = time.monotonic()
        self._keys.write(key)
        self._keys.flush()
        assert self._read(10), f"nothing is drawn for {key!r}"
        return (time.monotonic() - start) * 1000


def _keys(server: Server) -> Results:
    """Type letters of a search, which finds less with each letter and is cleared again, and then move the cursor."""
    out: Results = {}
    with _Menu(server) as menu:
        searched = [menu.key_ms(key) for _ in range(KEYS // 5) for key in (b"w", b"0", b"7", b"\x7f", b"\x15")]
        moved = [menu.key_ms(b"\x1b[B") for _ in range(KEYS)]
    out["search_key_ms.median"], out["search_key_ms.p99"] = quantiles(searched)
    out["move_key_ms.median"], out["move_key_ms.p99"] = quantiles(moved)
    return out


def _scrape(server: Server) -> None:
    port = (server.folder / "state" / "metrics_port").read_text().strip()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        answer.read()


def _lag(server: Server) -> Results:
    """Return for how long the event loop was held at most, in the last half minute."""
    status = server.run_local("status", "--json").stdout
    worst = float(status.partition(b'"loop_lag_worst_s":')[2].partition(b",")[0])
    return {"loop_lag_worst_ms": worst * 1000}
