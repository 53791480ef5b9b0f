"""Switching a guest: one interface, whoever does it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from enum import StrEnum
from typing import Final, Protocol

from oobconsole.errors import EnvironmentFault
from oobconsole.settings import PowerConfig

#: What is kept of a command's output, in bytes: its end.
_OUTPUT_MAX: Final = 4096
_KILL_SECONDS: Final = 2.0


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
    """Runs a program of the administrator's: ipmitool, a cloud's command line, a script.

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
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise PowerError(f"{words[0]} cannot be run: {error.strerror}") from error
        try:
            async with asyncio.timeout(self._config.timeout_s):
                said = await _end_of_output(process)
                status = await process.wait()
        except TimeoutError as error:
            raise PowerError(f"{words[0]} did not end in {self._config.timeout_s} s, and was ended") from error
        finally:
            await _end(process)
        if status:
            raise PowerError(f"{words[0]} failed with status {status}{f': {said}' if said else ''}")
        return said or f"{action} is done"


async def _end_of_output(process: asyncio.subprocess.Process) -> str:
    """The last line that it prints."""
    assert process.stdout is not None
    kept = b""
    while data := await process.stdout.read(_OUTPUT_MAX):
        kept = (kept + data)[-_OUTPUT_MAX:]
    lines = kept.decode(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return "".join(c if c.isprintable() else " " for c in last).strip()


async def _end(process: asyncio.subprocess.Process) -> None:
    """It and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await process.wait()
                return
