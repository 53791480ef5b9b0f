"""What the recorder (recorder.c) wrote: L2's registers, as L1 gets them at each exit, and the VMCB as L2 goes on."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.leak.memory import runs

#: `struct record`: 8 fields, then the general registers in the order in which instructions number them.
RECORD: Final = struct.Struct("<23Q")
ENTRY: Final = 0
EXIT: Final = 1
#: AMD APM vol. 2, appendix C; EXITINFO1 of an I/O exit: 15.10.2.
IOIO: Final = 0x7B
IOIO_IN: Final = 1
CODES: Final = {0x60: "INTR", 0x64: "VINTR", 0x78: "HLT", 0x7C: "MSR", 0x400: "NPF"}
#: A kernel's code lies in the highest 2 GiB: so many bits of RIP tell, should the rest ever be wrong.
LOW: Final = 0xFFFF_FFFF
#: The port that an interceptor's forced exit goes through (native/tcg/detour.c).
FORCED: Final = "out 0x80"
#: Fewer bytes of a secret than in memory: registers are small, and hold text seldom.
MINIMUM: Final = 4


class Record(NamedTuple):
    """One VMRUN, or one #VMEXIT, with L2's RIP and the low byte of its RAX."""

    entry: bool
    vmcb: int
    cr3: int
    code: int
    info: int
    rip: int
    al: int

    @property
    def reason(self) -> str:
        """Exits for the same reason, in order, may carry one byte each."""
        if self.code != IOIO:
            return CODES.get(self.code, f"{self.code:#x}")
        return f"{'in' if self.info & IOIO_IN else 'out'} {self.info >> 16 & 0xFFFF:#x}"


class Hit(NamedTuple):
    """So many bytes of the secret, in one piece."""

    place: str
    length: int


class Exits:
    """The records in the recorder's file, from byte `start` on."""

    def __init__(self, path: Path, start: int = 0) -> None:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read()
        self._data = data[: len(data) // RECORD.size * RECORD.size]
        self.records = list(self._parse())

    def _parse(self) -> Iterator[Record]:
        for kind, vmcb, cr3, code, info, rip, rax, *_ in RECORD.iter_unpack(self._data):
            yield Record(kind == ENTRY, vmcb, cr3, code, info, rip, rax & 0xFF)

    def count(self, reason: str = "") -> int:
        """How many exits there were, for that reason or for any."""
        return sum(not record.entry and reason in ("", record.reason) for record in self.records)

    def instructions(self, port: int) -> set[int]:
        """Where L2 was when it used the port."""
        return {r.rip for r in self.records if not r.entry and r.reason in (f"in {port:#x}", f"out {port:#x}")}

    def moving(self, secret: bytes, instructions: set[int]) -> int:
        """How many exits had a byte of the secret in AL at or behind one of these `in al, dx`, `out dx, al`."""
        around = {at + length & LOW for at in instructions for length in (0, 1)}
        return sum(not record.entry and record.al in secret and record.rip & LOW in around for record in self.records)

    def sequences(self) -> dict[str, bytes]:
        """AL at successive exits, and in the VMCB at the VMRUNs after them: of all, and of those for one reason."""
        out: dict[str, bytearray] = defaultdict(bytearray)
        reason = "the first"
        for record in self.records:
            reason = reason if record.entry else record.reason
            when = "at VMRUN after" if record.entry else "at"
            out[f"AL {when} {reason} exits"].append(record.al)
            out[f"AL {when} all exits"].append(record.al)
        return {name: bytes(al) for name, al in out.items()}

    def search(self, secret: bytes) -> list[Hit]:
        """Each exit whose registers hold a piece of the secret, and each sequence that does."""
        hits = [Hit(f"registers at {self.records[i].reason} exits", n) for i, n in self._registers(secret).items()]
        for name, sequence in self.sequences().items():
            hits += [Hit(name, run.length) for run in runs(sequence, secret, MINIMUM)]
        return hits

    def _registers(self, secret: bytes) -> dict[int, int]:
        """The longest piece in each exit's registers. Those at VMRUN are L1's to choose."""
        longest: dict[int, int] = defaultdict(int)
        for run in runs(self._data, secret, MINIMUM):
            record = run.at // RECORD.size
            if not self.records[record].entry:
                longest[record] = max(longest[record], run.length)
        return longest
