"""Measures what each attack does to an honest person's echo, and prints a table in Markdown.

`ONLY=name` does one of them; `ATTACK_SECONDS` is how long each takes.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.attack.attacks import ATTACKS
from tests.loopback.access import grant
from tests.support.expect import Expect
from tests.support.server import Server

ATTACK_SECONDS: Final = float(os.environ.get("ATTACK_SECONDS", "8"))
#: Between two keys, in seconds.
KEY_SECONDS: Final = 0.02
#: An echo that does not come in so many seconds counts as that.
LONGEST_SECONDS: Final = 60


def echoes(client: Expect, seconds: float) -> list[float]:
    """Type for so long; returns how long each key's echo took, in milliseconds."""
    ends = time.monotonic() + seconds
    found: list[float] = []
    while time.monotonic() < ends:
        key = bytes((ord("A") + len(found) % 26,))
        began = time.monotonic()
        client.send(key)
        client.expect(key, timeout=LONGEST_SECONDS)
        found.append((time.monotonic() - began) * 1000)
        time.sleep(KEY_SECONDS)
    return found


def shown(values: list[float]) -> str:
    """Median, 99th percentile and maximum."""
    ordered = sorted(values)
    return " / ".join(f"{ordered[int(part * (len(ordered) - 1))]:.0f}" for part in (0.5, 0.99, 1))


def resident_mib(pid: int, what: str = "VmRSS") -> float:
    """Of a process, by proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what + ":"))


def measure(attack: Any) -> str:
    """One row of the table: a server of its own, so that memory is this attack's. Nobody is made to wait for an
    offence: that is how it is when each connection comes from another address."""
    with Server(limits='max_startups = "10:30:100"\npenalties_exempt = "127.0.0.0/8"\n') as server:
        key = server.make_key("mallory")
        grant(server, "mallory", "watch")
        server.stop()
        server.start()
        with Expect(server.ssh("web1")) as client:
            client.send(b"!")
            client.expect(b"!", timeout=LONGEST_SECONDS)
            before = echoes(client, ATTACK_SECONDS / 2)
            with attacking(attack, server, key) as attacker:
                during = echoes(client, ATTACK_SECONDS)
                attacker.wait(60)
            peak, after = resident_mib(server.pid, "VmHWM"), resident_mib(server.pid)
        blamed = sorted(set(re.findall(r"left without a login.*?reason='([^']*)'", server.log.read_text())))
    about = (attack.__doc__ or "").strip().rstrip(".")
    cells = [about, shown(before), shown(during), f"{peak:.0f} / {after:.0f}", "; ".join(blamed) or "nothing"]
    row = f"| {' | '.join(cells)} |"
    print(row, flush=True)
    return row


@contextlib.contextmanager
def attacking(attack: Any, server: Server, key: Path) -> Iterator[subprocess.Popen[bytes]]:
    """In a process of its own."""
    words = [attack.__name__, str(server.port), "mallory", str(key), str(ATTACK_SECONDS)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.attack.attacks", *words], stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def main() -> None:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    load = os.getloadavg()[0]
    where = f"{os.cpu_count()} processors, {platform.release()}, load {load:.1f} at start"
    print(f"Commit {commit.stdout.strip()}; {where}.")
    print("\n| attack | echo before, ms: p50 / p99 / max | during | MiB: peak / after | blamed for |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    only = os.environ.get("ONLY", "")
    for attack in ATTACKS:
        if only in attack.__name__:
            measure(attack)


if __name__ == "__main__":
    main()
