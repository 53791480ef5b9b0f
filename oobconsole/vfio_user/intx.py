"""INTx of a vfio-user device: a level made of edges on an eventfd, masked by each until the client unmasks it.

The level is signalled once, which masks it. The client unmasks it at the guest's next access to a BAR while it has an
interrupt pending (QEMU's vfio_pci_intx_eoi), or by an eventfd of its own that KVM signals at the guest's EOI. A level
that falls before the client has read the signal takes it back: otherwise the guest is interrupted by nobody.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from oobconsole.vfio_user.messages import IrqSet

_ONE: Final = (1).to_bytes(8, "little")  # eventfd(2) counts in the host's byte order; both are x86
_EVENTFD: Final = "anon_inode:[eventfd]"


def is_eventfd(fd: int) -> bool:
    """Is it one? Writing to anything else might block, or do harm."""
    return str(Path(f"/proc/self/fd/{fd}").readlink()) == _EVENTFD


class Intx:
    """The interrupt pin.

    Args:
        watch: is told the descriptor that unmasks when it becomes readable, or None.

    Attributes:
        disabled: by the guest, in its configuration space.
    """

    def __init__(self, watch: Callable[[int | None], object]) -> None:
        self.disabled = False
        self._watch = watch
        self._sources = 0
        self._told = False  # the client has a signal that it has not answered by unmasking
        self._masked = False  # by the client
        self._trigger: int | None = None
        self._unmask: int | None = None

    @property
    def due(self) -> bool:
        """Would `settle` signal?"""
        if self._told or self._masked or self.disabled:
            return False
        return bool(self._sources) and self._trigger is not None

    def drive(self, source: int, level: bool) -> None:
        """One of those that share the pin changes its level."""
        if level:
            self._sources |= 1 << source
        else:
            self._sources &= ~(1 << source)
            if not self._sources and self._told:
                self._take_back()

    def settle(self) -> None:
        """Signal a level that nobody has been told of."""
        if self.due:
            assert self._trigger is not None
            self._told = True
            _signal(self._trigger)

    def act(self, action: IrqSet) -> None:
        """The client masks, unmasks or triggers it itself."""
        if action == IrqSet.TRIGGER:
            if self._trigger is not None:
                _signal(self._trigger)
        elif action == IrqSet.MASK:
            self._masked = True
        else:
            self._told = self._masked = False

    def assign(self, action: IrqSet, fd: int | None) -> None:
        """Take an eventfd, ours from now on, or none, instead of the former one."""
        if action == IrqSet.TRIGGER:
            self._trigger = _replaced(self._trigger, fd)
            self._told = self._masked = False
        elif action == IrqSet.UNMASK:
            self._watch(None)
            self._unmask = _replaced(self._unmask, fd)
            self._watch(fd)

    def unmasked_by_eventfd(self) -> None:
        """The descriptor that was watched is readable."""
        if self._unmask is not None and _drain(self._unmask):
            self._told = self._masked = False

    def close(self) -> None:
        """Give all descriptors back. Idempotent."""
        self.assign(IrqSet.TRIGGER, None)
        self.assign(IrqSet.UNMASK, None)

    def _take_back(self) -> None:
        if self._trigger is not None and _drain(self._trigger):
            self._told = False


def _replaced(former: int | None, fd: int | None) -> int | None:
    if former is not None:
        os.close(former)
    if fd is not None:
        os.set_blocking(fd, False)
    return fd


def _signal(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):  # it counts no further: it is signalled
        os.write(fd, _ONE)


def _drain(fd: int) -> bool:
    """Was it signalled? It is not any more."""
    try:
        os.read(fd, 8)
    except BlockingIOError:
        return False
    return True
