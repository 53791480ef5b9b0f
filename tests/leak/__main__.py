"""`make leak`: how much can L1 find of a secret that L2's console has carried? Prints a table, and writes
`.cache/leak.json`.

In one boot the same 32 random bytes go two ways. First they are typed into L2, and printed by it, through us. Then L2
prints them on its second serial port, which L1 emulates, and L1 types them back into L2 there. The search must find
the secret after this second way. If it did not, finding nothing after the first way would prove nothing.
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
N_CR3: Final = 0xB0  # the offset of nCR3 in the VMCB (AMD APM vol. 2, appendix B)
#: Pieces of the secret that have fewer bytes than this occur in memory by chance.
MINIMUM: Final = 8
MIB: Final = 1 << 20
#: How many MiB an L2 may have mapped: its RAM, and its firmware's ROM.
L2_MIB: Final = 128 + 1


@dataclass
class Finding:
    """What was found in one kind of places.

    Attributes:
        whole: how often the whole secret was found.
        pieces: how often a piece of it was found.
        where: a line for each place, with what was found there.
    """

    whole: int
    pieces: int
    where: list[str]

    @classmethod
    def of(cls, hits: Iterable[Hit], secret: bytes) -> Finding:
        """Sum up hits by their places."""
        by_place: dict[str, list[int]] = {}
        for hit in sorted(hits):
            by_place.setdefault(hit.place, []).append(hit.length)
        lengths = [length for found in by_place.values() for length in found]
        whole = lengths.count(len(secret))
        where = [f"{place}: {len(found)}, of up to {max(found)} bytes" for place, found in by_place.items()]
        return cls(whole, len(lengths) - whole, where)


@dataclass
class Measure:
    """What was found after the secret has gone one way.

    Attributes:
        findings: what was found, by the kind of places.
        searched_mib: how much memory was searched.
        l2_mib: how much memory was not searched, because it is L2's.
        exits: how many exits there were.
        forced_exits: how many of them the interceptor has forced.
        al_exits: how many of them had a byte of the secret in AL while L2's driver moved that byte.
    """

    findings: dict[str, Finding]
    searched_mib: float
    l2_mib: float
    exits: int
    forced_exits: int
    al_exits: int


def _place(run: Run) -> str:
    return f"{run.at:#x}" + (f", every {run.stride} bytes" if run.stride > 1 else "")


class Laboratory:
    """The nested stack. L1's memory is in a file, and the recorder (`recorder.c`) runs beside the interceptor."""

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
        """Return how many bytes the recorder has written."""
        return self._exits.stat().st_size

    def measure(self, secret: bytes, since: int) -> Measure:
        """Stop L1, and look for what it has got of the secret.

        Args:
            secret: the secret.
            since: how many bytes the recorder had written before the secret was sent (`mark`).
        """
        with self._stopped():
            exits = Exits(self._exits, since)
            with Ram(self._ram) as ram:
                findings, searched, l2 = _search_memory(ram, exits, secret)
        # This comes last, because reading these files through L1's shell brings them into L1's memory and onto its
        # console.
        findings["L1's devices' output"] = Finding.of(self._search_devices(secret), secret)
        findings["L2's registers at exits"] = Finding.of(exits.search(secret), secret)
        # Where does L2's driver move a byte? The exits at L1's port say it. At our port there are no exits, but the
        # same driver serves it.
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
    """Search L1's memory. Returns what was found, how many bytes were searched, and how many were not because they
    are L2's."""
    l2 = ram.mapped(ram.u64(_only("VMCB", {record.vmcb for record in exits.records}) + N_CR3))
    # KVM enters a guest in the address space of the process that runs the guest.
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
    """Raise `AssertionError` if L2's pages are not what they must be. A search that leaves out too many pages would
    miss a leak."""
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
    """Send the secret through us, and then through L1. Returns what was found after each way."""
    secret = secrets.token_urlsafe(24)  # 32 characters, each of which is one of 64
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
    """Measure. Returns the exit status, which is 0 if L1 has nothing of the secret that went through us, and has, in
    each kind of places, something of the one that went through itself."""
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
