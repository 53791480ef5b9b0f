"""The devices that every guest of a nested machine has besides its UARTs.

A device needs two lines here and in the configuration: `config/places.py` says where its ports and interrupts are, so
that they are checked and the native half intercepts them; `MAKERS` says how it is made, and what it is connected to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from oobconsole.config.places import FITTED
from oobconsole.devices.bus import Slot
from oobconsole.devices.device import Device
from oobconsole.guests.board import Board

#: By the name in `FITTED`: makes the device for its slot on the board of a context. The device drives the slot's
#: `outputs`, and calls the board's `changed` and `timed`.
MAKERS: Final[dict[str, Callable[[Slot, Board], Device]]] = {}


def fit_out(board: Board) -> None:
    """Plug one of each into a new board."""
    for name, (_, place) in FITTED.items():
        slot = board.bus.add(place)
        slot.plug(MAKERS[name](slot, board))
