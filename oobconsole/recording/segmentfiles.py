"""Appends to the files of one segment, and notices what other programs do to them. It blocks, so it runs in a thread.

How can a change be noticed? No file is kept open, so a file that was cut, replaced, renamed or removed looks like any
other. Each file is known by its device, its inode, and the size with which we have left it. One system call compares
these before anything is appended. A file that was changed in place and kept its size is not noticed.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from oobconsole.recording.segments import RAW, Segment

#: O_NONBLOCK: another program may have put a FIFO there that nobody reads.
_OLD: Final = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_NEW: Final = _OLD | os.O_CREAT | os.O_EXCL


class Changed(Exception):
    """Another program has changed a file of the segment. The message says which file, and how."""


class _Known(NamedTuple):
    """What a file was like after we had written to it last."""

    device: int
    inode: int
    size: int


class SegmentFiles:
    """The files of the segment that is being written."""

    __slots__ = ("_known", "_paths", "segment")

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self._known: dict[str, _Known] = {}
        self._paths: dict[str, Path] = {}  # kept: making the twelve paths of a small write took half its time

    def _path(self, kind: str) -> Path:
        path = self._paths.get(kind)
        if path is None:
            path = self._paths[kind] = self.segment.path(kind)
        return path

    def go_on_with(self, kinds: Iterable[str]) -> None:
        """Take the files of these kinds as they are: a server before this one has written them. Raises `OSError`."""
        for kind in kinds:
            with contextlib.suppress(FileNotFoundError):
                self._known[kind] = _known(os.lstat(self._path(kind)))

    def make(self, kind: str, *blocks: bytes) -> None:
        """Begin a file with these blocks. A file that is there already holds nothing that is needed, and goes. Raises
        `OSError`."""
        path = self._path(kind)
        try:
            path.unlink(missing_ok=True)
        except (IsADirectoryError, PermissionError):  # unlink(2) has these two errors for a folder
            self._move_away(kind)
        self._append(kind, blocks, os.open(path, _NEW, 0o600))

    def append(self, kind: str, blocks: Iterable[bytes]) -> None:
        """Add blocks to the end of a file. If the segment has no file of that kind, the file is begun.

        What if the disk takes only a part? Output is kept as far as the disk has taken it. Any other file gets all of
        the blocks or, if the disk lets us cut the file, none of them.

        Raises:
            OSError: it cannot be written.
            Changed: another program has changed the file since `look`.
        """
        if kind not in self._known:
            self.make(kind, *blocks)
            return
        descriptor = os.open(self._path(kind), _OLD)
        try:
            self._compare(kind, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        self._append(kind, blocks, descriptor)

    def _append(self, kind: str, blocks: Iterable[bytes], descriptor: int) -> None:
        try:
            before = os.fstat(descriptor).st_size
            try:
                for block in blocks:
                    view = memoryview(block)
                    while view:
                        view = view[os.write(descriptor, view) :]
            except OSError:
                if kind != RAW:
                    with contextlib.suppress(OSError):
                        os.ftruncate(descriptor, before)
                raise
            self._known[kind] = _known(os.fstat(descriptor))
        finally:
            os.close(descriptor)

    # -- what others do -----------------------------------------------------------------------------

    def look(self, kinds: Iterable[str]) -> None:
        """Check that these files are as we have left them.

        Raises:
            Changed: another program has changed one of them.
            OSError: nobody can tell.
        """
        for kind in kinds:
            if kind in self._known:
                try:
                    found = os.lstat(self._path(kind))
                except (FileNotFoundError, NotADirectoryError):
                    raise Changed(f"{self._path(kind).name} was removed or renamed") from None
                self._compare(kind, found)

    def _compare(self, kind: str, found: os.stat_result) -> None:
        known = self._known[kind]
        if stat.S_ISREG(found.st_mode) and _known(found) == known:
            return
        name = self._path(kind).name
        if not stat.S_ISREG(found.st_mode):
            raise Changed(f"something that is no file lies in the place of {name}")
        if (found.st_dev, found.st_ino) != known[:2]:
            raise Changed(f"{name} was replaced by another file, of {found.st_size} bytes where {known.size} were")
        if found.st_size != known.size:
            raise Changed(f"{name} has {found.st_size} bytes where {known.size} were written")

    def leave(self) -> int | None:
        """Make a closed segment of the files that can be read, whatever was done to them. Returns the size of the raw
        file, or None if there can be no raw file, for example because the folder is gone.

        What is no file is renamed. A file that has become longer is cut, because the rest is not the guest's. If the
        raw file is gone, an empty one takes its place: the other files still have the times, and the asciicast has
        what was printed.
        """
        for kind, known in self._known.items():
            path = self._path(kind)
            with contextlib.suppress(OSError):  # readers skip what cannot be put right
                found = os.lstat(path)
                if not stat.S_ISREG(found.st_mode):
                    self._move_away(kind)
                elif found.st_size > known.size:
                    os.truncate(path, known.size)
        path = self._path(RAW)
        with contextlib.suppress(OSError):
            os.close(os.open(path, _OLD | os.O_CREAT, 0o600))
        return path.stat().st_size if path.is_file() else None

    def _move_away(self, kind: str) -> None:
        path = self._path(kind)
        path.rename(path.with_name(f"{path.name}.not-ours-{time.monotonic_ns()}"))


def _known(found: os.stat_result) -> _Known:
    return _Known(found.st_dev, found.st_ino, found.st_size)
