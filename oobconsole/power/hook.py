"""Runs a program of the administrator's until the program itself ends. What it leaves in the background lives on.

Why not by asyncio? The program must get three descriptors and nothing else. uvloop's processes get further,
inheritable copies of them, which whatever goes into the background keeps open. So the standard library starts the
program, and a pidfd says when it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from oobconsole.errors import EnvironmentFault
from oobconsole.net.dialer import why
from oobconsole.power.starting import Start
from oobconsole.words import brief

log = structlog.get_logger(__name__)

#: How many bytes of the output are kept: the last ones.
KEPT_MAX: Final = 4096
#: How many bytes are read at once, and how many seconds of rest follow: the bound for a program that prints for ever.
_READ_MAX: Final = 65536
_REST_SECONDS: Final = 0.01
#: How many seconds there are between SIGTERM and SIGKILL, and after SIGKILL for the program to be gone.
_KILL_SECONDS: Final = 2.0
#: How many outputs are read on for programs that stay in the background; beyond that, the oldest is closed.
_DRAINS_MAX: Final = 64
#: How often it is looked whether a program has ended while there is no descriptor that says so, in seconds.
_LOOK_SECONDS: Final = 0.05


class Output:
    """Reads a program's output from a pipe, and keeps its end.

    It reads on after the program has ended, because what stays in the background must not die of writing there.
    """

    _draining: Final[dict[Output, None]] = {}

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None
        self.kept = b""
        os.set_blocking(descriptor, False)
        self._listen()

    def _listen(self) -> None:
        self._rest = None
        self._loop.add_reader(self._fd, self.read)

    def read(self) -> None:
        """Read what is there, `_READ_MAX` bytes at most."""
        if self._fd < 0:
            return
        try:
            data = os.read(self._fd, _READ_MAX)
        except BlockingIOError:
            return
        self.kept = (self.kept + data)[-KEPT_MAX:]
        if not data:
            self.close()
        elif len(data) == _READ_MAX and self._rest is None:
            self._loop.remove_reader(self._fd)
            self._rest = self._loop.call_later(_REST_SECONDS, self._listen)

    def drain(self) -> None:
        """Throw away what still comes, until nobody has the pipe's other end."""
        if self._fd < 0:
            return
        Output._draining[self] = None
        if len(Output._draining) > _DRAINS_MAX:
            log.warning(
                f"more than {_DRAINS_MAX} programs that hooks left in the background still have the hooks' output: "
                "redirect it there; the oldest one's is closed"
            )
            next(iter(Output._draining)).close()

    def close(self) -> None:
        """Close the pipe. A second call does nothing."""
        if self._fd < 0:
            return
        Output._draining.pop(self, None)
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1


class HookFault(EnvironmentFault):
    """A program could not be run, or failed. The message is one sentence that begins with the program."""


async def succeed(
    words: Sequence[str], timeout_s: float, *, data: bytes = b"", env: Mapping[bytes, bytes] | None = None
) -> str:
    """Run a program that should succeed; returns the last line that it printed. The arguments are those of `run`.

    Raises:
        HookFault: the program could not be started, did not end in time, or has failed.
    """
    try:
        status, output = await run(words, timeout_s, data=data, env=env)
    except TimeoutError as error:
        raise HookFault(f"{words[0]} {error}") from error
    except OSError as error:
        raise HookFault(f"{words[0]} cannot be run: {why(error)}") from error
    said = _last_line(output)
    if status:
        how = f"failed with status {status}" if status > 0 else f"was ended by {_signal(-status)}"
        raise HookFault(f"{words[0]} {how}{f': {said}' if said else ''}")
    return said


def _last_line(output: bytes) -> str:
    """The last line of the output that is not empty, safe for terminals."""
    lines = output.decode(errors="replace").split("\n")
    return brief(next((line.strip() for line in reversed(lines) if line.strip()), ""))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time one
        return f"signal {number}"


async def run(
    words: Sequence[str], timeout_s: float, *, data: bytes = b"", env: Mapping[bytes, bytes] | None = None
) -> tuple[int, bytes]:
    """Run a program until it ends. What it has started in the background lives on.

    Args:
        words: the program and its arguments; no shell is between.
        timeout_s: a program that has not ended after so many seconds is ended, with its process group. The time
            counts from the call on, because starting a program takes time, too.
        data: its standard input.
        env: variables of its environment, besides the server's.

    Returns:
        Its exit status, or the negative number of the signal that ended it; and the last KEPT_MAX bytes of its
        output.

    Raises:
        OSError: it cannot be started.
        TimeoutError: it did not end by itself in `timeout_s`, or could not be started in that time. The message says
            which.
    """
    reading, writing = os.pipe()
    output, process = Output(reading), None
    try:
        async with asyncio.timeout(timeout_s):
            process = await _start(words, writing, data, {**os.environb, **(env or {})})
            await _ended(process)
    except BaseException as error:
        if process is not None:
            await _end(process)
        output.close()
        if isinstance(error, TimeoutError):
            what = "could not be started" if process is None else "did not end"
            ended = "" if process is None else ", and was ended"
            raise TimeoutError(f"{what} in {timeout_s} s{ended}") from error
        raise
    output.read()  # what the program itself has printed last is there by now
    output.drain()
    return process.wait(), output.kept


async def _start(
    words: Sequence[str], output: int, data: bytes, env: Mapping[bytes, bytes]
) -> subprocess.Popen[bytes]:
    start = Start(words, output, data, env)
    try:
        return await start.run()
    except asyncio.CancelledError:
        process = start.abandon()
        if process is not None:
            await _end(process)
        raise


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process ends. It stays a zombie, so that no other process can get its number."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    while (descriptor := _pidfd(process)) is None:  # the process must have its end all the same
        if _is_over(process):
            return
        await asyncio.sleep(_LOOK_SECONDS)
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _pidfd(process: subprocess.Popen[bytes]) -> int | None:
    """Return a descriptor that can be read when the process has ended; None: the server has no descriptor left."""
    try:
        return os.pidfd_open(process.pid)
    except OSError:
        return None


def _is_over(process: subprocess.Popen[bytes]) -> bool:
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


async def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and its whole process group: by SIGTERM, and then by SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await _ended(process)
    if process.poll() is None:
        log.warning("a hook does not end, though it was killed: the kernel waits for something", pid=process.pid)
