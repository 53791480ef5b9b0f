"""Output that is read from somewhere in its middle: of a string that a limit cuts, nothing is shown."""

from __future__ import annotations

import asyncio
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oobconsole.client.transcript import Transcript
from oobconsole.console import output as output_module
from oobconsole.console.console import Console
from oobconsole.console.textscreen import TextScreen
from oobconsole.recording.frames import Frame, Part
from oobconsole.session.lastline import last_line, text_from
from oobconsole.session.searching import Lines
from oobconsole.terminal.plain import PlainLines
from oobconsole.terminal.safe import SafeFilter
from tests.support.clock import Clock, stopped

STRINGS = [
    b"\x1b]1337;File=:" + b"QUJD" * 50_000 + b"\x07",
    b"\x1bPq" + b"#0~~@@" * 20_000 + b"\x1b\\",
    b"\x1b]0;" + b"title" * 20_000 + b"\x1b\\",
    b"\x90" + b"dcs" * 30_000 + b"\x9c",
    b"\x1b_G" + b"kitty " * 20_000 + b"\x1b\\",
]


@pytest.mark.parametrize("string", STRINGS, ids=lambda string: repr(string[:6]))
@pytest.mark.parametrize("left", [1, 100, 4095, 4096, 4097, 65_535, 65_537])
async def test_the_last_line_is_no_string(string: bytes, left: int) -> None:
    """faults.md 14: `ls` looks at the last 4096 bytes, and showed what they are the end of."""
    console = Console("web1", scrollback=1 << 20)
    console.output(b"before\r\nlogin: " + string[: len(string) - min(left, len(string) - 1)])
    assert await last_line(console) in ("login:", "")  # as far as it looks
    console.output(string[len(string) - min(left, len(string) - 1) :])
    assert await last_line(console) in ("login:", "")
    console.output(b"root")
    assert await last_line(console) in ("login: root", "root")
    for offset in (len(b"before\r\nlogin: ") + 5, console.end - 6, console.end - 4):
        assert await text_from(console, offset) == "root"


async def test_progress_without_an_end_is_a_last_line() -> None:
    console = Console("web1", scrollback=1 << 20)
    console.output(b"".join(b"\r%d %%" % (number % 100) for number in range(100_000)))
    assert await last_line(console) == "99 %"


@pytest.mark.parametrize("string", STRINGS, ids=lambda string: repr(string[:6]))
def test_a_filter_goes_on_in_the_middle(string: bytes) -> None:
    whole = b"text" + string + b"more\r\n"
    for at in range(5, len(whole), 9973):
        safe, lines = SafeFilter(), PlainLines()
        safe.resume(whole[:at])
        lines.resume(whole[:at])
        assert safe.feed(whole[at:]) == b"more\r\n"
        assert lines.feed(whole[at:]) == "more\n"


HOSTILE = [
    b"\x80\xc3\x00",
    b"\x05a",
    b"a\x80",
    b"\x9b\x00m",
    b"\x9b1;2",
    b"\x9d\x07",
    b"\x9dx\x9c",
    b"\xc3\x28\xa0\xe1",
    b"\xe1\x80a",
    b"\xf1\x80\x80",
    b"\x9b\xc2\x9b\xe0",
    b"\x90\xc2\x90\xe2\x9c",
    b"\x9b" + b"1" * 300 + b"m\x85",
    b"\xc2\x9d\xc3\x9c\xc2\x9c",
]


@pytest.mark.parametrize("pattern", HOSTILE, ids=repr)
def test_where_it_goes_on_costs_few_steps_whatever_was_printed(pattern: bytes) -> None:
    """A guest that prints noise without a line feed makes nobody wait who comes, and no row of `ls`."""
    before = pattern * ((1 << 20) // len(pattern))
    safe = SafeFilter()
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event.endswith("call")

    sys.setprofile(count)
    try:
        safe.resume(before)
    finally:
        sys.setprofile(None)
    assert calls < 50


PIECES = st.sampled_from(
    [
        *(bytes((byte,)) for byte in range(256) if byte != 0x0A),
        *(b"\x1b[", b"\x1b]", b"\x1bP", b"\x1b\\", b"\x9d", b"\x90", b"\x9c", b"\xc2\x9b", b"\xc2\x9d", b"\xc2\x9c"),
        *("é".encode(), "本".encode(), "🖥".encode(), b"\xe6\x9c", b"\xf0\x9f\x96", b"1;2", b"text", b"\x1b(0"),
    ]
)


@given(st.lists(PIECES, max_size=40), st.lists(PIECES, max_size=20), st.booleans())
@settings(max_examples=2_000, deadline=None)
def test_who_goes_on_knows_what_a_filter_knows_that_read_everything(
    before: list[bytes], behind: list[bytes], strict: bool
) -> None:
    whole, went_on = SafeFilter(strict=strict), SafeFilter(strict=strict)
    whole.feed(b"\n" + b"".join(before))
    went_on.resume(b"\n" + b"".join(before))
    assert went_on.feed(b"".join(behind)) == whole.feed(b"".join(behind))
    assert went_on.at_rest == whole.at_rest


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Of a console."""
    return stopped(monkeypatch, output_module)


async def test_a_string_without_an_end_is_over_after_a_silence(clock: Clock) -> None:
    """A guest was reset in the middle of one: what the next one prints is text, wherever it is read."""
    console = Console("web1", scrollback=4096)
    screen = TextScreen(console)
    for number in range(1, 4):
        console.output(b"\x1b]0;a title")
        clock.now += 2
        console.output(b"SeaBIOS %d" % number)
        clock.now += 0.1
        console.output(b" is here ")
        assert (await last_line(console)).endswith(f"SeaBIOS {number} is here")
        assert await text_from(console, console.end - 18) == f"SeaBIOS {number} is here "
        assert (await text_from(console, console.end - 20)).endswith(f"SeaBIOS {number} is here ")
        await asyncio.wait_for(screen.redraw(), 60)
        assert screen.terminal.text[0].rstrip().endswith(f"SeaBIOS {number} is here")
        assert "title" not in screen.terminal.text[0]


async def test_who_comes_after_a_silence_is_in_the_middle_of_nothing(clock: Clock) -> None:
    """The echo of what somebody types first is no part of what a guest printed last, hours ago."""
    console = Console("web1", scrollback=4096)
    console.output(b"\x1b]0;a title")
    assert console.before(console.end)
    clock.now += 2
    assert not console.before(console.end)
    console.output(b"typed")
    assert not console.before(console.end - 5)
    assert console.before(console.end) == b"typed"


def test_the_same_in_a_recording() -> None:
    frames = [
        Frame(1.0, Part(0, b"one\r\n\x1b]0;a ti")),
        Frame(1.5, Part(13, b"tle")),
        Frame(4.0, Part(16, b"SeaBIOS"), 1.0),
        Frame(4.1, Part(23, b" is here\r\n"), 1.0),
        Frame(4.2, Part(40, b"behind a hole"), 1.0),
    ]
    assert [line.text for line in Lines().of(iter(frames))] == ["one", "SeaBIOS is here", "behind a hole"]
    assert [line.text for line in Lines(b"\x1b]0;title").of(iter(frames[1:2]))] == [""]


def test_the_same_at_a_client() -> None:
    now = 0.0
    transcript = Transcript(lambda: now)
    transcript.feed(b"a\x1b]0;title")
    now = 0.5
    transcript.feed(b"more")
    assert transcript.text == "a"
    now = 2.0
    transcript.feed(b"login: ")
    assert transcript.text == "alogin: "
