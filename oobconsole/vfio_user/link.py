"""The codec between the keeper and a server: one connection for each port, frames of a kind, a length and a payload.
Sans I/O.

Who says what? The keeper says HELLO. The server answers with ATTACH, which says how much of the output it has. The
keeper says where the output goes on (ATTACHED), and then sends STATE, GAP and OUTPUT as they happen.

What if one of them is older? HELLO has a version. A frame that was added later is only sent to a server that has
asked for it.
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
    INPUT = 2  # bytes that were typed
    BREAK = 3  # a break was typed; no payload
    END = 4  # the keeper is not needed any more, unless a VMM is connected
    # from the keeper
    HELLO = 16  # JSON: version, instance, pid, device, breaks (true: says BREAKS_TAKEN if asked)
    ATTACHED = 17  # NUMBER: offset at which output goes on
    STATE = 18  # JSON: up, reason, retry_s; the first also waiting (bytes of input) and breaks, from a server before
    OUTPUT = 19  # bytes that the guest has printed
    GAP = 20  # NUMBER: how many bytes of output were lost here
    TAKEN = 21  # NUMBER: how many more bytes of input the guest's UART has taken
    BREAKS_TAKEN = 22  # NUMBER: how many more breaks the guest's UART has taken


class Frame(NamedTuple):
    """One frame of the link, taken apart."""

    kind: Kind
    payload: bytes

    @property
    def number(self) -> int:
        """The payload as a NUMBER. Raises `WireError` if it is none."""
        if len(self.payload) != NUMBER.size:
            raise WireError(f"{self.kind.name} with {len(self.payload)} bytes of payload: it has {NUMBER.size}")
        return int(NUMBER.unpack(self.payload)[0])

    @property
    def table(self) -> dict[str, Any]:
        """The payload as a JSON object. Raises `WireError` if it is none."""
        try:
            found = json.loads(self.payload)
        except (ValueError, RecursionError) as error:
            raise WireError(f"{self.kind.name} has a payload that is no JSON: {error}") from error
        if not isinstance(found, dict):
            raise WireError(f"{self.kind.name} has a payload that is no JSON object")
        return found


def encode(kind: Kind, payload: bytes | int | dict[str, Any] = b"") -> bytes:
    """Return the bytes of one frame of this kind, with its payload."""
    if isinstance(payload, int):
        payload = NUMBER.pack(payload)
    elif isinstance(payload, dict):
        payload = json.dumps(payload).encode()
    return _HEADER.pack(kind, len(payload)) + payload


class Decoder:
    """Takes a stream of frames apart."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that the bytes complete. The caller must iterate to the end.

        Raises:
            WireError: the bytes are no frame.
        """
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
