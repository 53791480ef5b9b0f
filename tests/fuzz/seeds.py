"""What fuzzing begins with: streams that have every kind of frame, made by the codecs as they are now.

    python -m tests.fuzz.seeds FOLDER

A fuzzer hardly finds a right frame by chance. When the wire changes, so do these streams; the inputs that were kept
before the change are then mostly refused at their first frame.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from oobconsole.front import frames
from oobconsole.front.frames import FromFront, Opening
from oobconsole.interceptors import wire
from tests.support import native_half

_RANGES: Final = (wire.PortRange(0x3F8, 8, 1 << 4, 1, 0x8F), wire.PortRange(0x60, 1, 0, 3, 0))
_IMAGES: Final = [(0x7F, 1, bytes(range(8))), (0x20, 0, bytes(8))]

#: From a server to a native half.
SERVER: Final = (
    wire.encode_welcome(native_half.ALL_CAPABILITIES, _RANGES),
    wire.encode_resume(1, 0x3F8, 70_000),
    wire.encode_ready(),
    wire.encode_publish(1, 0, 0x3F8, 0, _IMAGES),
    wire.encode_publish(1, 9, 0x3F8, 3, _IMAGES[:1] * wire.IMAGES_MAX),
    wire.encode_answer(1, 1, 0x60),
    *(wire.encode_irq(1, 4, mode, 2) for mode in wire.IrqMode),
    *(wire.encode_attention(1, attended) for attended in (True, False)),
)

#: At a limit or just beyond it: the last ports there are, all widths, one image and the most there can be, a WELCOME
#: whose version is just about known, and kinds that a server does not send.
SERVER_AT_LIMITS: Final = (
    *(wire.encode_welcome(0, [wire.PortRange(first, 8, 0, 1)]) for first in (0xFFF8, 0xFFF9)),
    *(wire.encode_welcome(0, [wire.PortRange(0x3F8, 8, 0, widths)]) for widths in (7, 8)),
    *(wire.encode_publish(1, 0, 0x3F8, 0, _IMAGES[:1] * count) for count in (0, 1, wire.IMAGES_MAX + 1)),
    *(wire.encode_welcome(0)[:length] for length in (13, 14)),
    *(wire.HEADER.pack(length, kind, 0, 1) for length in (1, 8) for kind in (0x01, 0x88)),
)

#: From a native half to a server.
NATIVE: Final = (
    wire.encode_hello("l1", 7, native_half.ALL_CAPABILITIES, ranges=[one._replace(posted=0) for one in _RANGES]),
    native_half.appeared(1),
    native_half.appeared(2),
    native_half.announced(),
    native_half.access(1),
    native_half.access(2, size=2, direction=1, value=0x4142),
    native_half.posted(b"login: "),
    native_half.read_served(1, 1, value=0x0D),
    native_half.gap(2, 1000),
    native_half.stats(1, 2, 3),
    *(native_half.gone(context, reason) for context, reason in zip((1, 2), wire.GoneReason, strict=False)),
)

_CONTENTS: Final[Mapping[FromFront, bytes]] = {
    FromFront.READY: frames.texts("Landlock", "seccomp"),
    FromFront.LOGIN: frames.login(0.5, "alice", "ED25519 key", "192.0.2.1"),
    FromFront.REFUSED: frames.texts("mallory", "192.0.2.2", "no key", "password"),
    FromFront.ASK_KEYS: b"alice",
    FromFront.OPEN: frames.opening(1, Opening("log web1", False, "xterm", 24, 80, "OpenSSH_9.2")),
    FromFront.INPUT: frames.typed(1, 1.5, b"ls\r")[frames.HEADER.size :],
    FromFront.SIZE: frames.size(50, 132),
    FromFront.CREDIT: frames.count(65536),
    FromFront.PONG: frames.count(3),
    FromFront.DISMISS: b"revoked",
    FromFront.BREAK: frames.status(1),
    FromFront.SIGNAL: b"TERM",
}

#: From a front to the core.
FRONT: Final = tuple(frames.frame(kind, 1, _CONTENTS.get(kind, b"")) for kind in FromFront)


def _streams(whole: tuple[bytes, ...], first: bytes) -> list[bytes]:
    """All frames as one stream, and each alone, behind the frame without which nothing else is understood."""
    return [b"".join(whole), *(first + frame for frame in whole)]


#: For each target, the inputs.
SEEDS: Final[Mapping[str, list[bytes]]] = {
    "frame": [*_streams(SERVER, b""), *SERVER_AT_LIMITS],
    "wire": [b"\x0f" + stream for stream in _streams(NATIVE, NATIVE[0] + NATIVE[1])],
    "front": [b"\x0f" + stream for stream in _streams(FRONT, b"")],
}


def main(folder: Path) -> None:
    """Write the inputs of each target into a folder of the target's name."""
    for target, inputs in SEEDS.items():
        (folder / target).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (folder / target / f"seed-{number}").write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
