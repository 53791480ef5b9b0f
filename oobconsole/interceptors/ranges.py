"""Which I/O ports a server serves, and whether a native half intercepts the same (HELLO, WELCOME)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from oobconsole.interceptors.wire import PortRange

#: An ISA device of eight bits is accessed byte by byte.
BYTES: int = 0x01
#: Every register may be written to without waiting: what a 16550 does then, the native half knows as well as we do.
ALL_POSTED: int = 0xFF


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


def served_ranges(ports: Iterable[tuple[str, int, int, int]]) -> tuple[Served, ...]:
    """What is served: by guest, first port, number of ports and ISA interrupt. Several guests of a machine may have
    the same ports; they are said once."""
    found: dict[int, Served] = {}
    for guest, first, length, line in ports:
        found.setdefault(first, Served(guest, PortRange(first, length, 1 << line, BYTES, ALL_POSTED)))
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
    return f"ports {one.first:#x}-{one.first + one.length - 1:#x} with interrupt {lines}"
