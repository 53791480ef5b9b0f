"""`make leak`: what L1 can find of a secret that L2's console carried. Prints a table, writes `.cache/leak.json`.

One boot, two ways for the same 32 random bytes. First they are typed into L2, and printed by it, through us. Then L2
prints them on its second serial port, which L1 emulates, and L1 types them back into it there: the same search must find
that, or it would show nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from qemu.qmp import QMPClient

from tests.leak.exits import Exits
from tests.leak.memory import FRAME, PAGE, USER_HALF, Ram, Run, runs
from tests.stack.nested import CACHE, ROOT, L2Console, NestedStack
from tests.support.expect import ExpectError

RECORDER: Final = ROOT / "tests" / "leak" / "recorder.so"
N_CR3: Final = 0xB0  # in the VMCB: AMD APM vol. 2, appendix B
#: Pieces of the secret that are shorter than this many bytes occur in memory by chance.
MINIMUM: Final = 8
MIB: Final = 1 << 20
#: What an L2 may have mapped: its RAM, and its firmware's ROM.
L2_MIB: Final = 128 + 1


@dataclass
class Finding:
    """Of one class: how often the whole secret was found, how often a piece of it, and where."""

    whole: int
    pieces: int
    where: list[str]

    @property
    def hits(self) -> int:
        return self.whole + self.pieces


@dataclass
class Measure:
    """One way of the secret."""

    findings: dict[str, Finding]
    searched_mib: float
    l2_mib: float
    exits: int
    forced: int


def _finding(found: dict[str, int], size: int) -> Finding:
    whole = sum(length == size for length in found.values())
    return Finding(whole, len(found) - whole, [f"{place}: {length} bytes" for place, length in sorted(found.items())])


def _places(found: set[Run]) -> dict[str, int]:
    return {f"{run.at:#x}" + (f" every {run.stride}" if run.stride > 1 else ""): run.length for run in found}


class Laboratory:
    """The nested stack, with L1's memory in a file and the recorder beside the interceptor."""

    def __init__(self, folder: Path) -> None:
        self._ram = folder / "ram"
        self._qmp = folder / "qmp"
        self._exits = folder / "exits"
        self.stack = NestedStack(
            l1_append="oob.com2=1",
            l0_options=(
                *("-object", f"memory-backend-file,id=ram,size=1024M,share=on,mem-path={self._ram}"),
                *("-machine", "memory-backend=ram", "-qmp", f"unix:{self._qmp},server=on,wait=off"),
                *("-plugin", f"{RECORDER},out={self._exits}"),
            ),
            progress=_say,
        )

    def mark(self) -> int:
        """How much the recorder has written."""
        return self._exits.stat().st_size

    def measure(self, secret: bytes, since: int) -> Measure:
        """Stops L1, and looks for the secret in its memory, in what its devices put out and in the exits since then."""
        with self._stopped():
            exits = Exits(self._exits, since)
            memory, searched, l2 = self._search_memory(secret, exits)
        # Only now: reading them through L1's shell brings them into L1's memory and onto its console.
        devices = self._devices()
        found = {
            name: max((run.length for run in runs(data, secret, MINIMUM)), default=0) for name, data in devices.items()
        }
        memory["L1's devices' output"] = _finding({name: n for name, n in found.items() if n}, len(secret))
        memory["L2's registers at exits"] = _finding(exits.search(secret), len(secret))
        return Measure(memory, searched / MIB, l2 * PAGE / MIB, exits.count(), exits.count("out 0x80"))

    def _search_memory(self, secret: bytes, exits: Exits) -> tuple[dict[str, Finding], int, int]:
        (vmcb,) = {record.vmcb for record in exits.records}
        (cr3,) = {record.cr3 & FRAME for record in exits.records}
        with Ram(self._ram) as ram:
            l2 = ram.mapped(ram.u64(vmcb + N_CR3))
            process = ram.mapped(cr3, USER_HALF)
            _check(l2, process)
            searched, found = ram.search(secret, MINIMUM, without=l2)
        own = {run for run in found if run.at // PAGE in process}
        findings = {
            "L1's QEMU process": _finding(_places(own), len(secret)),
            "L1's memory elsewhere": _finding(_places(found - own), len(secret)),
        }
        return findings, searched, len(l2)

    def _devices(self) -> dict[str, bytes]:
        console = self.stack.l1_console()
        return {
            "L1's console": console,
            "COM1": self.stack.l2_files(1),
            "COM2": self.stack.l1_run("cat /com2-1"),
        }

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        asyncio.run(_qmp(self._qmp, "stop"))
        yield
        asyncio.run(_qmp(self._qmp, "cont"))


def _check(l2: set[int], process: set[int]) -> None:
    """Leaving out too much would hide a leak."""
    if not l2 or len(l2) * PAGE > L2_MIB * MIB:
        raise AssertionError(f"L2 has {L2_MIB} MiB, its nested page table maps {len(l2) * PAGE / MIB:.1f}")
    if l2 - process:
        raise AssertionError(f"L2 has {len(l2 - process)} pages that L1's QEMU process has not")


async def _qmp(path: Path, command: str) -> None:
    client = QMPClient("leak")
    await client.connect(str(path))
    await client.execute(command)
    await client.disconnect()


def _say(what: str) -> None:
    print(f"==> {what}", file=sys.stderr, flush=True)


def _through_us(console: L2Console, secret: str) -> None:
    console.send("read -r secret; echo got:$secret:\n")
    console.expect(rb"secret:\r?\n", timeout=10)
    console.send(f"{secret}\n")
    console.expect(re.escape(f"got:{secret}:"), timeout=10)


def _through_l1(stack: NestedStack, console: L2Console) -> None:
    console.run("stty -F /dev/ttyS1 raw -echo")
    console.send('{ echo "$secret"; read -r back; } <>/dev/ttyS1 >&0; [ "$back" = "$secret" ] && echo the sa""me\n')
    stack.l1_run("until grep -q . /com2-1; do sleep 0.1; done; cat /com2-1 >/com2-in-1")
    console.expect(rb"the same\r?\n", timeout=30)


def measure() -> tuple[Measure, Measure]:
    """Both ways: through us, through L1."""
    secret = secrets.token_urlsafe(24)  # 32 characters, each one of 64
    with tempfile.TemporaryDirectory(prefix="oob-") as folder:
        lab = Laboratory(Path(folder))
        with lab.stack as stack, stack.console() as console:
            start = lab.mark()
            _say("typing the secret through us, and searching L1 for it")
            _through_us(console, secret)
            ours = lab.measure(secret.encode(), start)
            start = lab.mark()
            _say("printing and typing it through L1's isa-serial, and searching L1 for it")
            _through_l1(stack, console)
            return ours, lab.measure(secret.encode(), start)


def _report(ours: Measure, control: Measure) -> None:
    print(f"{'hits: whole secret + pieces of it':<34}{'through us':>14}{'through L1':>14}")
    for name in ours.findings:
        cells = [f"{m.findings[name].whole} + {m.findings[name].pieces}" for m in (ours, control)]
        print(f"{name:<34}{cells[0]:>14}{cells[1]:>14}")
    for name, attribute in {
        "L1's memory searched, MiB": "searched_mib",
        "L2's pages, not searched, MiB": "l2_mib",
        "exits meanwhile": "exits",
        "of them through port 0x80": "forced",
    }.items():
        print(f"{name:<34}{getattr(ours, attribute):>14.6g}{getattr(control, attribute):>14.6g}")


def main() -> int:
    """Measure; 0 when L1 has nothing of what went through us, and something everywhere of what went through it."""
    try:
        ours, control = measure()
    except (AssertionError, ExpectError, OSError) as error:
        print("\n".join([*getattr(error, "__notes__", ()), f"leak: cannot measure: {error}"]), file=sys.stderr)
        return 1
    _report(ours, control)
    (CACHE / "leak.json").write_text(json.dumps({"ours": asdict(ours), "control": asdict(control)}, indent=2) + "\n")
    status = 0
    for name, finding in ours.findings.items():
        if finding.hits:
            print(f"leak: {name}: {'; '.join(finding.where)}", file=sys.stderr)
            status = 1
        if not control.findings[name].hits:
            print(f"leak: {name}: the search does not find what L1 itself carried, so it shows nothing", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
