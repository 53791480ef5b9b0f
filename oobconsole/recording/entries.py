"""What a recording consists of: output, and records of anything else. And how these stand in an index."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

#: The kind of a record that is written to no file. It says by which clock the times behind it are
#: (`clock.Reading.booted`).
CLOCK: Final = "clock"


@dataclass(slots=True)
class Printed:
    """Output.

    Attributes:
        at: when it began to come, in seconds since 1970.
        offset: the offset of its first byte.
        data: the bytes.
    """

    at: float
    offset: int
    data: bytes | bytearray


class Record(NamedTuple):
    """Anything else than output. It goes into the index, or, if `kind` is `typed`, into the file of what was typed.

    Attributes:
        at: when it happened, in seconds since 1970.
        offset: at which place of the output.
        kind: what it is, such as `state` or `binding`.
        about: the fields that stand behind the kind.
    """

    at: float
    offset: int
    kind: str
    about: tuple[Any, ...] = ()


Entry = Printed | Record


class Binding(NamedTuple):
    """Which context the output of a console comes from.

    Attributes:
        instance: the random number of the native half, as HELLO has it.
        number: the number of the context.
        base: the offset at which the server's count of the context's output is 0 (RESUME in docs/wire-protocol.md).
    """

    instance: int
    number: int
    base: int


#: The encoder is made once, because `json.dumps` with these options would make one for every line.
_encoder: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def line(value: object) -> bytes:
    """Return a value as one line of JSON. Characters that are no Unicode are replaced."""
    return _encoder.encode(value).encode("utf-8", "replace") + b"\n"


def line_of_output(entry: Printed) -> bytes:
    """Return what `line` makes of [time, offset], in an eighth of the time: a guest that prints needs thousands of
    these lines in a second. JSON writes numbers as Python does."""
    return b"[%r,%d]\n" % (round(entry.at, 3), entry.offset)
