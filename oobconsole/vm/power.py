"""Switching a guest: one interface, whoever does it."""

from __future__ import annotations

import signal
from enum import StrEnum
from typing import Protocol

from oobconsole.dialer import why
from oobconsole.errors import EnvironmentFault
from oobconsole.settings import PowerConfig
from oobconsole.vm import hook
from oobconsole.words import brief


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
        timeout_s = self._config.timeout_s
        try:
            status, output = await hook.run(words, timeout_s)
        except TimeoutError as error:
            raise PowerError(f"{words[0]} did not end in {timeout_s} s, and was ended") from error
        except OSError as error:
            raise PowerError(f"{words[0]} cannot be run: {why(error)}") from error
        said = _last_line(output)
        if status:
            how = f"failed with status {status}" if status > 0 else f"was ended by {_signal(-status)}"
            raise PowerError(f"{words[0]} {how}{f': {said}' if said else ''}")
        return said or f"{action} is done"


def _last_line(output: bytes) -> str:
    """The last one that is not empty."""
    lines = output.decode(errors="replace").split("\n")
    return brief(next((line.strip() for line in reversed(lines) if line.strip()), ""))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time one
        return f"signal {number}"
