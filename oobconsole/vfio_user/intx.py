"""The interrupt INTx of a vfio-user device: a level that is made of signals on an eventfd.

How does a signal become a level? The level is signalled once, and the signal masks the interrupt. The client unmasks
it at the guest's next access to a BAR while an interrupt is pending (QEMU's vfio_pci_intx_eoi), or by an eventfd of
its own, which KVM signals at the guest's EOI. If the level falls before the client has read the signal, the signal is
taken back. Otherwise the guest would be interrupted although nothing is pending.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from oobconsole.vfio_user.messages import IrqSet

_ONE: Final = (1).to_bytes(8, "little")  # eventfd(2) counts in the host's byte order; here that is x86's
_EVENTFD: Final = "anon_inode:[eventfd]"


def is_eventfd(fd: int) -> bool:
    """Return whether the file descriptor is an eventfd. Writing to anything else might block, or do harm."""
    return str(Path(f"/proc/self/fd/{fd}").readlink()) == _EVENTFD


class Intx:
    """The interrupt pin.

    Args:
        watch: is given the file descriptor that unmasks the pin when it becomes readable, or None if there is none.

    Attributes:
        disabled: whether the guest has disabled the pin, in its configuration space.
    """

    def __init__(self, watch: Callable[[int | None], object]) -> None:
        self.disabled = False
        self._watch = watch
        self._level = False
        self._told = False  # whether the client has a signal that it has not answered by unmasking
        self._masked = False  # whether the client has masked the pin
        self._trigger: int | None = None
        self._unmask: int | None = None

    @property
    def due(self) -> bool:
        """Whether there is a level that the client has not been told of, and may be told of."""
        if self._told or self._masked or self.disabled:
            return False
        return self._level and self._trigger is not None

    def drive(self, level: bool) -> None:
        """Change the level of the pin: high as long as any UART of the card drives it high."""
        self._level = level
        if not level and self._told:
            self._take_back()

    def settle(self) -> None:
        """Signal the level, if the client is to be told of it."""
        if self._trigger is not None and self.due:
            self._told = True
            _signal(self._trigger)

    def act(self, action: IrqSet) -> None:
        """Do what the client asks for: mask, unmask or trigger the pin."""
        if action == IrqSet.TRIGGER:
            if self._trigger is not None:
                _signal(self._trigger)
        elif action == IrqSet.MASK:
            self._masked = True
        else:
            self._told = self._masked = False

    def assign(self, action: IrqSet, fd: int | None) -> None:
        """Take an eventfd, which is ours from now on, in the place of the former one. None: only give up the former
        one."""
        if action == IrqSet.TRIGGER:
            self._trigger = _replaced(self._trigger, fd)
            self._told = self._masked = False
        elif action == IrqSet.UNMASK:
            self._watch(None)
            self._unmask = _replaced(self._unmask, fd)
            self._watch(fd)

    def unmasked_by_eventfd(self) -> None:
        """Unmask the pin, because the file descriptor that `watch` was given has become readable."""
        if self._unmask is not None and _drain(self._unmask):
            self._told = self._masked = False

    def close(self) -> None:
        """Close all descriptors. A second call does nothing."""
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
    with contextlib.suppress(BlockingIOError):  # the count is at its end, so the signal is there already
        os.write(fd, _ONE)


def _drain(fd: int) -> bool:
    """Take the signal away. Returns whether there was one."""
    try:
        os.read(fd, 8)
    except BlockingIOError:
        return False
    return True
