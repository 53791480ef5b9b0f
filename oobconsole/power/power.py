"""Switching a guest: one interface, whether a program, QEMU's monitor or libvirt does it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from oobconsole.config.guests import PowerConfig
from oobconsole.errors import EnvironmentFault
from oobconsole.power import hook


class PowerAction(StrEnum):
    """What can be done to a guest; the values are what users type."""

    RESET = "reset"
    NMI = "nmi"
    OFF = "off"
    ON = "on"


class PowerError(EnvironmentFault):
    """The guest could not be switched. The message says why."""


class Power(Protocol):
    """Switches one guest on and off, and resets it."""

    async def do(self, action: PowerAction) -> str:
        """Switch the guest; returns what was done, in words for the person who asked.

        Raises:
            PowerError: it could not be done.
        """


class CommandPower:
    """Switches a guest by a program of the administrator's: ipmitool, a cloud's command line, a script.

    What the program leaves in the background, such as the guest's QEMU, lives on.

    Args:
        guest: replaces `{guest}` in the program's arguments, as the action replaces `{action}`.
        config: the program and its time limit; no shell is between.
    """

    def __init__(self, guest: str, config: PowerConfig) -> None:
        self._guest = guest
        self._config = config

    async def do(self, action: PowerAction) -> str:
        words = [word.replace("{action}", action).replace("{guest}", self._guest) for word in self._config.command]
        try:
            said = await hook.succeed(words, self._config.timeout_s)
        except hook.HookFault as error:
            raise PowerError(str(error)) from error
        return said or f"{action} is done"
