"""Programs whose start hangs, as on a file system of the network that is away: real processes, started late."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from oobconsole.config.guests import PowerConfig
from oobconsole.power import starting
from oobconsole.power.power import CommandPower, PowerAction, PowerError
from tests.support.aio import soon, until

HANGS = "/bin/sleep"


class Disk:
    """A disk that does not answer whoever starts `HANGS`, until `answers` is set."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = 0
        self.started: list[subprocess.Popen[bytes]] = []

    def popen(self, words: list[str], **options: Any) -> subprocess.Popen[bytes]:
        """Do what `subprocess.Popen` does, when the disk answers."""
        if words[0] != HANGS:
            return subprocess.Popen(words, **options)
        self.asked += 1
        self.answers.wait()
        process = subprocess.Popen(words, **options)
        self.started.append(process)
        return process


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """The disk answers at the end of the test, so that no thread is left."""
    made = Disk()
    monkeypatch.setattr(starting, "subprocess", _Module(made))
    yield made
    made.answers.set()


class _Module:
    """Stands for the module `subprocess`."""

    def __init__(self, disk: Disk) -> None:
        self.Popen = disk.popen
        self.DEVNULL, self.STDOUT = subprocess.DEVNULL, subprocess.STDOUT


def power(*command: str, timeout_s: int = 1) -> CommandPower:
    """What switches a guest by a program."""
    return CommandPower("web1", PowerConfig(command=list(command), timeout_s=timeout_s))


async def fail(timeout_s: int = 1) -> None:
    """Run the program whose start hangs."""
    with pytest.raises(PowerError, match=rf"^{HANGS} could not be started in {timeout_s} s$"):
        await power(HANGS, "300", timeout_s=timeout_s).do(PowerAction.RESET)


async def test_a_start_that_hangs_has_the_program_s_time_limit(disk: Disk) -> None:
    """faults.md 18, variation: the time limit began when the program had been started, which took for ever."""
    await soon(fail())
    assert disk.asked == 1


async def test_a_program_that_is_started_too_late_is_killed(disk: Disk) -> None:
    """faults.md 18, variation: who was told that nothing was done must not see the guest reset an hour later."""
    await soon(fail())
    disk.answers.set()
    await until(lambda: [process.poll() for process in disk.started] == [-9], lambda: disk.started)


async def test_starts_that_hang_keep_no_other_program_from_being_started(disk: Disk) -> None:
    """faults.md 18, variation: and those for which no thread was free are not made later."""
    hanging = [asyncio.ensure_future(fail(timeout_s=4)) for _ in range(2 * starting.STARTING_MAX)]
    await until(lambda: disk.asked == starting.STARTING_MAX, lambda: disk.asked)
    assert await soon(power("echo", "done", timeout_s=60).do(PowerAction.RESET)) == "done"
    assert not any(one.done() for one in hanging)
    await asyncio.wait_for(asyncio.gather(*hanging), 60)
    disk.answers.set()
    await until(lambda: len(disk.started) == starting.STARTING_MAX, lambda: disk.started)
    await until(lambda: not starting._threads.get(HANGS), lambda: dict(starting._threads))
    assert disk.asked == starting.STARTING_MAX


async def test_how_many_starts_may_wait_is_bounded(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 18, variation: each that waits has a descriptor."""
    monkeypatch.setattr(starting, "WAITING_MAX", 1)
    monkeypatch.setattr(starting, "STARTING_MAX", 1)
    first, second = (asyncio.ensure_future(fail(timeout_s=4)) for _ in range(2))
    await until(lambda: disk.asked == 1, lambda: disk.asked)
    with pytest.raises(PowerError, match=rf"^{HANGS} cannot be run: 1 starts of it hang, and 1 more wait for these$"):
        await soon(power(HANGS, "300").do(PowerAction.RESET))
    await asyncio.wait_for(asyncio.gather(first, second), 60)
