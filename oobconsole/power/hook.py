"""Running a program of the administrator's to its own end, which is not that of what it starts in the background.

The child gets three descriptors and nothing else. uvloop's processes get further, inheritable copies of them, which
whatever goes into the background keeps open; so the standard library starts it, and a pidfd says when it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import structlog

from oobconsole.errors import EnvironmentFault
from oobconsole.net.dialer import why
from oobconsole.words import brief

log = structlog.get_logger(__name__)

#: What is kept of the output, in bytes: its end.
KEPT_MAX: Final = 4096
#: Read at once, in bytes, and the rest after that, in seconds: a program that prints without end costs only so much.
_READ_MAX: Final = 65536
_REST_SECONDS: Final = 0.01
#: Between asking it to end and ending it, and for it to be gone then.
_KILL_SECONDS: Final = 2.0
#: Outputs that are read on for what stays in the background; the oldest gives way.
_DRAINS_MAX: Final = 64


class Output:
    """Reads a pipe and keeps the end of it; also after the hook: whoever writes there must not die of it."""

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
        """What is there, or so much of it."""
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

    @classmethod
    def draining(cls) -> int:
        """How many outputs of hooks that have ended are still read."""
        return len(cls._draining)

    def drain(self) -> None:
        """Throw away what still comes, until nobody has the other end."""
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
        """Idempotent."""
        if self._fd < 0:
            return
        Output._draining.pop(self, None)
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1


class HookFault(EnvironmentFault):
    """A program could not be run, or did not do what it should; in one sentence."""


async def succeed(
    words: Sequence[str], timeout_s: float, *, data: bytes = b"", env: Mapping[bytes, bytes] | None = None
) -> str:
    """As `run`; returns the last line that it printed. Raises `HookFault`, also when it fails."""
    try:
        status, output = await run(words, timeout_s, data=data, env=env)
    except TimeoutError as error:
        raise HookFault(f"{words[0]} did not end in {timeout_s} s, and was ended") from error
    except OSError as error:
        raise HookFault(f"{words[0]} cannot be run: {why(error)}") from error
    said = _last_line(output)
    if status:
        how = f"failed with status {status}" if status > 0 else f"was ended by {_signal(-status)}"
        raise HookFault(f"{words[0]} {how}{f': {said}' if said else ''}")
    return said


def _last_line(output: bytes) -> str:
    """The last one that is not empty."""
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
    """Run it; returns its status, negative for a signal's number, and the end of what it printed.

    Args:
        data: its standard input.
        env: its environment, besides the server's.

    What it has started in the background lives on. What is not done in `timeout_s` is ended with its process group.

    Raises:
        OSError: it cannot be started.
        TimeoutError: it did not end by itself.
    """
    reading, writing = os.pipe()
    try:
        process = await _start(words, writing, data, {**os.environb, **(env or {})})
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    output = Output(reading)
    try:
        async with asyncio.timeout(timeout_s):
            await _ended(process)
    except BaseException:
        await _end(process)
        output.close()
        raise
    output.read()  # the end of what itself has printed is there by now
    output.drain()
    return process.wait(), output.kept


async def _start(
    words: Sequence[str], output: int, data: bytes, env: Mapping[bytes, bytes]
) -> subprocess.Popen[bytes]:
    def start() -> subprocess.Popen[bytes]:
        with _input(data) as given:
            return subprocess.Popen(
                words, stdin=given, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, env=env
            )

    starting = asyncio.ensure_future(asyncio.to_thread(start))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.wait((starting,))  # it has our descriptor until then
        if starting.exception() is None:
            await _end(starting.result())
        raise


@contextlib.contextmanager
def _input(data: bytes) -> Iterator[int]:
    """A descriptor to read `data` from: memory, so that nobody waits for who does not read it."""
    if not data:
        yield subprocess.DEVNULL
        return
    descriptor = os.memfd_create("input")
    try:
        os.write(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for its end. It stays a zombie, so that its number remains its own."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _end(process: subprocess.Popen[bytes]) -> None:
    """It, and all of its process group, also what does not listen to SIGTERM."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await _ended(process)
    if process.poll() is None:
        log.warning("a hook does not end, though it was killed: the kernel waits for something", pid=process.pid)
