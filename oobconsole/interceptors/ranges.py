"""Which I/O ports a server serves, and whether a native half intercepts the same (HELLO, WELCOME)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from oobconsole.devices.device import Device, Resources
from oobconsole.interceptors.wire import PortRange

#: An ISA device of eight bits is accessed byte by byte.
BYTES: int = 0x01


class Served(NamedTuple):
    """A range of ports that a server serves.

    Attributes:
        guest: whose it is, by its configured name; of several guests with the same ports, the first one.
        range: as WELCOME says it.
    """

    guest: str
    range: PortRange


class Machine(Protocol):
    """Whose ranges they are."""

    machine: str
    ranges: tuple[Served, ...]


def served_ranges(devices: Iterable[tuple[str, type[Device], Resources]]) -> tuple[Served, ...]:
    """What is served: by guest, device and place. Several guests of a machine may have devices in the same places:
    these are said once."""
    found: dict[int, Served] = {}
    for guest, kind, place in devices:
        register = 0
        for ports in place.ranges:
            posted = (1 << number for number in range(len(ports)) if register + number in kind.posted)
            lines = (1 << line for line in place.lines)
            said = PortRange(ports.start, len(ports), sum(lines), BYTES, sum(posted))
            found.setdefault(ports.start, Served(guest, said))
            register += len(ports)
    return tuple(found.values())


def disagreement(machine: Machine, intercepted: Sequence[PortRange]) -> str | None:
    """Why a native half that intercepts these ranges cannot serve the machine, and what to do about it; None: it can.
    What it intercepts besides is an absent device's."""
    by_port = {one.first: one for one in intercepted}
    for guest, wanted in machine.ranges:
        found = by_port.get(wanted.first)
        if found is None or (found.length, found.lines) != (wanted.length, wanted.lines):
            there = ", ".join(map(_words, intercepted)) or "no ports at all"
            return (
                f"guest {guest} has {_words(wanted)}, but the native half intercepts {there}: start the QEMU of "
                f"machine {machine.machine} with what `oobconsole qemu-options {machine.machine}` prints, or change "
                "the guest's ports in the configuration"
            )
    return None


def _words(one: PortRange) -> str:
    lines = ", ".join(str(n) for n in range(16) if one.lines >> n & 1)
    interrupt = f"with interrupt {lines}" if lines else "without an interrupt"
    return f"ports {one.first:#x}-{one.first + one.length - 1:#x} {interrupt}"
