"""Measures what each attack does to an honest person's echo and to a guest's vCPU, and prints a table in Markdown.

Variables of the environment: `ONLY=name` runs one attack. `ATTACK_SECONDS` is how long each attack takes.
`SHOW_HELD=1` shows what has held the event loops of the core and of the fronts, as their watchdogs say it.
`SHOW_ERRORS=1` shows what the attack itself writes to standard error.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.attack import fronts
from tests.attack.run import ATTACKS, MACHINES
from tests.attack.vcpu import MACHINE, Vcpu, build
from tests.loopback.access import grant
from tests.support.expect import Expect
from tests.support.server import MEMORY_MACHINE, Server

ATTACK_SECONDS: Final = float(os.environ.get("ATTACK_SECONDS", "8"))
#: The pause between two keys, in seconds.
KEY_SECONDS: Final = 0.02
#: For how many seconds an echo is waited for. An echo that does not come counts as having taken so long.
LONGEST_SECONDS: Final = 60


def echoes(client: Expect, other: Expect, seconds: float) -> list[float]:
    """Type at a console, and also at `other`, for so many seconds. Returns how long each key's echo took, in
    milliseconds."""
    ends = time.monotonic() + seconds
    found: list[float] = []
    while time.monotonic() < ends:
        key = bytes((ord("A") + len(found) % 26,))
        began = time.monotonic()
        other.send(key)
        client.send(key)
        client.expect(key, timeout=LONGEST_SECONDS)
        found.append((time.monotonic() - began) * 1000)
        time.sleep(KEY_SECONDS)
    return found


def shown(values: list[float]) -> str:
    """Return median, 99th percentile and maximum, as the table shows them."""
    ordered = sorted(values)
    return " / ".join(f"{ordered[int(part * (len(ordered) - 1))]:.0f}" for part in (0.5, 0.99, 1))


def resident_mib(pid: int, what: str = "VmRSS") -> float:
    """Return how much memory a process has, in MiB (proc_pid_status(5)); 0 if the process has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(what + ":")), 0.0)


def memory_mib(server: Server, what: str = "VmRSS") -> float:
    """Return how much memory the core and its fronts have together, in MiB. The spare process is one of the
    fronts."""
    return sum(resident_mib(pid, what) for pid in (server.pid, *server.fronts()))


def measure(attack: Any, driver: Path) -> str:
    """Return one row of the table. Each attack gets a server of its own, so that the memory is what this attack
    costs. The server has no penalties. That is what an attacker has whose connections all come from different
    addresses."""
    name = attack.__name__
    machines = fronts.SETTINGS.get(name, "") + MEMORY_MACHINE + MACHINE + MACHINES.get(name, "")
    with Server(machines, limits='max_startups = "10:30:100"\npenalties_exempt = "127.0.0.0/8"\n') as server:
        key = server.make_key("mallory")
        grant(server, "mallory", "watch")
        server.stop()
        server.start()
        with contextlib.ExitStack() as stack:
            vcpu = stack.enter_context(Vcpu(driver, server))
            with fronts.only_first(server) as spared:
                client, other = (stack.enter_context(Expect(words)) for words in honest(server, name))
                vcpu.expect(b"ready", timeout=20)
                for person in (client, other):
                    person.send(b"!")
                    person.expect(rb"[!.]", timeout=LONGEST_SECONDS)
            vcpu.waits()
            before = echoes(client, other, ATTACK_SECONDS / 2), vcpu.waits()
            with attacking(attack, server, key, 0 if name in fronts.LOCAL else spared) as attacker:
                during = echoes(client, other, ATTACK_SECONDS), vcpu.waits()
                status = attacker.wait(60)
            memory = f"{memory_mib(server, 'VmHWM'):.0f} / {memory_mib(server):.0f}"
        said = server.log.read_text()
    about = " ".join((attack.__doc__ or "").split()).rstrip(".")
    if again := said.count("a front has ended, and is begun again"):
        about += f" (begun again {again} times)"
    if status:
        about += f" (the attack itself has failed, with exit status {status}: SHOW_ERRORS=1 shows why)"
    cells = [about, shown(before[0]), shown(during[0]), before[1], during[1], memory]
    cells += [held(said, of_fronts=False), held(said, of_fronts=True), blamed(said)]
    row = f"| {' | '.join(cells)} |"
    print(row, flush=True)
    return row


def honest(server: Server, name: str) -> tuple[list[str], list[str]]:
    """Return the command lines of the honest person, who is at two consoles."""
    if name in fronts.LOCAL:
        return server.local("attach", "web1"), server.local("attach", "vcpu")
    return server.ssh("web1"), server.ssh("vcpu")


def held(said: str, *, of_fronts: bool) -> str:
    """Return how often an event loop was held, and for how long at most, as the product's own watchdogs say it.

    Args:
        said: the core's log.
        of_fronts: of the loops of all fronts together, and not of the core's loop.
    """
    lines = [line for line in re.findall(r"something held the event loop.*", said) if ("front=" in line) == of_fronts]
    if os.environ.get("SHOW_HELD"):
        print(*lines, sep="\n", file=sys.stderr)
    found = [int(number) for line in lines for number in re.findall(r"milliseconds=(\d+)", line)]
    return f"{len(found)}: {max(found)}" if found else "0"


def blamed(said: str) -> str:
    """Return the offences that the server has logged."""
    return "; ".join(sorted(set(re.findall(r"left without a login.*?reason='([^']*)'", said)))) or "nothing"


@contextlib.contextmanager
def attacking(attack: Any, server: Server, key: Path, spared: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the attack in a process of its own. `spared` is the process id of a front that is not attacked itself; 0:
    every front is attacked."""
    words = [attack.__name__, str(server.port), "mallory", str(key), str(server.folder), str(ATTACK_SECONDS)]
    words += [str(server.pid), str(spared)]
    errors = None if os.environ.get("SHOW_ERRORS") else subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-m", "tests.attack.run", *words], stderr=errors) as process:
        try:
            yield process
        finally:
            process.kill()


def main() -> None:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    load = os.getloadavg()[0]
    where = f"{os.cpu_count()} processors, {platform.release()}, load {load:.1f} at start"
    print(f"Commit {commit.stdout.strip()}; {where}.")
    titles = [
        "attack",
        "echo before, ms: p50 / p99 / max",
        "during",
        "vCPU's wait before, us: p50 / p99 / max",
        "during",
    ]
    titles += [
        "MiB: peak / after",
        "core's loop held: times, longest in ms",
        "fronts' loops held: the same",
        "blamed for",
    ]
    print(f"\n| {' | '.join(titles)} |\n|{' --- |' * len(titles)}", flush=True)
    only = os.environ.get("ONLY", "")
    with tempfile.TemporaryDirectory(prefix="oob-") as folder:
        driver = build(Path(folder))
        for attack in ATTACKS:
            if only in attack.__name__:
                measure(attack, driver)


if __name__ == "__main__":
    main()
