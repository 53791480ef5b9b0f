"""Our own questions: what is an answer, and what becomes of what came with it."""

from __future__ import annotations

import asyncio

import pytest

from oobconsole.session import keyboard
from oobconsole.session.board import Board
from oobconsole.session.escape import Command, EscapeFilter
from oobconsole.session.prompt import Keys, PeerPrompt
from oobconsole.terminal.model import Terminal
from tests.support.aio import soon
from tests.unit.session.fakes import FakePeer

TEXT = b"do not reboot, ticket 4711 https://x/y;z"


async def line(*packets: bytes) -> tuple[str | None, bytes, FakePeer]:
    """The answer, and what is left for the guest."""
    peer = FakePeer(*packets)
    keys = Keys(peer, PeerPrompt(peer))
    answer = await soon(keys.ask_line("message:"))
    return answer, keys.rest() + keys.take_reports(), peer


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
@pytest.mark.parametrize(
    ("pasted", "expected"),
    [(TEXT, TEXT.decode()), (b"first line\rreboot\r", "first line reboot "), (b"a\x1b[Bb", "a [Bb")],
)
async def test_a_paste_is_the_text_of_a_line(pasted: bytes, expected: str, size: int) -> None:
    """faults.md 9: the message is what was pasted, and the guest gets nothing of it."""
    whole = b"\x1b[200~" + pasted + b"\x1b[201~"
    cut = [whole[at : at + size] for at in range(0, len(whole), size)]
    answer, left, _ = await line(*cut, b"\r")
    assert (answer, left) == (expected, b"")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("csi", [b"\x9b", b"\xc2\x9b"])
async def test_a_paste_with_marks_of_c1_is_the_text_of_a_line(csi: bytes, size: int) -> None:
    """faults.md 9, a variation: xterm behind S8C1T."""
    whole = csi + b"200~first line\rreboot\r" + csi + b"201~"
    cut = [whole[at : at + size] for at in range(0, len(whole), size)]
    answer, left, _ = await line(*cut, b"\r")
    assert (answer, left) == ("first line reboot ", b"")


@pytest.mark.parametrize(
    "keys", [(b"\x9bA",), (b"\xc2\x9b", b"A"), (b"\xc2", b"\x9bA"), (b"\x8fA",), (b"\xc2\x8fA",)]
)
async def test_a_key_of_c1_cancels_as_any_other_does(keys: tuple[bytes, ...]) -> None:
    """faults.md 9, a variation."""
    answer, left, _ = await line(*keys)
    assert (answer, left) == (None, b"")


@pytest.mark.parametrize("text", ["雛5R 雛200~x", "© é Û 200~", "\u25cf"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
async def test_characters_with_a_byte_of_c1_are_text(text: str, size: int) -> None:
    data = text.encode()
    answer, left, _ = await line(*(data[at : at + size] for at in range(0, len(data), size)), b"\r")
    assert (answer, left) == (text, b"")


async def test_of_a_paste_that_is_dropped_no_character_is_a_report() -> None:
    """faults.md 9, a variation: the guest would have got a part of the character, and `5R`."""
    answer, left, _ = await line(b"\x1b", "x雛5R".encode())
    assert (answer, left) == (None, b"")


@pytest.mark.parametrize("report", [b"\x9b5;7R", b"\xc2\x9bI", b"\x1b[5;7R", b"\x1b[I", b"\x1b[O", b"\x1b[8;24;80t"])
async def test_what_the_terminal_types_by_itself_cancels_nothing(report: bytes) -> None:
    """faults.md 9, 10, their kind: looking into another window, at a console without a filter, cancelled."""
    answer, left, _ = await line(b"do not ", report, b"reboot", b"\r")
    assert (answer, left) == ("do not reboot", report)


async def test_lines_that_come_at_once_without_marks_are_one() -> None:
    """faults.md 9: the second one was run by the guest's shell."""
    answer, left, _ = await line(b"first line\rreboot\r")
    assert (answer, left) == ("first line reboot", b"")


@pytest.mark.parametrize(
    "packets",
    [
        (b"\x1b", b"[A"),
        (b"\x1b[", b"A"),
        (b"\x1b[1;5", b"Axyz"),
        (b"\x1bOP",),
        (b"\x1b[A\x1b[A\r",),
        (b"\x03reboot\r",),
        (b"\x03\x1b[200~reboot\r", b"rm -rf /\r", b"\x1b[201~"),
        (b"\x1bx", b"reboot\r"),
    ],
)
async def test_what_cancels_takes_with_it_what_came_with_it(packets: tuple[bytes, ...]) -> None:
    """faults.md 9: `ESC` cancelled, and `[A` was typed into the guest."""
    answer, left, peer = await line(*packets)
    assert (answer, left, peer.told[-1]) == (None, b"", "cancelled")


@pytest.mark.parametrize(
    "packets", [(b"\x1b[200~k\x1b[201~",), (b"\x1b[20", b"0~kx", b"y\x1b[201~"), (b"kx",), (b"k", b"x")]
)
async def test_a_paste_is_no_key(packets: tuple[bytes, ...]) -> None:
    """faults.md 9: `~r` and a pasted `k`; more than was asked for is no answer, either."""
    peer = FakePeer(*packets)
    keys = Keys(peer, PeerPrompt(peer))
    assert not (await soon(keys.ask("?", b"k", alone=True))).isalnum()
    assert keys.rest() == b""


async def test_an_answer_may_be_typed_ahead() -> None:
    """By hand, that is: two keys at once are no person's."""
    peer = FakePeer(b"r")
    keys = Keys(peer, PeerPrompt(peer))
    assert await soon(keys.ask("?", b"rnfo")) == b"r"
    peer.type(b"y")
    assert await soon(keys.ask("?", b"y", alone=True)) == b"y"
    peer.type(b"ry")
    assert await soon(keys.ask("?", b"rnfo")) == b""
    assert keys.rest() == b""
    assert peer.told[-1] == "1 bytes that came at once behind it were dropped, as part of a paste"


async def test_what_the_terminal_answers_is_the_guests() -> None:
    answer, left, _ = await line(b"ab\x1b[24;8", b"0Rc\r")
    assert (answer, left) == ("abc", b"\x1b[24;80R")


HURRIED = [(b"n\r~.",), (b"n~.",), (b"n\r", b"~."), (b"n", b"\r~", b"."), (b"n\r\n~.",), (b"\x1b~.",), (b"y\r~.",)]


@pytest.mark.parametrize("packets", HURRIED)
async def test_whoever_answers_and_detaches_in_a_hurry_is_understood(packets: tuple[bytes, ...]) -> None:
    """As with OpenSSH, however a slow link joins the keys; and the line end is not the guest's."""
    peer = FakePeer(*packets)
    keys = Keys(peer, PeerPrompt(peer), b"~.")
    assert await soon(keys.ask("?", b"y", alone=True)) != b"y"
    left = keys.rest()
    escape = EscapeFilter()
    escape.feed(left)
    assert escape.expire().command is Command.DETACH
    assert left == b"~."


@pytest.mark.parametrize(
    "packets",
    [
        (b"n\r~.\r",),
        (b"no\r~.",),
        (b"n\rls\r~.",),
        (b"n\r\r~.",),
        (b"n\r~b",),
        (b"n\r~.x",),
        (b"\x1b[200~n\r~.\x1b[201~",),
        (b"\x1b[200~n\x1b[201~\r~.",),
        (b"n\r" + b"reboot\r" * 50 + b"~.",),
    ],
)
async def test_more_than_that_is_a_paste(packets: tuple[bytes, ...]) -> None:
    """faults.md 9 and 10: nothing of it is a command, or reaches the guest."""
    peer = FakePeer(*packets)
    keys = Keys(peer, PeerPrompt(peer), b"~.")
    assert await soon(keys.ask("?", b"y", alone=True)) != b"y"
    assert keys.rest() == b""


async def test_a_message_is_sent_before_its_writer_leaves() -> None:
    peer = FakePeer(b"back soon\r~.")
    keys = Keys(peer, PeerPrompt(peer), b"~.")
    assert await soon(keys.ask_line("message:")) == "back soon"
    assert keys.rest() == b"~."


async def test_without_escape_keys_nothing_is_left() -> None:
    peer = FakePeer(b"n\r~.")
    keys = Keys(peer, PeerPrompt(peer))
    assert await soon(keys.ask("?", b"y", alone=True)) == b""
    assert keys.rest() == b""


@pytest.mark.parametrize(
    "name", ["می‌خواهم", "क्‍ष", "👨‍👩‍👧", "❤️", "שלום\u200f", "日本　語", "e\u0301", "🏴\U000e0067\U000e0062\U000e007f"]
)
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_every_script_can_be_typed(name: str, size: int) -> None:
    """Joiners and selectors are part of words; they were dropped."""
    data = name.encode()
    answer, left, peer = await line(*[data[at : at + size] for at in range(0, len(data), size)], b"\r")
    assert (answer, left) == (name, b"")
    assert name in bytes(peer.got).decode()


async def test_what_turns_text_around_is_dropped() -> None:
    evil = "a\u202eb\u2066c\u2069\u200b\ufeff\x9b2Jd"
    answer, _, peer = await line(evil.encode(), b"\r")
    assert answer == "abc2Jd"
    assert bytes(peer.got).decode() == "abc2Jd\r\n"


async def test_a_line_is_cut_between_characters() -> None:
    answer, _, peer = await line("é".encode() * 300, b"\r")
    assert answer is None  # it is longer than it may be
    assert bytes(peer.got).count("é".encode()) == 100
    assert b"\xc3\x07" not in peer.got


ERASED = [
    ("abc", "ab"),
    ("ab日", "ab"),
    ("日本語", "日本"),
    ("x" + "e\u0301", "x"),
    ("ก็น้ำ", "ก็"),
    ("한국", "한"),
    ("שלום\u05c1", "שלו"),
    ("ok 👩\u200d🚀", "ok "),
    ("ok ❤\ufe0f", "ok "),
    ("a🇩🇪🇫🇷", "a🇩🇪"),
]


@pytest.mark.parametrize(("text", "left"), ERASED)
async def test_backspace_takes_what_people_call_a_character(text: str, left: str) -> None:
    """With its marks, and with all of its columns: half a wide character stayed on the terminal, and of a letter
    with marks only a mark went, but with it the column of the letter before it."""
    answer, rest, peer = await line(text.encode() + b"\x7f" + b"!", b"\r")
    assert (answer, rest) == (left + "!", b"")
    terminal, expected = Terminal(24, 80), Terminal(24, 80)
    terminal.feed(bytes(peer.got))
    expected.feed(f"{left}!\r\n".encode())
    assert terminal.text == expected.text
    assert terminal.cursor == expected.cursor


@pytest.mark.parametrize(("text", "left"), ERASED)
async def test_the_same_where_our_lines_are_over_the_guests(text: str, left: str) -> None:
    board = Board()
    board.ask("message:")
    peer = FakePeer(text.encode() + b"\x7f", b"\r")
    answer = await soon(Keys(peer, OnBoard(board)).ask_line("message:"))
    assert answer == left
    assert board.rows(80, 24) == [f"[oobconsole: message:] {left}_"]


async def test_nothing_is_erased_before_the_beginning() -> None:
    answer, _, peer = await line("日".encode() + b"\x7f\x7f\x08", b"a\r")
    assert answer == "a"
    assert bytes(peer.got) == "日\b\b  \b\ba\r\n".encode()


@pytest.mark.parametrize("size", [4095, 4096, 4097, 5000, 70_000, 1 << 20])
@pytest.mark.parametrize("packet", [1024, 32768])
async def test_a_paste_of_any_length_costs_one_sentence(size: int, packet: int) -> None:
    """Nothing of it reaches the guest, and the next question is answered as ever."""
    whole = b"\x1b[200~" + b"ab cd\r\xc3\xa9 " * (size // 9 + 1) + b"\x1b[201~"
    peer = FakePeer(*[whole[at : at + packet] for at in range(0, len(whole), packet)], b"\r")
    keys = Keys(peer, PeerPrompt(peer))
    assert await soon(keys.ask_line("message:")) is None
    assert peer.told[-1] == "cancelled: it is longer than 200 bytes"
    assert keys.rest() == b""
    peer.type(b"short")
    peer.type(b"\r")
    assert await soon(keys.ask_line("message:")) == "short"


class OnBoard(PeerPrompt):
    """Shows a question as a person's terminal does who is at a console."""

    def __init__(self, board: Board) -> None:
        super().__init__(FakePeer())
        self._board = board

    async def echo(self, keys: bytes) -> None:
        self._board.echo(keys)

    async def erase(self, text: str) -> None:
        self._board.erase(text)


async def typed_slowly(peer: FakePeer, packet: bytes, count: int) -> None:
    """Type so many packets, each soon enough behind the one before to have come at once with it."""
    for _ in range(count):
        await asyncio.sleep(0.02)
        peer.type(packet)


@pytest.mark.parametrize("ends", [b"\x1b", b"x"])
async def test_only_silence_ends_a_paste_without_marks(monkeypatch: pytest.MonkeyPatch, ends: bytes) -> None:
    """faults.md 9, a variation: the rest of a paste that took longer than 10 s was typed into the guest. Here it
    takes several times as long as what limits keys."""
    monkeypatch.setattr(keyboard, "SWALLOW_SECONDS", 0.4)
    monkeypatch.setattr(keyboard, "QUIET_SECONDS", 0.3)
    peer = FakePeer(ends + b"eboot\r")
    keys = Keys(peer, PeerPrompt(peer))
    asking = asyncio.ensure_future(keys.ask("?", b"kr", alone=True))
    await soon(typed_slowly(peer, b"rm -rf /\r", 75))
    assert await soon(asking) == b""
    assert (keys.rest(), peer.waiting) == (b"", 0)


async def test_a_key_that_is_held_down_reaches_the_guest_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise nothing would, for as long as the key is held."""
    monkeypatch.setattr(keyboard, "SWALLOW_SECONDS", 0.1)
    peer = FakePeer(b"x")
    keys = Keys(peer, PeerPrompt(peer))
    asking = asyncio.ensure_future(keys.ask("?", b"kr", alone=True))
    await soon(typed_slowly(peer, b"\x1b[A", 50))
    await soon(asking)
    assert peer.waiting > 0
