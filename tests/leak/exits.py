"""What the recorder (recorder.c) wrote: L2's registers, as L1 gets them at each exit, and the VMCB as L2 goes on."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.leak.memory import runs

_RECORD: Final = struct.Struct("<22Q")
ENTRY: Final = 0
#: AMD APM vol. 2, appendix C; EXITINFO1 of an I/O exit: 15.10.2.
IOIO: Final = 0x7B
IOIO_IN: Final = 1
#: Fewer bytes of a secret than in memory: registers are small, and hold text seldom.
MINIMUM: Final = 4


class Record(NamedTuple):
    """One VMRUN, or one #VMEXIT."""

    entry: bool
    vmcb: int
    cr3: int
    code: int
    info: int
    al: int

    @property
    def reason(self) -> str:
        """Exits for the same reason, in order, may carry one byte each."""
        if self.code != IOIO:
            return f"exits with code {self.code:#x}"
        return f"{'in' if self.info & IOIO_IN else 'out'} {self.info >> 16 & 0xFFFF:#x}"


class Exits:
    """The records from byte `start` of the recorder's file on."""

    def __init__(self, path: Path, start: int = 0) -> None:
        with path.open("rb") as file:
            file.seek(start)
            data = file.read()
        self._data = data[: len(data) // _RECORD.size * _RECORD.size]
        self.records = list(self._parse())

    def _parse(self) -> Iterator[Record]:
        for kind, vmcb, cr3, code, info, rax, *_ in _RECORD.iter_unpack(self._data):
            yield Record(kind == ENTRY, vmcb, cr3, code, info, rax & 0xFF)

    def count(self, reason: str = "") -> int:
        """How many exits there were, for that reason or for any."""
        return sum(not record.entry and record.reason.startswith(reason) for record in self.records)

    def sequences(self) -> dict[str, bytes]:
        """AL at successive exits, and in the VMCB at the VMRUNs after them: of all, and of those with the same reason."""
        out: dict[str, bytearray] = defaultdict(bytearray)
        reason = "the first exit"
        for record in self.records:
            if not record.entry:
                reason = record.reason
            when = "VMRUN after" if record.entry else "at"
            out[f"AL {when} {reason}"].append(record.al)
            out[f"AL {when} any exit"].append(record.al)
        return {name: bytes(al) for name, al in out.items()}

    def search(self, secret: bytes) -> dict[str, int]:
        """Where how many bytes of the secret, in one piece, are at most."""
        places = {"one register": self._data} | self.sequences()
        longest = {name: max((run.length for run in runs(data, secret, MINIMUM)), default=0) for name, data in places.items()}
        return {name: length for name, length in longest.items() if length}
