"""Decides what becomes of closed segments: they are compressed, and removed when they are too many or too old.

The last segment of a console is being written, and is left alone. It blocks, so it runs in a thread of its own, at a
low priority.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from oobconsole.config.schema import RecordingConfig
from oobconsole.recording.segments import GZ, INDEX, KINDS, RAW, Segment, is_ours, segments
from oobconsole.recording.segments import remove as remove_file
from oobconsole.recording.transcript import shifts

log = structlog.get_logger(__name__)

_SLICE: Final = 1 << 18
#: The level of compression. Level 6 takes three times as long, and saves only some percent.
_LEVEL: Final = 4
_UNFINISHED: Final = ".new"


#: A file that is older than this program (before `_FIRST`, in seconds since 1970), or from the future (by more than
#: `_AHEAD` seconds), was written while the clock was wrong.
_FIRST: Final = 1_700_000_000
_AHEAD: Final = 86400


class Run(NamedTuple):
    """What the present server has written of a console. That cannot be older than the server, whatever its clock was.

    Attributes:
        began: the offset of its first byte.
        seconds: for how long the server has run, by a clock that nobody sets.
    """

    began: int
    seconds: float


def tidy(
    folder: Path,
    settings: RecordingConfig,
    stopping: Callable[[], bool],
    *,
    run: Run | None = None,
    gone: bool = False,
) -> None:
    """Do what is due for the recording of one console, or stop when `stopping` returns true. Raises `OSError`.

    Args:
        folder: the folder of the recording.
        settings: the limits.
        stopping: returns whether to stop.
        run: what the present server has written; None: nothing.
        gone: whether the console is gone. Then nothing more is written, so the last segment is a closed one, too.
    """
    found = segments(folder)
    closed = found if gone else found[:-1]
    old = closed[: _to_go(closed, folder, settings, run)]
    for segment in old:
        remove(segment)
    if old:
        log.info("old recordings removed: keep_mib or keep_days", folder=str(folder), segments=len(old),
                 first=old[0].start, last=old[-1].start)  # fmt: skip
    for segment in closed:
        compress(segment, stopping)
    if gone and old and len(old) == len(found):  # only then: an empty folder may be anybody's
        with contextlib.suppress(OSError):  # somebody else has put something into the folder
            folder.rmdir()


def _to_go(closed: list[Segment], folder: Path, settings: RecordingConfig, run: Run | None) -> int:
    """Return how many of the oldest segments must be removed, because they are too old or too large together."""
    sizes = [sum(path.stat().st_size for path in segment.files()) for segment in closed]
    total = _size(folder)
    gone = 0
    for size, age in zip(sizes, _ages(closed, run), strict=True):
        if total <= settings.keep_mib << 20 and age <= settings.keep_days * 86400:
            break
        total -= size
        gone += 1
    return gone


def _ages(closed: list[Segment], run: Run | None) -> list[float]:
    """Return the age of each closed segment in seconds, by the clock as it is set now, as far as it is known how the
    clock was set then.

    What if the clock was wrong? A segment whose time cannot be right counts as old as the segment behind it, or as
    new. No segment is older than what was recorded before it, so a clock that was behind, but looked right, makes
    none older.
    """
    now, ages, age = time.time(), [], 0.0
    for segment, shift in reversed([*zip(closed, shifts(closed), strict=True)]):
        ended = _ended(segment) + shift
        if _FIRST <= ended <= now + _AHEAD:
            age = now - ended
        ages.append(min(age, run.seconds) if run is not None and segment.start >= run.began else age)
    return [*itertools.accumulate(ages[::-1], min)]


def _size(folder: Path) -> int:
    """Return how many bytes the recording's files in a folder have. A file may vanish meanwhile. Files of others do
    not count, because the recording would have to go for them."""
    total = 0
    with os.scandir(folder) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError):
                total += entry.stat(follow_symlinks=False).st_size if is_ours(entry.name) else 0
    return total


def _ended(segment: Segment) -> float:
    """Return when a segment was written last, in seconds since 1970. Compression keeps that time."""
    return max((path.stat().st_mtime for path in segment.files()), default=0.0)


def remove(segment: Segment) -> None:
    """Remove a segment's files, the index last: without a raw file it counts as no segment."""
    for path in sorted(segment.files(), key=lambda path: INDEX in path.suffixes):
        remove_file(path)


def compress(segment: Segment, stopping: Callable[[], bool]) -> None:
    """Compress each file of a segment, the raw file last. The compressed file is on the disk before the other is
    removed.
    """
    for kind in sorted(KINDS, key=lambda kind: kind == RAW):
        plain = segment.path(kind)
        if plain.is_file() and not stopping():
            compress_file(plain, stopping)


def compress_file(plain: Path, stopping: Callable[[], bool]) -> None:
    """Put a compressed file in the place of `plain`, unless `stopping` comes first."""
    fresh = plain.with_name(plain.name + GZ + _UNFINISHED)
    remove_file(fresh)  # a crash has left it, or it is a FIFO of somebody's, at which we would wait
    try:
        with plain.open("rb") as source, open(fresh, "wb", opener=_private) as target:
            with gzip.GzipFile(filename=plain.name, mode="wb", compresslevel=_LEVEL, fileobj=target) as packed:
                while part := source.read(_SLICE):
                    packed.write(part)
                    if stopping():
                        raise InterruptedError(errno.EINTR, "the server stops")
            target.flush()
            os.fsync(target.fileno())
            status = os.fstat(source.fileno())
        os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
        fresh.replace(plain.with_name(plain.name + GZ))
    except BaseException:
        remove_file(fresh)
        raise
    plain.unlink()


def _private(path: str, flags: int) -> int:
    """Open a new file that only its owner may read and write."""
    return os.open(path, flags | os.O_EXCL | os.O_NOFOLLOW, 0o600)
