"""What has to be true of whatever a front sends to the core, found by fuzzing."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from oobconsole.errors import FrontError
from oobconsole.front import frames
from oobconsole.front.frames import FRONT_SIZES, Decoder, Frame, FromFront

#: What takes the content of a kind apart; the others have none, or have what is taken apart by a struct.
CONTENTS: Final[dict[int, Any]] = {
    FromFront.READY: frames.as_texts,
    FromFront.LOGIN: frames.as_login,
    FromFront.REFUSED: lambda content: frames.some_texts(content, 4),
    FromFront.ASK_KEYS: frames.as_text,
    FromFront.OPEN: frames.as_opening,
    FromFront.INPUT: frames.as_input,
    FromFront.SIZE: frames.as_size,
    FromFront.CREDIT: frames.as_count,
    FromFront.DISMISS: frames.as_text,
    FromFront.SIGNAL: frames.as_text,
}


def check(stream: bytes, size: int) -> None:
    """The same frames and the same error, whatever the pieces; nothing is kept that has not come; and every content
    is understood, or is an error of the front's.

    Args:
        size: of the pieces that the stream comes in.
    """
    whole, pieces = read(stream, len(stream) or 1), read(stream, size)
    assert whole == pieces, (whole, pieces)
    for frame in whole[0]:
        least, most = FRONT_SIZES[frame.kind]
        assert least <= len(frame.content) <= most
        with contextlib.suppress(FrontError):
            CONTENTS.get(frame.kind, bytes)(frame.content)


def read(stream: bytes, size: int) -> tuple[list[Frame], str]:
    """The frames of a stream that comes in pieces of `size` bytes, and why it was refused; empty: it was not."""
    decoder, found = Decoder(FRONT_SIZES), list[Frame]()
    try:
        for at in range(0, len(stream), size):
            decoder.feed(stream[at : at + size])
            found += iter(decoder.next, None)
            assert decoder.waiting <= at + size
    except FrontError as error:
        return found, str(error)
    return found, ""
