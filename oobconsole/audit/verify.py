"""Finds whatever was done to an audit log: edits, removals, insertions, reordering, truncation."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from oobconsole.audit.chain import DAMAGED, GENESIS, REMOVED, TORN, Damaged, Entry, check_signature, decode
from oobconsole.audit.files import Line, lines

#: After so many faults the rest of the log is not looked at.
FAULTS_MAX: Final = 20


@dataclass(slots=True)
class Report:
    """What was found in a log.

    Attributes:
        entries: how many intact entries there are.
        seq: the number of the last entry.
        head: the hash of the last entry.
        faults: file, line and reason of each. A log that nobody has touched has none.
        notes: what is not a fault, but should be known.
    """

    entries: int = 0
    seq: int = 0
    head: str = ""
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Verifier:
    def __init__(self, key: Ed25519PublicKey, heads: Collection[str]) -> None:
        self.report = Report()
        self._key = key
        self._missing = set(heads)
        self._last: Entry | None = None
        self._begins: Entry | None = None  # the first entry that is here, when it is not the log's first
        self._torn: tuple[str, bytes] | None = None  # where, and what, until the next entry tells about it
        self._vouched: set[str] = set()

    def line(self, place: str, line: Line) -> None:
        try:
            entry = decode(line.data.removesuffix(b"\n"))
            check_signature(entry, self._key)
        except Damaged as error:
            self._not_an_entry(place, line, str(error))
            return
        self._explain_torn(entry)
        if entry.kind == DAMAGED:
            self._fault(place, f"entry {entry.seq} says that the log was damaged: {entry.fields.get('found')}")
        self._check_place(place, entry)
        self._missing.discard(entry.hash)
        if entry.kind == REMOVED:
            self._vouched.add(str(entry.fields.get("last_hash")))
        self._last = entry
        self.report.entries += 1
        self.report.seq, self.report.head = entry.seq, entry.hash

    def _not_an_entry(self, place: str, line: Line, reason: str) -> None:
        """A torn line may be explained by the next entry. Zero bytes never are: what stood in their place is lost."""
        self._tell_torn()
        if line.damage:
            self._fault(place, line.damage)
        else:
            self._torn = (f"{place}: {reason} (byte {line.offset} of the file)", line.data)

    def _explain_torn(self, entry: Entry) -> None:
        if self._torn is None:
            return
        what, line = self._torn
        content = line.removesuffix(b"\n")
        if entry.kind == TORN and entry.fields.get("sha256") == hashlib.sha256(content).hexdigest():
            self._torn = None
            self.report.notes.append(f"{what.partition(': ')[0]}: cut short by a crash; entry {entry.seq} tells")
        self._tell_torn()

    def _tell_torn(self) -> None:
        if self._torn is not None:
            self.report.faults.append(self._torn[0])
            self._torn = None

    def _check_place(self, place: str, entry: Entry) -> None:
        if self._last is None:
            if entry.seq != 1 or entry.prev != GENESIS:
                self._begins = entry
            return
        expected = self._last.seq + 1
        if entry.seq > expected:
            self._fault(place, f"entry {entry.seq} follows {self._last.seq}: {entry.seq - expected} are missing")
        elif entry.seq < expected:
            self._fault(place, f"entry {entry.seq} follows {self._last.seq}: out of order, or there twice")
        elif entry.prev != self._last.hash:
            self._fault(place, f"entry {entry.seq} continues another log: its prev is not the hash of the one before")

    def end(self, whole: bool) -> Report:
        """Everything was read. `whole`: it should have been every file of the log."""
        if self._torn is not None and not self._torn[1].endswith(b"\n"):
            where = self._torn[0].partition(": ")[0]
            self.report.notes.append(f"{where}: ends in the middle: it is being written, or the server crashed")
            self._torn = None
        self._tell_torn()
        self._check_beginning(whole)
        for head in sorted(self._missing):
            self.report.faults.append(f"truncated: the entry with hash {head} is not there")
        if not self.report.entries:
            self.report.faults.append("there are no entries")
        return self.report

    def _check_beginning(self, whole: bool) -> None:
        if self._begins is None or self._begins.prev in self._vouched:
            return
        text = f"begins at entry {self._begins.seq}: what was before is not here"
        if whole:
            self.report.faults.append(f"{text}, and no entry says that it was removed")
        else:
            self.report.notes.append(text)

    def _fault(self, place: str, reason: str) -> None:
        self.report.faults.append(f"{place}: {reason}")


def verify(
    files: Sequence[Path], key: Ed25519PublicKey, *, heads: Collection[str] = (), whole: bool = True
) -> Report:
    """Check the files, oldest first, as one log.

    Args:
        heads: hashes that must be among the entries': they were noted elsewhere, earlier.
        whole: these are all files of the log. So the first entry must be the log's first, or another entry must
            say that files before it were removed.

    Raises:
        OSError: a file cannot be read.
    """
    verifier = _Verifier(key, heads)
    for file in files:
        for line in lines(file):
            verifier.line(f"{file}:{line.number}", line)
            if len(verifier.report.faults) >= FAULTS_MAX:
                verifier.report.faults.append("and perhaps more: the rest was not looked at")
                return verifier.report
    return verifier.end(whole)
