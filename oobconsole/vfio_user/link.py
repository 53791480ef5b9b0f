"""Between the keeper and a server: one connection for each port, frames of a kind, a length and a payload. Sans I/O.

The keeper says HELLO; the server answers ATTACH with what it has of the output; the keeper says from where it goes on
(ATTACHED), then STATE, GAP and OUTPUT as they happen. A keeper may be older than its server, and a server older than
its keeper: HELLO has a version, and what was added since is only said to who has asked for it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Any, Final, NamedTuple

from oobconsole.errors import WireError

VERSION: Final = 1
_HEADER: Final = Struct("<BI")
NUMBER: Final = Struct("<Q")
PAYLOAD_MAX: Final = 65536


class Kind(IntEnum):
    """The kinds of frames, and what their payloads are."""

    # to the keeper
    ATTACH = 1  # JSON: port, have (bytes of its output that are known, or null), breaks (true: say BREAKS_TAKEN)
    INPUT = 2
    BREAK = 3
    END = 4  # the keeper is not needed any more, unless a VMM is connected
    # from the keeper
    HELLO = 16  # JSON: version, instance, pid, device, breaks (true: says BREAKS_TAKEN if asked)
    ATTACHED = 17  # NUMBER: offset at which output goes on
    STATE = 18  # JSON: up, reason, retry_s; the first also waiting (bytes of input) and breaks, from a server before
    OUTPUT = 19
    GAP = 20  # NUMBER: so many bytes were lost here
    TAKEN = 21  # NUMBER: so many bytes of input are with the guest
    BREAKS_TAKEN = 22  # NUMBER: the same of breaks


class Frame(NamedTuple):
    """One frame of the link, taken apart."""

    kind: Kind
    payload: bytes

    @property
    def number(self) -> int:
        """The payload as a NUMBER. Raises `WireError` when it is none."""
        if len(self.payload) != NUMBER.size:
            raise WireError(f"{self.kind.name} with {len(self.payload)} bytes of payload: it has {NUMBER.size}")
        return int(NUMBER.unpack(self.payload)[0])

    @property
    def table(self) -> dict[str, Any]:
        """The payload as a JSON object. Raises `WireError` when it is none."""
        try:
            found = json.loads(self.payload)
        except (ValueError, RecursionError) as error:
            raise WireError(f"{self.kind.name} has a payload that is no JSON: {error}") from error
        if not isinstance(found, dict):
            raise WireError(f"{self.kind.name} has a payload that is no JSON object")
        return found


def encode(kind: Kind, payload: bytes | int | dict[str, Any] = b"") -> bytes:
    """The bytes of one frame of this kind, with its payload."""
    if isinstance(payload, int):
        payload = NUMBER.pack(payload)
    elif isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    return _HEADER.pack(kind, len(payload)) + payload


class Decoder:
    """A stream of frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take what was read; the iterator is to be used up. Raises `WireError` for what is no frame."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            kind, size = _HEADER.unpack_from(self._buffer)
            if kind not in Kind._value2member_map_ or size > PAYLOAD_MAX:
                raise WireError(
                    f"a frame of kind {kind} with {size} bytes: no such kind, or more than {PAYLOAD_MAX} bytes"
                )
            end = _HEADER.size + size
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield Frame(Kind(kind), payload)
