"""Writes the recording of one console (segments.py says what the files are). It blocks, so it runs in the writer's
thread.

Why is a file opened for each write? An idle console then holds no file descriptor, and a thousand busy consoles need
three. There is no fsync: what was written survives the server. If the machine loses power, the last seconds are lost,
as those of any file are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from oobconsole import clock
from oobconsole.config.schema import RecordingConfig
from oobconsole.recording import ending, segments
from oobconsole.recording.asciicast import Asciicast
from oobconsole.recording.entries import CLOCK, Binding, Entry, Printed, Record, line, line_of_output
from oobconsole.recording.pieces import Pieces
from oobconsole.recording.segmentfiles import Changed, SegmentFiles
from oobconsole.recording.segments import CAST, INDEX, KINDS, RAW, TYPED, Segment

#: After how many seconds a write that has failed is tried again: the first time, and, as the time doubles with each
#: attempt, at most.
RETRY_FIRST: Final = 1.0
RETRY_LAST: Final = 60.0
#: A clock that went back by more than this, in seconds, was set.
SET_BACK: Final = 5.0
#: How many bytes of its index are kept when a segment without output is begun anew.
_KEPT_MAX: Final = 32768


class Outcome(NamedTuple):
    """What became of a write.

    Attributes:
        error: why not everything was written; empty: everything was.
        hole: how many bytes of output are missing before what was written.
        rotated: whether a segment was closed.
        retry_s: after how many seconds to try again.
        rest: the entries that are still to be written.
        damage: what another program has done to the files of the recording, in words; empty: nothing.
        gone: how many bytes of output were recorded and are lost since then.
    """

    error: str = ""
    hole: int = 0
    rotated: bool = False
    retry_s: float = 0.0
    rest: Sequence[Entry] = ()
    damage: str = ""
    gone: int = 0


@dataclass(slots=True)
class _Run:
    """Entries that go into the files of one segment together.

    Attributes:
        entries: how many entries.
        indexed: whether the index has all of them.
        raw, index, cast, typed: what goes into each file.
    """

    entries: int = 0
    indexed: bool = False
    raw: Pieces = field(default_factory=Pieces)
    index: Pieces = field(default_factory=Pieces)
    cast: Pieces = field(default_factory=Pieces)
    typed: Pieces = field(default_factory=Pieces)


class RawLog:
    """Appends to the recording of one console.

    Args:
        folder: the folder of the recording. It is made when it is first needed.
        settings: the configuration's [recording].
        rows, columns: the size of the terminal, for the header of the asciicast.

    Attributes:
        end: the offset behind the last byte that was recorded.
        binding: the last binding that was recorded.
    """

    __slots__ = (
        "_began",
        "_booted",
        "_cast",
        "_committed",
        "_delay",
        "_error",
        "_files",
        "_former",
        "_hole",
        "_indexed",
        "_last",
        "_retry_at",
        "_rotated",
        "_run",
        "_segment_clock",
        "_settings",
        "_size",
        "binding",
        "end",
        "folder",
    )

    def __init__(self, folder: Path, settings: RecordingConfig, rows: int = 24, columns: int = 80) -> None:
        self.folder = folder
        self.end = self._former = 0
        self.binding: Binding | None = None
        self._settings = settings
        self._size = (rows, columns)
        self._files: SegmentFiles | None = None  # the files of the segment that is being written
        self._booted: float | None = None  # by which clock the times of entries are; None: unknown
        self._segment_clock: tuple[str, float] | None = None  # the boot, and when it was by the segment's clock
        self._cast: Asciicast | None = None
        self._began = self._last = 0.0
        self._indexed = 0
        self._run = _Run()
        self._committed = 0  # how many entries of this write are in the files
        self._hole = 0  # how many bytes are missing since `write` has told of a hole
        self._rotated = False
        self._error = ""
        self._retry_at = 0.0
        self._delay = RETRY_FIRST

    def recover(self) -> None:
        """Find where the recording ends, mend what a crash has left, and prepare to go on there. Raises `OSError`."""
        segments.sweep(self.folder)
        found = segments.segments(self.folder)
        if not found:
            return
        last = found[-1]
        self._former = last.start
        for kind in (INDEX, CAST, TYPED):
            segments.mend(last.path(kind))
        header = last.header()
        if last.compressed:  # somebody has compressed the last segment by hand
            self.end = last.start + ending.length(last)
            return
        self.end = last.start + last.path(RAW).stat().st_size
        self.binding = ending.binding_of(last, header)
        if "time" in header and (last.path(CAST).exists() or not self._settings.asciicast):
            self._go_on_with(last, header)

    def _go_on_with(self, last: Segment, header: dict[str, Any]) -> None:
        self._files = SegmentFiles(last)
        self._files.go_on_with(KINDS)
        self._began = float(header["time"])
        self._last = ending.last_time(last)
        self._cast = Asciicast(self._began) if self._settings.asciicast else None
        if "boot" in header and "booted" in header:
            self._segment_clock = str(header["boot"]), float(header["booted"])

    def history(self, limit: int) -> bytes:
        """Return the last bytes that are not compressed, `limit` at most, and none before a hole."""
        found = b""
        end = self.end
        for segment in reversed(segments.segments(self.folder)):
            part = segments.tail(segment.path(RAW), limit - len(found))
            if not part or segment.start + segment.path(RAW).stat().st_size != end:
                break
            found, end = part + found, segment.start
            if len(found) >= limit:
                break
        return found

    def write(self, entries: Sequence[Entry]) -> Outcome:
        """Append entries. It never raises `OSError`: the outcome says what has failed, when to try again, and which
        entries are still to be written.

        What if another program has changed the files that are being written? Then their segment is closed as it is,
        and the rest goes into another segment at once.
        """
        self._rotated = False
        damage, gone = "", 0
        try:
            try:
                self._write(entries)
            except Changed as found:
                damage, gone = str(found), self._leave()
                entries = self._unwritten(entries)
                self._write(entries)
        except (OSError, Changed) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            outcome = self.give_up(reason)
            return outcome._replace(rest=self._unwritten(entries), damage=damage, gone=gone)
        if self._error and time.monotonic() - self._retry_at > RETRY_LAST:
            self._delay = RETRY_FIRST
        self._error = ""
        hole, self._hole = self._hole, 0
        return Outcome("", hole, self._rotated, damage=damage, gone=gone)

    # -- one segment --------------------------------------------------------------------------------

    def _write(self, entries: Iterable[Entry]) -> None:
        self._run, self._committed = _Run(), 0
        for entry in entries:
            if isinstance(entry, Record) and entry.kind == CLOCK:
                self._booted = float(entry.about[0])
            if self._must_begin(entry, self._run):
                self._commit(self._run)
                self._begin(entry.at, entry.offset)
            self._add(entry, self._run)
            self._last = entry.at
        self._commit(self._run)

    def _must_begin(self, entry: Entry, run: _Run) -> bool:
        """Return whether a new segment is needed: for the first byte, behind a hole, because of size or age, or
        because the clock was set. All times of one segment are by one clock."""
        if self._files is None or entry.offset != self.end + len(run.raw) or self._is_clock_another():
            return True
        size = self.end + len(run.raw) - self._files.segment.start
        old = entry.at - self._began >= self._settings.rotate_hours * 3600
        back = self._booted is None and entry.at < self._last - SET_BACK  # a typed line may have begun before
        return size >= self._settings.rotate_mib << 20 or ((old or back) and size > 0)

    def _is_clock_another(self) -> bool:
        if self._booted is None:
            return False
        boot, booted = self._segment_clock or ("", self._booted)
        return boot != clock.boot() or clock.was_set(booted, self._booted)

    def _begin(self, at: float, offset: int) -> None:
        """Make the files of a new segment. A segment of the same name has no byte of output; what its index says is
        kept."""
        self._former = self.end  # a segment without output does not count yet
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rotated = self._files is not None or self._rotated
        kept = self._kept(offset)
        hole = offset - self.end
        self._files, self._began = SegmentFiles(Segment(offset, self.folder)), at
        self._cast = Asciicast(at) if self._settings.asciicast else None
        self._files.make(INDEX, line(self._header(at, offset, hole)) + kept)
        if self._cast is not None:
            self._files.make(CAST, self._cast.header(self.folder.name, *self._size))
        self._files.make(RAW, b"")
        self._hole, self._indexed, self.end = self._hole + hole, 0, offset

    def _header(self, at: float, offset: int, hole: int) -> dict[str, object]:
        booted = self._booted if self._booted is not None else clock.read().booted
        self._segment_clock = clock.boot(), booted
        binding = list(self.binding) if self.binding else None
        head: dict[str, object] = {"oobconsole": 1, "console": self.folder.name, "time": at, "offset": offset}
        head |= {"boot": clock.boot(), "booted": round(booted, 3), "binding": binding}
        return head | ({"hole": hole} if hole else {})

    def _kept(self, offset: int) -> bytes:
        """Return the records of the present segment, if that segment is begun anew because the clock was set."""
        if self._files is None or self._files.segment.start != offset:
            return b""
        lines = segments.tail(self._files.segment.path(INDEX), _KEPT_MAX).splitlines(keepends=True)
        return b"".join(line for line in lines if isinstance(segments.parse(line), list))

    def _add(self, entry: Entry, run: _Run) -> None:
        run.entries += 1
        if isinstance(entry, Record) and entry.kind == CLOCK:
            return
        if isinstance(entry, Printed):
            data = bytes(entry.data)  # no copy is made if the data came in one piece
            run.index.add(line_of_output(entry))
            run.raw.add(data)
            if self._cast is not None:
                run.cast.add(self._cast.output(entry.at, data))
        elif entry.kind == "typed":
            run.typed.add(line([round(entry.at, 3), entry.offset, *entry.about]))
        else:
            self._add_record(entry, run)

    def _add_record(self, entry: Record, run: _Run) -> None:
        run.index.add(line([round(entry.at, 3), entry.offset, entry.kind, *entry.about]))
        if entry.kind == "binding":
            self._note_bindings([entry])
        elif self._cast is not None:
            label = " ".join(str(part) for part in (entry.kind, *entry.about) if part != "")
            run.cast.add(self._cast.marker(entry.at, label))

    def _commit(self, run: _Run) -> None:
        """Write a run. The index is written first: it may be ahead of the raw file, but no byte may be in the raw
        file whose binding is not in the index."""
        self._indexed += len(run.index)
        if self._indexed >= ending.BINDING_EVERY and self.binding is not None:
            run.index.add(line([round(time.time(), 3), self.end + len(run.raw), "binding", *self.binding]))
            self._indexed = 0
        parts = {kind: data for kind, data in ((INDEX, run.index), (RAW, run.raw), (CAST, run.cast)) if data}
        typed = {TYPED: run.typed} if run.typed else {}
        if self._files is not None:
            self._files.look((*parts, *typed))
            for kind, data in parts.items():
                self._files.append(kind, data.blocks())
                run.indexed = True
            self.end += len(run.raw)
            for kind, data in typed.items():
                self._files.append(kind, data.blocks())
        self._committed += run.entries
        self._run = _Run()

    # -- when somebody else changes it ----------------------------------------------------------------

    def _leave(self) -> int:
        """Close a segment whose files another program has changed. Returns how many bytes of output are lost with
        that."""
        files = self._files
        if files is None:  # nothing was written, so nobody can have changed it
            return 0
        before, segment = self.end, files.segment
        size = files.leave()
        self.end = self._former if size is None else segment.start + size
        for kind in (INDEX, CAST, TYPED):
            segments.mend(segment.path(kind))
        self._files = self._cast = None
        self._rotated = True
        return max(0, before - segment.start - (size or 0))

    # -- when it cannot be written ------------------------------------------------------------------

    def give_up(self, reason: str) -> Outcome:
        """End the segment where its raw file ends, because something cannot be written. What comes later goes into a
        new segment. Returns the outcome with that reason."""
        if self._files is not None:
            try:
                self._salvage(self._files.segment)
            except OSError as error:
                reason = error.strerror or str(error)
        self._files = self._cast = None
        self._delay = min(RETRY_LAST, 2 * self._delay if self._error or self._retry_at else RETRY_FIRST)
        self._error = reason
        self._retry_at = time.monotonic() + self._delay
        return Outcome(reason, retry_s=self._delay)

    def _salvage(self, segment: Segment) -> None:
        raw = segment.path(RAW)
        size = raw.stat().st_size if raw.is_file() else 0
        if size:
            self.end = segment.start + size
        else:
            self._run.indexed = False
            if self.end == segment.start:
                self._hole -= self.end - self._former
                self.end = self._former
        for path in segment.files() if not size else ():  # a segment without output is of no use
            path.unlink()
        for kind in (INDEX, CAST, TYPED):
            segments.mend(segment.path(kind))

    def _unwritten(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the entries that are in none of the files. Records may be in the index although the output before
        them is not in the raw file."""
        run = self._run.entries if self._run.indexed else 0
        rest: list[Entry] = []
        for number, entry in enumerate(entries[self._committed :]):
            if isinstance(entry, Record):
                if number >= run or entry.kind == "typed":
                    rest.append(entry._replace(offset=max(entry.offset, self.end)))
            elif entry.offset + len(entry.data) > self.end:
                written = max(0, self.end - entry.offset)
                rest.append(Printed(entry.at, entry.offset + written, entry.data[written:]))
        return rest

    def _note_bindings(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if isinstance(entry, Record) and entry.kind == "binding":
                self.binding = Binding(*entry.about) if entry.about else None
