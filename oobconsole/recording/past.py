"""Reads what a new server must know of the output that a console printed before. It blocks, so it runs in threads."""

from __future__ import annotations

from typing import Final, NamedTuple

from oobconsole.console.console import NEW_GUEST
from oobconsole.console.states import ENDED
from oobconsole.recording.frames import with_next
from oobconsole.recording.segments import INDEX, Segment, is_record, parse, tail
from oobconsole.terminal.safe import SILENCE_SECONDS

#: In how many bytes of an index silences are looked for. The number is small, so that a server with a thousand
#: consoles starts soon.
_TAIL: Final = 1 << 15
_ENDED: Final = tuple(state.name.lower() for state in ENDED)


class Past(NamedTuple):
    """What a new server must know of a console's earlier output.

    Attributes:
        begun: where the output of other guests begins, as in `Console.begun`.
        silences: the offset of the first byte after each silence.
        ended: whether the last guest has ended, as far as is known.
    """

    begun: tuple[tuple[int, float], ...] = ()
    silences: tuple[int, ...] = ()
    ended: bool = False


def past(found: list[Segment], start: int) -> Past:
    """Return what these segments say about the output from that offset on."""
    begun, ended = [], False
    for segment, after in with_next(found):
        if after is None or after.start >= start:
            for at, offset, _, *about in segment.noted("state"):
                ended = about[:1] in ([name] for name in _ENDED)
                if offset >= start and about == ["live", NEW_GUEST]:
                    begun.append((offset, float(at)))
    return Past(tuple(begun), _silences(found[-1], start) if found else (), ended)


def _silences(segment: Segment, start: int) -> tuple[int, ...]:
    """Return the latest offsets of bytes after a silence in a segment, from the offset `start` on."""
    found, last = [], None
    for line in tail(segment.path(INDEX), _TAIL).splitlines(keepends=True):
        record = parse(line)
        if is_record(record) and len(record) == 2:
            at, offset = record
            if last is not None and at - last >= SILENCE_SECONDS and offset >= start:
                found.append(offset)
            last = at
    return tuple(found)
