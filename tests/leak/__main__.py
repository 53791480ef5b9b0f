"""`make leak`: what L1 can find of a secret that L2's console carried. Prints a table, writes `.cache/leak.json`.

One boot, two ways for the same 32 random bytes. First they are typed into L2, and printed by it, through us. Then L2
prints them on its second serial port, which L1 emulates, and L1 types them back into it there: the same search must
find that, or it would show nothing.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from qemu.qmp import QMPClient

from oobconsole.config.guests import COM
from tests.leak.exits import FORCED, Exits, Hit
from tests.leak.memory import FRAME, PAGE, USER_HALF, Ram, Run, runs
from tests.stack.nested import CACHE, ROOT, L2Console, NestedStack

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

    @classmethod
    def of(cls, hits: Iterable[Hit], secret: bytes) -> Finding:
        """Sums hits up, by place."""
        by_place: dict[str, list[int]] = {}
        for hit in sorted(hits):
            by_place.setdefault(hit.place, []).append(hit.length)
        lengths = [length for found in by_place.values() for length in found]
        whole = lengths.count(len(secret))
        where = [f"{place}: {len(found)}, of up to {max(found)} bytes" for place, found in by_place.items()]
        return cls(whole, len(lengths) - whole, where)


@dataclass
class Measure:
    """One way of the secret. `al_exits` are those that had a byte of it in AL while L2's driver moved it."""

    findings: dict[str, Finding]
    searched_mib: float
    l2_mib: float
    exits: int
    forced_exits: int
    al_exits: int


def _place(run: Run) -> str:
    return f"{run.at:#x}" + (f", every {run.stride} bytes" if run.stride > 1 else "")


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
        """Stops L1, and looks for what it has got of the secret since the recorder had written so much."""
        with self._stopped():
            exits = Exits(self._exits, since)
            with Ram(self._ram) as ram:
                findings, searched, l2 = _search_memory(ram, exits, secret)
        # Only now: reading them through L1's shell brings them into L1's memory and onto its console.
        findings["L1's devices' output"] = Finding.of(self._search_devices(secret), secret)
        findings["L2's registers at exits"] = Finding.of(exits.search(secret), secret)
        # One driver serves both ports; at ours it causes no exits that would say where it moves a byte.
        moving = exits.moving(secret, Exits(self._exits).instructions(COM["com2"][0]))
        return Measure(findings, searched / MIB, l2 / MIB, exits.count(), exits.count(FORCED), moving)

    def _search_devices(self, secret: bytes) -> Iterator[Hit]:
        carried = {"L1's console": self.stack.l1_console()}
        carried |= {"COM1": self.stack.l2_files(1), "COM2": self.stack.l1_run("cat /com2-1")}
        for name, data in carried.items():
            for run in runs(data, secret, MINIMUM):
                yield Hit(name, run.length)

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        asyncio.run(_qmp(self._qmp, "stop"))
        yield
        asyncio.run(_qmp(self._qmp, "cont"))


def _search_memory(ram: Ram, exits: Exits, secret: bytes) -> tuple[dict[str, Finding], int, int]:
    """What was found, how many bytes were searched, and how many were not: L2's."""
    l2 = ram.mapped(ram.u64(_only("VMCB", {record.vmcb for record in exits.records}) + N_CR3))
    # KVM enters its guest in the address space of the process that runs it.
    process = ram.mapped(_only("CR3 of L1", {record.cr3 & FRAME for record in exits.records}), USER_HALF)
    _check(l2, process)
    searched, found = ram.search(secret, MINIMUM, without=l2)
    own = {run for run in found if run.at // PAGE in process}
    classes = {"L1's QEMU process": own, "L1's memory elsewhere": found - own}
    findings = {name: Finding.of([Hit(_place(r), r.length) for r in f], secret) for name, f in classes.items()}
    return findings, searched, len(l2) * PAGE


def _only(what: str, values: set[int]) -> int:
    if len(values) != 1:
        raise AssertionError(f"L2's exits show not one {what}: {', '.join(map(hex, sorted(values))) or 'none'}")
    return values.pop()


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
    """Through us, and through L1."""
    secret = secrets.token_urlsafe(24)  # 32 characters, each one of 64
    with tempfile.TemporaryDirectory(prefix="oob-") as folder:
        lab = Laboratory(Path(folder))
        with lab.stack as stack, stack.console() as console:
            since = lab.mark()
            _say("typing the secret through us, and searching L1 for it")
            _through_us(console, secret)
            ours = lab.measure(secret.encode(), since)
            since = lab.mark()
            _say("printing and typing it through L1's isa-serial, and searching L1 for it")
            _through_l1(stack, console)
            return ours, lab.measure(secret.encode(), since)


def _row(name: str, ours: object, control: object) -> None:
    print(f"{name:<34}{ours!s:>14}{control!s:>14}")


def _report(ours: Measure, control: Measure) -> None:
    _row("hits: whole secret + pieces of it", "through us", "through L1")
    for name in ours.findings:
        _row(name, *(f"{m.findings[name].whole} + {m.findings[name].pieces}" for m in (ours, control)))
    _row("exits with a byte of it in AL", ours.al_exits, control.al_exits)
    _row("exits", ours.exits, control.exits)
    _row("of them through port 0x80", ours.forced_exits, control.forced_exits)
    _row("L1's memory searched, MiB", round(ours.searched_mib), round(control.searched_mib))
    _row("L2's pages, not searched, MiB", round(ours.l2_mib), round(control.l2_mib))
    for title, one in {"through us": ours, "through L1": control}.items():
        for name, finding in one.findings.items():
            for place in finding.where:
                print(f"found {title}: {name}: {place}")


def main() -> int:
    """Measure; 0 when L1 has nothing of what went through us, and something everywhere of what went through it."""
    try:
        ours, control = measure()
    except (AssertionError, OSError) as error:
        print("\n".join([*getattr(error, "__notes__", ()), f"leak: cannot measure: {error}"]), file=sys.stderr)
        return 1
    _report(ours, control)
    results = {"through_us": asdict(ours), "through_l1": asdict(control)}
    (CACHE / "leak.json").write_text(json.dumps(results, indent=2) + "\n")
    leaked = [name for name, finding in ours.findings.items() if finding.where]
    blind = [name for name, finding in control.findings.items() if not finding.where]
    if leaked:
        print(f"leak: L1 has got some of what went through us: {', '.join(leaked)}", file=sys.stderr)
    if blind:
        print(f"leak: what L1 itself carried is not found, so nothing is shown: {', '.join(blind)}", file=sys.stderr)
    return 1 if leaked or blind else 0


if __name__ == "__main__":
    sys.exit(main())
