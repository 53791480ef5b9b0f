"""Hooks that switch guests: real processes, under the event loop that the server has."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from oobconsole.config.guests import PowerConfig
from oobconsole.power import hook
from oobconsole.power.power import CommandPower, PowerAction, PowerError
from tests.stack import nested
from tests.support.aio import PATIENCE, Turns, until
from tests.support.pace import Deadline

#: A hook that hangs is given so long, in seconds.
TIMEOUT = 4


def run(what: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Under uvloop, whose own processes have copies of their descriptors."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(what())


def power(*command: str, timeout_s: int = TIMEOUT) -> CommandPower:
    return CommandPower("bg", PowerConfig(command=list(command), timeout_s=timeout_s))


def script(text: str, folder: Path, timeout_s: int = 60) -> CommandPower:
    return power("sh", "-c", f"cd {folder}; {text}", timeout_s=timeout_s)


def alive(pid: int) -> bool:
    """Does it run? A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def number_in(file: Path) -> int:
    def read() -> str:
        return file.read_text() if file.exists() else ""

    await until(lambda: read().endswith("\n"), lambda: list(file.parent.iterdir()))
    return int(read())


def open_files(pid: int) -> list[str]:
    """What a process has open; a shell closes some of what is listed while the list is read."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(link.readlink()))
    return found


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sleep 300 >/dev/null 2>&1 & echo $! > pid; echo started", "started"),
        ("nohup sleep 300 >nohup.out 2>&1 & echo $! > pid; echo started", "started"),
        ("setsid -f sh -c 'echo $$ > pid; exec sleep 300' </dev/null >/dev/null 2>&1", "on is done"),
        ("sleep 300 & echo $! > pid; echo started", "started"),
        ("exec 3>&1; sleep 300 3>&3 >/dev/null & echo $! > pid; echo started >&2", "started"),
        ("(sleep 300 & echo $! > pid) & wait; printf 'one\\n\\n two \\n\\n'", "two"),
    ],
)
def test_what_goes_into_the_background_is_neither_waited_for_nor_ended(text: str, said: str, tmp_path: Path) -> None:
    """faults.md 18: the hook's own end counts, whoever still has its output; its time limit never comes."""

    async def switched() -> None:
        assert await script(text, tmp_path).do(PowerAction.ON) == said
        pid = await number_in(tmp_path / "pid")
        assert alive(pid)
        assert not any(name.startswith("socket:") for name in open_files(pid)), open_files(pid)
        end(pid)

    deadline = Deadline(PATIENCE)
    run(switched)
    assert deadline.left, f"it took more than {deadline}"


def test_who_prints_to_the_hooks_output_later_does_not_die_of_it(tmp_path: Path) -> None:
    """faults.md 18, the same with a program that was left the hook's output: it would get SIGPIPE."""

    async def switched() -> None:
        loop = "while :; do echo line || exit; echo x >> lines; sleep 0.01; done"
        before = len(hook.Output._draining)
        await script(f"({loop}) & echo $! > pid", tmp_path).do(PowerAction.ON)
        pid = await number_in(tmp_path / "pid")
        lines = tmp_path / "lines"
        await until(lambda: lines.exists() and len(lines.read_text()) > 20, lambda: alive(pid))
        assert alive(pid)
        end(pid)
        await until(lambda: len(hook.Output._draining) <= before, lambda: len(hook.Output._draining))

    run(switched)


@pytest.mark.needs("qemu")
def test_a_qemu_that_daemonizes(tmp_path: Path) -> None:
    """faults.md 18: `-daemonize` closes descriptors 0 to 2 only."""
    program = shutil.which("qemu-system-x86_64") or str(nested.qemu())
    pid_file = tmp_path / "pid"
    words = ("-display", "none", "-nodefaults", "-machine", "none", "-daemonize", "-pidfile", str(pid_file))

    async def switched() -> None:
        assert await power(program, *words, timeout_s=60).do(PowerAction.ON) == "on is done"
        pid = await number_in(pid_file)
        assert alive(pid)
        end(pid)

    run(switched)


@pytest.mark.parametrize("ignores", ["", "trap '' TERM; "])
def test_a_hook_that_hangs_is_ended_with_all_of_its_group(ignores: str, tmp_path: Path) -> None:
    """faults.md 18: also one that ignores SIGTERM, and its children."""

    async def switched() -> None:
        hangs = script(f"{ignores}sleep 300 & echo $! > child; echo $$ > pid; wait; sleep 300", tmp_path, timeout_s=1)
        with pytest.raises(PowerError, match=r"^sh did not end in 1 s, and was ended$"):
            await hangs.do(PowerAction.RESET)
        for name in ("pid", "child"):
            pid = await number_in(tmp_path / name)
            await until(lambda pid=pid: not alive(pid), lambda name=name: name)  # type: ignore[misc]

    run(switched)


def test_a_hook_that_prints_without_end_costs_its_time_and_nothing_else(tmp_path: Path) -> None:
    """faults.md 18, the kind: output is bounded, and the event loop serves others meanwhile."""

    async def switched() -> None:
        with Turns() as turns, pytest.raises(PowerError, match="did not end in 1 s"):
            await power("yes", timeout_s=1).do(PowerAction.ON)
        assert turns.count > 10
        said = await power("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end").do(PowerAction.ON)
        assert said == "end"

    run(switched)


@pytest.mark.parametrize(
    ("name", "content", "mode", "reason"),
    [
        ("none", None, 0, "No such file or directory"),
        ("plain", b"#!/bin/sh\n", 0o644, "Permission denied"),
        ("wrong", b"\x7fELF nothing", 0o755, "Exec format error"),
        ("interpreter", b"#!/no/such/shell\n", 0o755, "No such file or directory"),
    ],
)
def test_what_cannot_be_run(name: str, content: bytes | None, mode: int, reason: str, tmp_path: Path) -> None:
    """faults.md 18, the kind: which program, and why."""
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
        file.chmod(mode)

    async def switched() -> None:
        with pytest.raises(PowerError, match=rf"^{file} cannot be run: {reason}"):
            await power(str(file)).do(PowerAction.ON)

    run(switched)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("echo nobody there >&2; exit 3", "sh failed with status 3: nobody there"),
        ("kill -KILL $$", "sh was ended by SIGKILL"),
        (r"printf '\033]0;PWN\007 \302\233x'; exit 1", r"sh failed with status 1: ?]0;PWN? ?x"),
    ],
)
def test_a_hook_that_fails_says_how(text: str, reason: str, tmp_path: Path) -> None:
    """Its words act on no terminal (security.md 18)."""

    async def switched() -> None:
        with pytest.raises(PowerError) as failed:
            await script(text, tmp_path).do(PowerAction.OFF)
        assert str(failed.value) == reason

    run(switched)


def test_whoever_leaves_ends_the_hook_that_still_runs(tmp_path: Path) -> None:
    """As when the server stops."""

    async def switched() -> None:
        doing = asyncio.ensure_future(script("echo $$ > pid; sleep 300", tmp_path).do(PowerAction.ON))
        pid = await number_in(tmp_path / "pid")
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing
        await until(lambda: not alive(pid), lambda: pid)

    run(switched)


def test_a_hook_that_hangs_is_ended_without_a_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 18 and 25, variation: the descriptors run out when the hook has just been started. It went on for
    ever, and its output was never closed."""

    def none_left(pid: int) -> int:
        raise OSError(24, os.strerror(24))

    async def hang() -> None:
        with pytest.raises(PowerError, match="did not end in 1 s, and was ended"):
            await power("sh", "-c", f"trap '' TERM; echo $$ > {pid}; sleep 600", timeout_s=1).do(PowerAction.ON)

    pid = tmp_path / "pid"
    monkeypatch.setattr(os, "pidfd_open", none_left)
    run(hang)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
