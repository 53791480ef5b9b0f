"""Switching a guest: one interface, whoever does it."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from oobconsole.config.guests import PowerConfig
from oobconsole.errors import EnvironmentFault
from oobconsole.power import hook


class PowerAction(StrEnum):
    """What can be done."""

    RESET = "reset"
    NMI = "nmi"
    OFF = "off"
    ON = "on"


class PowerError(EnvironmentFault):
    """It could not be done, and why."""


class Power(Protocol):
    """Switches one guest."""

    async def do(self, action: PowerAction) -> str:
        """Do it; returns what was done, in words. Raises `PowerError`."""


class CommandPower:
    """Runs a program of the administrator's: ipmitool, a cloud's command line, a script. What that leaves in the
    background, such as the guest's QEMU, is its own business.

    Args:
        guest: replaces `{guest}` in its arguments, as the action does `{action}`.
        config: the program; no shell is between.
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
