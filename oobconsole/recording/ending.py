"""Where does the recording of a console end? This is asked when a server starts that goes on with a recording."""

from __future__ import annotations

from typing import Any, Final

from oobconsole.recording import segments
from oobconsole.recording.entries import Binding
from oobconsole.recording.segments import INDEX, RAW, Segment

#: In every so many bytes of an index the binding stands at least once, so that a restart has to read no more.
BINDING_EVERY: Final = 32768


def binding_of(segment: Segment, header: dict[str, Any]) -> Binding | None:
    """Return the last binding in the end of the index. If the index is short, the header may have it."""
    end = segments.tail(segment.path(INDEX), 2 * BINDING_EVERY)
    for line in reversed(end.splitlines(keepends=True)):
        found = segments.parse(line)
        if isinstance(found, list) and found[2:3] == ["binding"]:
            return Binding(*found[3:6]) if len(found) == 6 and all(isinstance(n, int) for n in found[3:6]) else None
    told = header.get("binding") if len(end) < 2 * BINDING_EVERY else None
    return Binding(*told) if isinstance(told, list) and len(told) == 3 else None


def last_time(segment: Segment) -> float:
    """Return the time of the last whole record in a segment's index, in seconds since 1970; 0: there is none."""
    for line in reversed(segments.tail(segment.path(INDEX), BINDING_EVERY).splitlines(keepends=True)):
        found = segments.parse(line)
        if isinstance(found, list) and found and isinstance(found[0], int | float):
            return float(found[0])
    return 0.0


def length(segment: Segment) -> int:
    """Return how many bytes of output a segment has, by reading its raw file, which may be compressed."""
    file = segment.open(RAW)
    if file is None:
        return 0
    with file:
        return sum(len(part) for part in iter(lambda: file.read(1 << 18), b""))
