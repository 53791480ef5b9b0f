"""Where the devices of a machine's guests are: their I/O ports and interrupts, checked, and for the native half.

A device itself says how many ports and interrupts it has (`devices.device.Device`). A configuration says where they
are. Both together are a device's `Resources`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from oobconsole.config.guests import MachineConfig
from oobconsole.devices.device import Device, Resources, shared
from oobconsole.devices.uart16550 import Uart16550

# What a native half has room for. The same numbers stand in `native/include/oob_wire.h` and `native/core/bus.h`,
# under the same names with OOB_ in front.
#: How many ranges of ports one machine has.
RANGES_MAX: Final = 32
#: How many devices one machine has, each with at least one range.
DEVICES_MAX: Final = 15
#: How many adjacent ports one range has.
RANGE_PORTS_MAX: Final = 8
#: How many interrupts one device has. A device need not have any.
DEVICE_LINES_MAX: Final = 2
#: Ports that no device of ours may have: the native half needs what a guest does there for itself
#: (`native/core/irqchip.c`, `native/tcg/detour.c`).
RESERVED: Final = (
    (range(0x20, 0x22), "the first interrupt controller"),
    (range(0xA0, 0xA2), "the second interrupt controller"),
    (range(0x80, 0x81), "the port by which the native half interrupts a guest"),
    (range(0xEC, 0xED), "the port at which a guest's CPU executes an access that was served"),
)


def _every(machine: MachineConfig) -> bool:
    return True


class Fitting(NamedTuple):
    """A device that the guests of nested machines have besides their UARTs.

    Attributes:
        kind: which device it is.
        place: where it is, in every guest.
        fits: returns whether the guests of a machine have it. A device by which guests say who they are, for example,
            is for machines whose binder (`guests/identity.py`) listens to it.
    """

    kind: type[Device]
    place: Resources
    fits: Callable[[MachineConfig], bool] = _every


#: All such devices, by the names by which `guests/fittings.py` makes them.
FITTED: Final[dict[str, Fitting]] = {}


def fittings_of(machine: MachineConfig) -> dict[str, Fitting]:
    """Return the devices that the machine's guests have besides their UARTs, by their names.

    Whoever has to know these devices asks this function: whoever checks the configuration, tells the native half
    which ports to intercept, or makes the devices. So what a guest finds is what the native half intercepts.
    """
    return {name: fitting for name, fitting in FITTED.items() if fitting.fits(machine)}


class Placed(NamedTuple):
    """A device of a guest.

    Attributes:
        guest: the configured name of the guest.
        kind: which device it is.
        place: where the device is.
    """

    guest: str
    kind: type[Device]
    place: Resources


def devices_of(machine: MachineConfig) -> Iterator[Placed]:
    """Yield every device of every guest. Guests of one machine may have devices in the same places."""
    fitted = fittings_of(machine).values()
    for guest in machine.guests:
        for fitting in fitted:
            yield Placed(guest.name, fitting.kind, fitting.place)
        for uart in guest.uarts:
            yield Placed(guest.name, Uart16550, uart.place)


def places_of(machine: MachineConfig) -> list[Placed]:
    """Return what devices the guests of the machine have, and where, each place once, with the first guest that has a
    device there. The native half is to intercept these places."""
    found: dict[Resources, Placed] = {}
    for one in devices_of(machine):
        found.setdefault(one.place, one)
    return sorted(found.values(), key=lambda one: one.place.ranges[0].start, reverse=True)


def conflict(machine: MachineConfig) -> str | None:
    """Return why the guests cannot have their devices there; None: they can. The native half knows one device and its
    interrupts for each port of a machine, whichever guest uses it."""
    for owner in machine.guests:
        if len({uart.port for uart in owner.uarts}) < len(owner.uarts):
            return f"two UARTs of '{owner.name}' have the same port: give each a port of its own"
    known: dict[tuple[range, ...], Placed] = {}
    for one in devices_of(machine):
        guest, _, place = one
        if reason := _contradiction(known.setdefault(place.ranges, one), one):
            return f"port {place.ranges[0].start:#x} has {reason}: it has one in a machine"
        if reason := _too_large(place) or _reserved(place):
            return f"'{guest}' cannot have a device there: {reason}"
        if (both := _overlap(place, known)) is not None:
            return f"port {both:#x} of '{guest}' belongs to another device already"
        if reason := _too_many(known):
            return f"more than {reason} in one machine: two guests may have the same ports"
    return None


def _contradiction(former: Placed, one: Placed) -> str | None:
    """Return what is different about two devices in one place; None: they are alike."""
    if former.place.lines != one.place.lines:
        irqs = " and ".join(", ".join(map(str, each.place.lines)) or "none" for each in (former, one))
        return f"two interrupts, {irqs}"
    if former.kind is not one.kind:
        return f"devices of two kinds, {former.kind.__name__} and {one.kind.__name__}"
    return None


def _overlap(place: Resources, known: dict[tuple[range, ...], Placed]) -> int | None:
    """Return the first port that a place shares with another place; None: there is none."""
    for _, _, other in known.values():
        for mine in place.ranges if other.ranges != place.ranges else ():
            for theirs in other.ranges:
                if both := shared(mine, theirs):
                    return both.start
    return None


def _too_many(known: dict[tuple[range, ...], Placed]) -> str | None:
    """Return of what a machine has more than a native half has room for; None: it has room for all."""
    if len(known) > DEVICES_MAX:
        return f"{DEVICES_MAX} devices at different ports"
    if sum(map(len, known)) > RANGES_MAX:
        return f"{RANGES_MAX} different ranges of ports"
    return None


def _too_large(place: Resources) -> str | None:
    """Return for what a native half has no room; None: it has room for all."""
    if len(place.lines) > DEVICE_LINES_MAX:
        return f"it has {len(place.lines)} interrupts, and at most {DEVICE_LINES_MAX} are possible"
    for ports in place.ranges:
        if len(ports) > RANGE_PORTS_MAX:
            return f"it has {len(ports)} adjacent ports, and at most {RANGE_PORTS_MAX} are possible"
    return None


def _reserved(place: Resources) -> str | None:
    """Return which port of a place the native half needs, and what for; None: it needs none of them."""
    for mine in place.ranges:
        for ports, purpose in RESERVED:
            if both := shared(mine, ports):
                return f"port {both.start:#x} is {purpose}"
    return None
