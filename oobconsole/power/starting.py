"""Starts a program of the administrator's, in a thread: its file may lie on a disk that does not answer.

Linux reads the program's file before the call that starts it returns (execve(2)). A file system of the network that
is away keeps that call waiting, perhaps for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from weakref import WeakValueDictionary

from oobconsole.threads import Threads

#: How many starts of one program are made at the same time, and how many more may wait for that. Each program has
#: threads of its own, so that a program that hangs keeps no other from being started.
STARTING_MAX: Final = 8
WAITING_MAX: Final = 256

_threads: Final[WeakValueDictionary[str, Threads]] = WeakValueDictionary()


class Start:
    """One start of one program, in a session of its own.

    Args:
        words: the program and its arguments; no shell is between.
        output: the descriptor that becomes its standard output and error output. It is closed here, in any case.
        data: its standard input.
        env: its environment.
    """

    def __init__(self, words: Sequence[str], output: int, data: bytes, env: Mapping[bytes, bytes]) -> None:
        self._words = words
        self._output = output
        self._data = data
        self._env = env
        self._lock = threading.Lock()
        self._begun = self._abandoned = False
        self._process: subprocess.Popen[bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[subprocess.Popen[bytes]] = self._loop.create_future()

    async def run(self) -> subprocess.Popen[bytes]:
        """Start the program, and return its process. A caller that is cancelled calls `abandon`.

        Raises:
            OSError: it cannot be started, or too many starts of it hang already.
        """
        program = self._words[0]
        if (threads := _threads.get(program)) is None:
            _threads[program] = threads = Threads(STARTING_MAX)
        if threads.waiting >= WAITING_MAX:
            os.close(self._output)
            raise OSError(f"{STARTING_MAX} starts of it hang, and {WAITING_MAX} more wait for these")
        threads.begin(self._run, f"start {program}")
        return await self._ended

    def abandon(self) -> subprocess.Popen[bytes] | None:
        """Say that nobody waits any more. A program that was not started yet never is; one whose start hangs is
        killed as soon as it is started. Returns the process of one that was just started: the caller ends it."""
        with self._lock:
            self._abandoned = True
            if not self._begun:
                os.close(self._output)
            return self._process

    def _run(self) -> None:
        with self._lock:
            if self._abandoned:
                return
            self._begun = True
        try:
            process = self._start()
        except Exception as error:
            self._tell(error)
            return
        with self._lock:
            self._process = None if self._abandoned else process
        if self._process is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._tell(process)

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            with _input(self._data) as given:
                return subprocess.Popen(
                    self._words,
                    stdin=given,
                    stdout=self._output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=self._env,
                )
        finally:
            os.close(self._output)

    def _tell(self, how: subprocess.Popen[bytes] | Exception) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, how)

    def _settle(self, how: subprocess.Popen[bytes] | Exception) -> None:
        if self._ended.done():
            return
        if isinstance(how, Exception):
            self._ended.set_exception(how)
        else:
            self._ended.set_result(how)


@contextlib.contextmanager
def _input(data: bytes) -> Iterator[int]:
    """A descriptor to read `data` from. It is memory, so that nobody waits for a program that does not read it."""
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
