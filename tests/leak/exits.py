"""Reads what the recorder (`recorder.c`) has written: L2's registers as L1 gets them at each exit, and what stands in
the VMCB when L2 goes on."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.leak.memory import runs

#: `struct record` of `recorder.c` has 8 fields, and then the general registers in the order in which instructions
#: number them.
RECORD: Final = struct.Struct("<23Q")
ENTRY: Final = 0
EXIT: Final = 1
#: The names of exit codes (AMD APM vol. 2, appendix C), and bits of EXITINFO1 at an I/O exit (15.10.2).
IOIO: Final = 0x7B
IOIO_IN: Final = 1
CODES: Final = {0x60: "INTR", 0x64: "VINTR", 0x78: "HLT", 0x7C: "MSR", 0x400: "NPF"}
#: A kernel's code lies in the highest 2 GiB of the addresses, so these bits of RIP tell its instructions apart.
LOW: Final = 0xFFFF_FFFF
#: The reason of an exit that the interceptor has forced (`native/tcg/detour.c`).
FORCED: Final = "out 0x80"
#: How many bytes a piece of the secret must have. It is less than in memory, because registers are small, and seldom
#: hold text.
MINIMUM: Final = 4


class Record(NamedTuple):
    """One VMRUN, or one #VMEXIT.

    Attributes:
        entry: it is a VMRUN.
        vmcb: the physical address of the VMCB.
        cr3: L1's CR3.
        code, info: EXITCODE and EXITINFO1.
        rip: L2's RIP.
        al: the low byte of L2's RAX.
    """

    entry: bool
    vmcb: int
    cr3: int
    code: int
    info: int
    rip: int
    al: int

    @property
    def reason(self) -> str:
        """Why L2 was left, in words. Exits for the same reason, one after the other, may carry one byte each."""
        if self.code != IOIO:
            return CODES.get(self.code, f"{self.code:#x}")
        return f"{'in' if self.info & IOIO_IN else 'out'} {self.info >> 16 & 0xFFFF:#x}"


class Hit(NamedTuple):
    """A piece of the secret that was found: where, and how many bytes it has."""

    place: str
    length: int


class Exits:
    """The records in the recorder's file.

    Args:
        path: the file.
        start: at which byte of the file to begin.
    """

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
        """Return how many exits there were for that reason; empty: for any reason."""
        return sum(not record.entry and reason in ("", record.reason) for record in self.records)

    def instructions(self, port: int) -> set[int]:
        """Return the addresses of the instructions with which L2 has used the port."""
        return {r.rip for r in self.records if not r.entry and r.reason in (f"in {port:#x}", f"out {port:#x}")}

    def moving(self, secret: bytes, instructions: set[int]) -> int:
        """Return how many exits had a byte of the secret in AL, with L2 at or behind one of these instructions, each
        of which is an `in al, dx` or `out dx, al`."""
        around = {at + length & LOW for at in instructions for length in (0, 1)}
        return sum(not record.entry and record.al in secret and record.rip & LOW in around for record in self.records)

    def sequences(self) -> dict[str, bytes]:
        """Return AL at successive exits, and AL in the VMCB at the VMRUNs after these, by a name. There is a sequence
        of all exits, and one of the exits for each reason."""
        out: dict[str, bytearray] = defaultdict(bytearray)
        reason = "the first"
        for record in self.records:
            reason = reason if record.entry else record.reason
            when = "at VMRUN after" if record.entry else "at"
            out[f"AL {when} {reason} exits"].append(record.al)
            out[f"AL {when} all exits"].append(record.al)
        return {name: bytes(al) for name, al in out.items()}

    def search(self, secret: bytes) -> list[Hit]:
        """Return a hit for each exit whose registers hold a piece of the secret, and for each piece in a sequence of
        AL."""
        hits = [Hit(f"registers at {self.records[i].reason} exits", n) for i, n in self._registers(secret).items()]
        for name, sequence in self.sequences().items():
            hits += [Hit(name, run.length) for run in runs(sequence, secret, MINIMUM)]
        return hits

    def _registers(self, secret: bytes) -> dict[int, int]:
        """Return, by the number of the exit, the length of the longest piece that its registers hold. Registers at
        VMRUN are left out, because they are what L1 itself has chosen."""
        longest: dict[int, int] = defaultdict(int)
        for run in runs(self._data, secret, MINIMUM):
            record = run.at // RECORD.size
            if not self.records[record].entry:
                longest[record] = max(longest[record], run.length)
        return longest
