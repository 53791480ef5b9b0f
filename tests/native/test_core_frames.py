"""How `native/core` takes a server's frames apart (`frame.c`), and which frames it refuses."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import PortRange

COM1 = 0x3F8


def parse(library: Path, data: bytes) -> tuple[int, str]:
    parser = ctypes.CDLL(str(library)).oob_frame_parse
    frame, why = ctypes.create_string_buffer(4096), ctypes.c_char_p()
    taken = int(parser(data, ctypes.c_size_t(len(data)), frame, ctypes.byref(why)))
    return taken, (why.value or b"").decode()


def test_the_version_of_a_server_of_another_release(library: Path) -> None:
    """It is found wherever a WELCOME ends, also in one that is shorter or longer than ours."""
    version = ctypes.CDLL(str(library)).oob_frame_version
    version.restype = ctypes.c_uint16
    welcome = bytearray(wire.encode_welcome(0))
    welcome[12:14] = (513).to_bytes(2, "little")
    for length in (14, 15, len(welcome)):
        assert version(bytes(welcome), ctypes.c_size_t(length)) == 513
    assert version(bytes(welcome), ctypes.c_size_t(13)) == 0, "it has not come yet"
    for offset in (2, 8):
        other = bytes(byte ^ (at == offset) for at, byte in enumerate(welcome))
        assert version(other, ctypes.c_size_t(len(other))) == 0, "that is no WELCOME"


GOOD = {
    "welcome": wire.encode_welcome(0x0F, [PortRange(0x3F8, 8, 1 << 4)]),
    "welcome without an interrupt": wire.encode_welcome(0x0F, [PortRange(0xE8, 4, 0)]),
    "answer": wire.encode_answer(1, 1, 2),
    "irq": wire.encode_irq(1, 4, wire.IrqMode.HIGH, 0),
    "attention": wire.encode_attention(1, True),
    "publish": wire.encode_publish(1, 0, COM1, 0, [(1, 0, bytes(8))]),
    "resume": wire.encode_resume(1, COM1, 5),
    "ready": wire.encode_ready(),
}


@pytest.mark.parametrize("name", GOOD)
def test_frames_of_a_server(library: Path, name: str) -> None:
    frame = GOOD[name]
    assert parse(library, frame + b"more") == (len(frame), "")
    assert [parse(library, frame[:n])[0] for n in range(len(frame))] == [0] * len(frame)


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("field", ["length", "flags", "context"])
def test_a_header_that_does_not_fit(library: Path, name: str, field: str) -> None:
    frame = bytearray(GOOD[name])
    if field == "length":
        frame[0] += 8
    elif field == "flags":
        frame[3] = 1
    else:
        frame[4] ^= 1
    taken, why = parse(library, bytes(frame) + bytes(16))
    assert taken == -1
    about = {
        "length": "not the length",
        "flags": "flags set",
        "context": "names a guest" if frame[4] else "which guest",
    }
    assert about[field] in why


@pytest.mark.parametrize(
    ("name", "offset", "value", "words"),
    [
        ("welcome", 8, 0, "no oobconsole server"),
        ("welcome", 12, 99, "another version of the protocol"),
        ("welcome", 14, 0, "fields of a range that it does not count"),  # a range that is not meant
        ("welcome", 14, 2, "a range without ports"),  # one that is nothing
        ("welcome", 14, 33, "more ranges of ports"),
        ("welcome", 24 + 2, 0, "a range without ports"),  # of no ports
        ("welcome", 24 + 3, 0xFF, "a range without ports"),
        ("welcome", 24 + 6, 0, "access widths"),
        ("welcome", 24 + 6, 8, "access widths"),
        ("welcome", 20, 1, "its WELCOME has bits set that are reserved"),
        ("irq", 8, 16, "an interrupt line above 15"),
        ("irq", 9, 3, "a mode that does not exist"),
        ("irq", 10, 1, "an IRQ frame has bits set"),
        ("attention", 8, 2, "says neither 0"),
        ("attention", 12, 1, "an ATTENTION frame has bits set"),
        ("publish", 18, 0, "another number of images"),
        ("publish", 18, 18, "another number of images"),
        ("publish", 19, 1, "a PUBLISH frame has bits set"),
        ("resume", 10, 1, "a RESUME frame has bits set"),
        ("resume", 12, 1, "a RESUME frame has bits set"),
        ("ready", 2, 0x7F, "a type that no server may send"),
    ],
)
def test_fields_that_a_server_may_not_send(library: Path, name: str, offset: int, value: int, words: str) -> None:
    frame = bytearray(GOOD[name])
    frame[offset] = value
    taken, why = parse(library, bytes(frame))
    assert taken == -1
    assert words in why
