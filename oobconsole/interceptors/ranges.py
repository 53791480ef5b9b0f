"""Which I/O ports does the server serve, and does a native half intercept the same ones (HELLO, WELCOME)?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from oobconsole.devices.device import Device, Resources
from oobconsole.interceptors.wire import PortRange


class Served(NamedTuple):
    """A range of ports that a server serves.

    Attributes:
        guest: the configured name of the guest that has these ports; of several such guests, the first one.
        range: the range as WELCOME names it.
    """

    guest: str
    range: PortRange


class Machine(Protocol):
    """The machine whose guests have the ranges; an interceptor is one."""

    machine: str
    ranges: tuple[Served, ...]


def served_ranges(devices: Iterable[tuple[str, type[Device], Resources]]) -> tuple[Served, ...]:
    """Return the ranges of all these devices. Each device is given as its guest's name, its class and its place.
    Several guests of a machine may have devices at the same place; that place is returned once."""
    found: dict[int, Served] = {}
    for guest, kind, place in devices:
        register = 0
        for ports in place.ranges:
            posted = (1 << number for number in range(len(ports)) if register + number in kind.posted)
            lines = (1 << line for line in place.lines)
            widths = (1 << size // 2 for size in kind.widths)
            said = PortRange(ports.start, len(ports), sum(lines), sum(widths), sum(posted))
            found.setdefault(ports.start, Served(guest, said))
            register += len(ports)
    return tuple(found.values())


def disagreement(machine: Machine, intercepted: Sequence[PortRange]) -> str | None:
    """Return why a native half that intercepts these ranges cannot serve the machine, and what to do about it. None
    means that it can. It may intercept further ranges: the machine has no device there."""
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
