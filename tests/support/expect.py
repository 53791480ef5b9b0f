"""Waits for what a process prints: by pattern, with a failure pattern and a timeout, never by sleeping.

Every timeout here is what suffices on a quiet machine, in seconds; on a slower one there is more (pace.py).
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from tests.support.pace import Deadline


class ExpectError(AssertionError):
    """What was waited for did not come. The message shows what was seen instead."""


class Expect:
    """A child process whose output is read as it comes.

    Args:
        command: what to run.
        merge_stderr: standard error is read as part of the output; else apart from it.

    Attributes:
        seen: the output so far.
        told: what came on standard error, if that is apart.
    """

    def __init__(self, command: Sequence[str], *, merge_stderr: bool = True) -> None:
        self.seen = bytearray()
        self.told = bytearray()
        self._at = 0
        self._told_at = 0
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_stderr else subprocess.PIPE,
            bufsize=0,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        self._error_output = None if self._process.stderr is None else self._process.stderr.fileno()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes | str) -> None:
        """Type `data`."""
        assert self._process.stdin is not None
        rest = memoryview(data.encode() if isinstance(data, str) else data)
        while rest:
            rest = rest[self._process.stdin.write(rest) or 0 :]

    def send_eof(self) -> None:
        """End the child's input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def expect(self, pattern: bytes | str, *, timeout: float, fail: bytes | str | None = None) -> re.Match[bytes]:
        """Wait until `pattern` appears after the last match; returns the match. `fail` may appear on standard error
        as well.

        Raises:
            ExpectError: `fail` appeared, the child ended, or the time was up; with the last that was seen.
        """
        match = self._await(self.seen, self._at, pattern, timeout, fail)
        self._at = match.end()
        return match

    def expect_told(self, pattern: bytes | str, *, timeout: float) -> re.Match[bytes]:
        """Wait until `pattern` appears on standard error, which is apart, after the last match there. Raises as
        `expect` does."""
        match = self._await(self.told, self._told_at, pattern, timeout, None)
        self._told_at = match.end()
        return match

    def insist(
        self,
        keys: bytes | str,
        pattern: bytes | str,
        *,
        timeout: float,
        every: float,
        fail: bytes | str | None = None,
    ) -> re.Match[bytes]:
        """Type `keys` again and again until `pattern` appears after the last match; returns the match.

        Args:
            every: so many seconds, on any machine: what is typed at may listen for a time of its own, which is not
                longer on a slow one.

        Raises:
            ExpectError: as `expect` does.
        """
        deadline = Deadline(timeout)
        while True:
            self.send(keys)
            again = time.monotonic() + every
            match = self._look(self.seen, self._at, pattern, fail, partial(_left_until, again))
            if match:
                self._at = match.end()
                return match
            if not deadline.left:
                raise self._error(
                    f"{pattern!r} did not come in {deadline}, though {keys!r} was typed again and again"
                )

    def _await(
        self, stream: bytearray, start: int, pattern: bytes | str, timeout: float, fail: bytes | str | None
    ) -> re.Match[bytes]:
        deadline = Deadline(timeout)
        match = self._look(stream, start, pattern, fail, lambda: deadline.left)
        if match is None:
            raise self._error(f"{pattern!r} did not come in {deadline}")
        return match

    def _look(
        self,
        stream: bytearray,
        start: int,
        pattern: bytes | str,
        fail: bytes | str | None,
        time_left: Callable[[], float],
    ) -> re.Match[bytes] | None:
        """Read until `pattern` is there; None when no time is left."""
        wanted = re.compile(_bytes(pattern), re.DOTALL)
        unwanted = re.compile(_bytes(fail), re.DOTALL) if fail is not None else None
        while True:
            match = wanted.search(stream, start)
            if match:
                return match
            if unwanted and (unwanted.search(stream, start) or unwanted.search(self.told, self._told_at)):
                raise self._error(f"{fail!r} came instead of {pattern!r}")
            left = time_left()
            if not left:
                return None
            if not self._read(left):
                match = wanted.search(stream, start)  # it may be the last that was told
                if match:
                    return match
                raise self._error(f"the process ended ({self._status()}) before {pattern!r} came")

    def read_to_end(self, timeout: float) -> bytes:
        """Read until the child closes its output; returns everything after the last match."""
        deadline = Deadline(timeout)
        while self._read(deadline.left):
            if not deadline.left:
                raise self._error(f"the output did not end in {deadline}")
        return bytes(self.seen[self._at :])

    def wait(self, timeout: float) -> int:
        """Wait for the child's end; returns its status."""
        return wait_for(self._process, timeout)

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the child has not ended yet."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the child without warning (SIGKILL)."""
        self._process.kill()

    def close(self) -> None:
        """End the child."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                wait_for(self._process, 5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()

    def _read(self, timeout: float) -> bool:
        """Read what is there; False at the end of the output."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        both = [output] if self._error_output is None else [output, self._error_output]
        ready = select.select(both, [], [], timeout)[0]
        if self._error_output in ready:
            self._read_error_output(self._error_output)
        if output not in ready:
            return True
        data = os.read(output, 1 << 16)
        self.seen += data
        if not data:
            self._read_what_was_told_before_the_end()
        return bool(data)

    def _status(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return f"status {wait_for(self._process, 5)}"
        return "that is, it has closed its output"

    def _read_what_was_told_before_the_end(self) -> None:
        while self._error_output is not None and select.select([self._error_output], [], [], 0)[0]:
            self._read_error_output(self._error_output)

    def _read_error_output(self, descriptor: int) -> None:
        data = os.read(descriptor, 1 << 16)
        self.told += data
        if not data:
            self._error_output = None

    def _error(self, what: str) -> ExpectError:
        seen, told = (bytes(stream[-2000:]).decode(errors="replace") for stream in (self.seen, self.told))
        return ExpectError(f"{what}; the last that was seen:\n{seen}" + (f"\n--- and told:\n{told}" if told else ""))


def run_to_end(command: Sequence[str], *, data: bytes = b"", timeout: float) -> subprocess.CompletedProcess[bytes]:
    """Run something to its end, with `data` as its input. It is killed when its time is up.

    Raises:
        ExpectError: it did not end in time; with what it printed.
    """
    deadline = Deadline(timeout)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        unsent: bytes | None = data
        while True:
            try:
                output, errors = process.communicate(unsent, deadline.left)
            except subprocess.TimeoutExpired:
                unsent = None  # what was not read yet is kept, and sent by the next call
                if not deadline.left:
                    process.kill()
                    output, errors = process.communicate()
                    raise ExpectError(
                        f"{command} did not end in {deadline}: {output[-2000:]!r}, {errors[-2000:]!r}"
                    ) from None
            except BaseException:
                process.kill()
                raise
            else:
                return subprocess.CompletedProcess(command, process.returncode, output, errors)


def wait_for(process: subprocess.Popen[bytes], timeout: float) -> int:
    """Wait for the end of a process; returns its status. Raises `subprocess.TimeoutExpired`."""
    deadline = Deadline(timeout)
    while True:
        try:
            return process.wait(deadline.left)
        except subprocess.TimeoutExpired:
            if not deadline.left:
                raise


def _left_until(then: float) -> float:
    """Seconds until that time of `time.monotonic`; 0 when it is past."""
    return max(0.0, then - time.monotonic())


def _bytes(pattern: bytes | str) -> bytes:
    return pattern.encode() if isinstance(pattern, str) else pattern
