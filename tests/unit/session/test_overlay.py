"""Our lines over a guest's screen leave nothing behind; and for how long they are seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oobconsole.session.board import LEAST_SECONDS, SHOWN_MAX_SECONDS, Board
from oobconsole.session.mirror import BEHIND_MAX, Mirror
from oobconsole.session.overlay import place, put_over
from oobconsole.terminal.drawing import drawing
from oobconsole.terminal.grid import Cell, width
from oobconsole.terminal.model import Terminal
from oobconsole.terminal.pen import PLAIN
from tests.unit.session.notices import Case, cases, sent, shown_by


def all_of(model: Terminal) -> object:
    """What is seen, and all that later output depends on."""
    saved = model.shown.saved, model.main.saved
    return (
        _seen(model),
        replace(model.cursor),
        model.top,
        model.bottom,
        sorted(model.modes),
        saved,
        model.is_alternate,
    )


def _seen(model: Terminal) -> list[list[Cell]]:
    """The pen of a blank counts where it can be seen."""
    return [
        [(text, pen if text != " " or pen.is_seen_on_blanks else PLAIN) for text, pen in row]
        for row in model.grid.rows
    ]


@pytest.mark.parametrize("seed", range(4))
async def test_a_terminal_is_as_if_nothing_had_been_said(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """real-guests.md F2: whatever the guest prints, in whatever pieces, and whenever somebody says something; on
    either of the terminals that differ most."""
    for number, case in enumerate(cases(seed, 15)):
        plain, terminal = await shown_by(case.output), await shown_by(await sent(case, monkeypatch))
        for mine, wanted in ((terminal.model, plain.model), (terminal._other, plain._other)):
            assert all_of(mine) == all_of(wanted), f"case {number} of seed {seed}, {type(mine)}: {case.steps}"


@pytest.mark.parametrize("exact", [True, False])
async def test_the_cursor_is_kept_where_the_model_may_be_wrong(exact: bool) -> None:
    mirror, terminal = Mirror(24, 80), Mirror(24, 80)
    for each in (mirror, terminal):
        each.sent("\x1b[5;9r\x1b[?6h\x1b[2;1Hprompt ❤️ $ ".encode())
        await each.catch_up()
    terminal.sent(b"\x1b[3C")  # as one to which the heart is wider
    terminal.sent(put_over(mirror.model, ["hello"], 23, exact=exact))
    await terminal.catch_up()
    assert terminal.model.text[23] == "hello"
    assert (terminal.model.cursor.y, terminal.model.cursor.x) == (mirror.model.cursor.y, mirror.model.cursor.x + 3)


#: Texts of many scripts, one a line.
TEXTS = (Path(__file__).parents[1] / "terminal" / "scripts.txt").read_text().splitlines()
HOSTILE = ["👩\u200d" * 200, "z" + "\u0301" * 500, "🇩🇪" * 99, "❤\ufe0f" * 99, "नी" * 99, "漢" * 99 + "\u0903" * 99]


@pytest.mark.parametrize("columns", [20, 21, 37, 40, 61, 80, 131])
def test_lines_of_every_script_stay_in_their_rows(columns: int) -> None:
    """faults.md 12 and 13, a variation: `~l` took spacing vowels for narrower than a terminal does, so its rows ran
    over into others, and scrolled the guest's screen."""
    for text in [*(" ".join([text] * 9) for text in TEXTS), *HOSTILE]:
        board, terminal = Board(), Terminal(24, columns)
        board.show("the last lines", [text])
        rows = board.rows(columns, 23)
        terminal.feed(b"".join(b"\x1b[%d;1Hguest" % (y + 1) for y in range(24)))
        top = 24 - len(rows)
        terminal.feed(put_over(terminal, rows, top, exact=False))
        assert terminal.text[:top] == ["guest"] * top
        for shown, row in zip(terminal.text[top:], rows, strict=True):
            assert row.startswith(shown.rstrip())  # marks beyond those that a cell holds are missing
            assert sum(map(width, row)) <= columns


@pytest.mark.parametrize("columns", range(20, 32))
def test_what_people_call_a_character_is_not_divided(columns: int) -> None:
    """faults.md 12, a variation: half of a flag is a letter, and half of a family is somebody else."""
    board = Board()
    for picture in ("🇩🇪", "👨\u200d👩\u200d👧", "👩🏽\u200d🚀", "क्षि"):
        board.show("", [picture * 40])
        shown = "".join(board.rows(columns, 1000)).replace(" ", "")
        assert picture * 40 in shown
        assert all(row.count(picture) * len(picture) == len(row) for row in board.rows(columns, 1000)[2:])
        board = Board()


def test_our_lines_are_not_over_the_cursor() -> None:
    for row in range(24):
        model = Terminal(24, 80)
        model.feed(b"\x1b[%dH" % (row + 1))
        assert row not in range(place(model, 4), place(model, 4) + 4)


async def test_what_waits_for_the_model_is_bounded() -> None:
    mirror = Mirror(24, 80)
    for _ in range(100):
        mirror.sent(b"line\r\n" * 1000)
    assert not mirror.exact
    assert len(mirror._waiting) <= BEHIND_MAX


@pytest.mark.parametrize("size", [(24, 80), (10, 30), (60, 200)])
async def test_a_mirror_knows_all_of_our_own_drawings(size: tuple[int, int]) -> None:
    for case in cases(7, 20):
        guest, mirror = Terminal(24, 80), Mirror(*size)
        guest.feed(case.output)
        mirror.sent("".join(drawing(guest, *size)).encode())
        mirror.sent(put_over(guest, ["hello"], 3, exact=True) + put_over(guest, ["hello"], 3, exact=False))
        await mirror.catch_up()
        assert mirror.exact, case.steps


async def test_what_repeats_a_character_does_not_repeat_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case([b"\r\n-", 1, 0.01, b"\x1b[5b|"])
    assert (await shown_by(await sent(case, monkeypatch))).model.text[1] == "------|"


@pytest.mark.parametrize("piece", [1, 16, 66])
async def test_a_notice_costs_little_while_a_guest_prints(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was 16 bytes for each byte of a guest that prints 11,520 bytes a second in pieces of 16."""
    line = b"[    1.234567] pci 0000:00:01.0: reg 0x10: [mem 0xfebf0000-0xfe]\r\n"
    lines = [line[at : at + piece] for at in range(0, len(line), piece)] * 500
    quiet: Case = Case([b"\n" * 30])
    said = Case([*quiet.steps, 1])
    for data in lines:
        quiet.steps += [len(data) / 11520, data]
        said.steps += [len(data) / 11520, data]
    cost = len(await sent(said, monkeypatch)) - len(await sent(quiet, monkeypatch))
    assert cost < 0.8 * len(line) * 500


class TestBoard:
    def test_a_key_takes_away_what_was_seen_long_enough(self) -> None:
        board = Board()
        board.say("bob is attached")
        assert not board.key()
        board.age(LEAST_SECONDS)
        board.say("bob has left")
        assert board.key()
        assert board.rows(80, 23) == ["[oobconsole: bob has left]"]

    def test_time_takes_it_away(self) -> None:
        board = Board()
        board.say("x" * 100_000)
        assert board.next_goes_in == SHOWN_MAX_SECONDS
        assert not board.age(SHOWN_MAX_SECONDS / 2)
        assert board.age(SHOWN_MAX_SECONDS / 2)
        assert not board

    def test_a_question_stays_until_it_is_answered(self) -> None:
        board = Board()
        board.ask("message:")
        board.echo(b"hellp")
        board.erase("p")
        board.echo("ö\x1b".encode())
        board.age(1000)
        assert not board.key()
        assert board.rows(80, 23) == ["[oobconsole: message:] hellö_"]
        board.answered()
        assert not board

    def test_there_is_room_for_the_latest(self) -> None:
        board = Board()
        for number in range(1000):
            board.say(f"{number}")
        assert board.rows(80, 3) == ["[oobconsole: 997]", "[oobconsole: 998]", "[oobconsole: 999]"]
        board = Board()
        board.show("the last lines", [f"line {number}" for number in range(50)])
        assert board.rows(80, 3) == ["[oobconsole: the last lines]", "line 48", "line 49"]

    def test_nothing_that_is_said_acts(self) -> None:
        board = Board()
        board.say("a\x1b[2J\x9b\u202eb")
        assert board.rows(8, 23) == ["[oobcons", "ole:", "a[2Jb]"]

    def test_wide_characters_are_not_cut(self) -> None:
        board = Board()
        board.show("", ["世界世"])
        assert board.rows(5, 9)[-2:] == ["世界", "世"]
