"""What a board's devices say ahead, range by range."""

from __future__ import annotations

import pytest

from oobconsole.devices.device import Ahead, Image
from oobconsole.guests.board import Board, published
from oobconsole.interceptors.base import Context, Publication
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.interceptors.wire import IMAGES_MAX
from tests.support.devices import KEYBOARD, Keyboard

DATA, STATUS = 0x60, 0x64


def image(valid: int, effects: int, *values: int) -> Image:
    return Image(valid, effects, bytes(values).ljust(8, b"\0"))


@pytest.fixture
def board() -> Board:
    return Board(Context("rack7", 1), MemoryInterceptor("rack7"))


@pytest.fixture
def keyboard(board: Board) -> Keyboard:
    """Plugged into the board."""
    slot = board.bus.add(KEYBOARD)
    device = Keyboard(*slot.outputs)
    slot.plug(device)
    return device


def test_each_range_of_a_device_is_published(board: Board, keyboard: Keyboard) -> None:
    """A guest that polls the status of its keyboard, at a port of its own, need not wait for the server."""
    assert board.publications() == (
        Publication(DATA, 0, (image(1, 0, 0),)),
        Publication(STATUS, 0, (image(1, 0, 0),)),
    )
    keyboard.press(0x1E)
    keyboard.move(0x08)
    assert board.publications() == (
        Publication(DATA, 0, (image(1, 1, 0x1E), image(1, 1, 0x08), image(1, 0, 0))),
        Publication(STATUS, 0, (image(1, 0, 0x01),)),
    )


def test_what_was_read_elsewhere_moves_every_range_on(board: Board, keyboard: Keyboard) -> None:
    keyboard.press(0x1E)
    keyboard.move(0x08)
    for _ in range(2):  # it may be told twice
        board.served(DATA, 0x1E, 1)
        assert board.publications() == (
            Publication(DATA, 1, (image(1, 1, 0x08), image(1, 0, 0))),
            Publication(STATUS, 1, (image(1, 0, 0x21),)),
        )
    assert board.read(DATA, 1) == 0x08
    assert board.read(STATUS, 1) == 0


def test_no_more_is_published_than_a_frame_has_room_for(board: Board, keyboard: Keyboard) -> None:
    for byte in range(IMAGES_MAX + 5):
        keyboard.press(byte)
    data, _ = board.publications()
    assert [one.values[0] for one in data.images] == list(range(IMAGES_MAX))
    assert data.images[-1].effects == 1, "more follows"


def test_a_register_with_an_effect_is_asked_for_where_it_is_not_in_the_first_range() -> None:
    ahead = Ahead(7, (image(0xFF, 0b101001, *range(0x10, 0x18)), image(0xFF, 0, *range(0x20, 0x28))))
    ranges = (range(0x100, 0x102), range(0x200, 0x203), range(0x300, 0x301), range(0x400, 0x404))
    assert published(ranges, ahead) == [
        Publication(0x100, 7, (image(0b11, 0b01, 0x10, 0x11), image(0b11, 0, 0x20, 0x21))),
        Publication(0x200, 7, (image(0b101, 0, 0x12, 0x13, 0x14),)),
        Publication(0x400, 7, (image(0b11, 0, 0x16, 0x17),)),
    ]


def test_a_device_with_one_range_is_published_as_it_says() -> None:
    ahead = Ahead(7, (image(0xFF, 1, *range(8)), image(0xFC, 0, *range(8))))
    assert published((range(0x3F8, 0x400),), ahead) == [Publication(0x3F8, 7, ahead.images)]
