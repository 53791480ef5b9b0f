"""The door of the keeper: when it is shut, and that nobody waits at it in vain."""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oobconsole.vfio_user.door import AGAIN_S, Door


class Listening(socket.socket):
    """A listening socket.

    Attributes:
        error: what `accept` raises, by its number; 0: nothing.
    """

    error = 0

    def accept(self) -> tuple[socket.socket, object]:
        if self.error:
            raise OSError(self.error, errno.errorcode[self.error])
        return super().accept()


class Lab:
    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "socket")
        self.selector = selectors.DefaultSelector()
        self.listener = Listening(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen()
        self.listener.setblocking(False)
        self.door = Door(self.selector, self.listener, self.knocked)
        self.knocks = 0
        self.visitor = socket.socket(socket.AF_UNIX)
        self.visitor.connect(self.path)

    def knocked(self) -> None:
        self.knocks += 1

    def waits(self) -> int:
        """How often the selector says now that somebody is at the door."""
        return len(self.selector.select(0))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    for each in (made.visitor, made.listener, made.selector):
        each.close()


def test_a_visitor_is_let_in(lab: Lab) -> None:
    assert lab.waits() == 1
    connection = lab.door.accept()
    assert connection is not None
    assert not connection.getblocking()
    connection.close()
    assert lab.door.accept() is None
    assert lab.door.opens_at is None


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_descriptors_the_selector_does_not_ask_again_and_again(lab: Lab, error: int) -> None:
    lab.listener.error = error
    assert lab.door.accept() is None
    assert lab.waits() == 0
    assert lab.door.opens_at is not None
    assert not lab.door.open_if_due(time.monotonic())
    assert lab.door.open_if_due(lab.door.opens_at)
    assert lab.waits() == 1
    lab.listener.error = 0
    connection = lab.door.accept()
    assert connection is not None
    connection.close()


def test_a_visitor_who_has_left_again_shuts_no_door(lab: Lab) -> None:
    lab.listener.error = errno.ECONNABORTED
    assert lab.door.accept() is None
    assert lab.waits() == 1


def test_a_door_that_is_shut_twice_opens_at_the_later_time(lab: Lab) -> None:
    lab.door.shut(100 * AGAIN_S)
    later = lab.door.opens_at
    lab.door.shut(AGAIN_S)
    assert lab.door.opens_at == later
    assert later is not None
    assert lab.door.open_if_due(later)
    assert lab.waits() == 1
