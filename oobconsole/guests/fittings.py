"""The devices that every guest of a nested machine has besides its UARTs.

A device needs one line in each of two tables. `FITTED` in `config/places.py` says which ports and interrupts the
device has, so that the configuration is checked and the native half intercepts the ports. `MAKERS` here says how the
device is made, and to what it is connected.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from oobconsole.config.places import FITTED
from oobconsole.devices.bus import Slot
from oobconsole.devices.device import Device
from oobconsole.guests.board import Board

#: For each name in `FITTED`: a function that makes the device for its slot on the board of a context. The device
#: drives the slot's `outputs`, and calls the board's `changed` and `timed`.
MAKERS: Final[dict[str, Callable[[Slot, Board], Device]]] = {}


def fit_out(board: Board) -> None:
    """Plug one device of each kind in `FITTED` into a new board."""
    for name, (_, place) in FITTED.items():
        slot = board.bus.add(place)
        slot.plug(MAKERS[name](slot, board))
