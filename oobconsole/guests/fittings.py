"""How the devices are made that the guests of nested machines have besides their UARTs.

A device needs one line in each of two tables. `FITTED` in `config/places.py` says which ports and interrupts the
device has, so that the configuration is checked and the native half intercepts the ports. `MAKERS` here says how the
device is made, and to what it is connected. There is no other way for a device onto a board.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from oobconsole.config.guests import MachineConfig
from oobconsole.config.places import fittings_of
from oobconsole.devices.bus import Slot
from oobconsole.devices.device import Device
from oobconsole.guests.board import Board

#: Says which guest of the machine the context is from now on, by the guest's name; None: no guest. It may be called
#: at any time, and more than once.
Bind = Callable[[str | None], object]

#: For each name in `FITTED`: a function that makes the device for its slot on the board of a context. The device
#: drives the slot's `outputs`, and calls the board's `changed`, `timed` and `happened`. A device that learns which
#: guest it is in calls `Bind`.
MAKERS: Final[dict[str, Callable[[Slot, Board, Bind], Device]]] = {}


def fit_out(board: Board, machine: MachineConfig, bind: Bind) -> None:
    """Plug the devices of a machine's guests into the new board of one of its contexts."""
    for name, fitting in fittings_of(machine).items():
        slot = board.bus.add(fitting.place)
        slot.plug(MAKERS[name](slot, board, bind))
