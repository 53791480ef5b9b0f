"""Waits for what a process prints: by pattern, with a failure pattern and a timeout, never by sleeping."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self


class ExpectError(AssertionError):
    """What was waited for did not come; shows what was seen instead."""


class Expect:
    """A child process whose output (standard output and error) is read as it comes.

    Args:
        command: what to run.
        merge_stderr: also read standard error; else it goes to ours.
    """

    def __init__(self, command: Sequence[str], *, merge_stderr: bool = True) -> None:
        self.seen = bytearray()
        self._at = 0
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_stderr else None,
            bufsize=0,
        )
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def send(self, data: bytes | str) -> None:
        """Type."""
        assert self._process.stdin is not None
        rest = memoryview(data.encode() if isinstance(data, str) else data)
        while rest:
            rest = rest[self._process.stdin.write(rest) or 0 :]

    def send_eof(self) -> None:
        """End the child's input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def expect(self, pattern: bytes | str, *, timeout: float, fail: bytes | str | None = None) -> re.Match[bytes]:
        """Wait until `pattern` appears after the last match; returns the match.

        Raises:
            ExpectError: `fail` appeared, the child ended, or the time was up; with the last that was seen.
        """
        wanted = re.compile(_bytes(pattern), re.DOTALL)
        unwanted = re.compile(_bytes(fail), re.DOTALL) if fail is not None else None
        deadline = time.monotonic() + timeout
        while True:
            match = wanted.search(self.seen, self._at)
            if match:
                self._at = match.end()
                return match
            if unwanted and unwanted.search(self.seen, self._at):
                raise self._error(f"{fail!r} came instead of {pattern!r}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._error(f"{pattern!r} did not come in {timeout:g} s")
            if not self._read(left):
                raise self._error(f"the process ended (status {self._process.wait()}) before {pattern!r} came")

    def read_to_end(self, timeout: float) -> bytes:
        """Read until the child closes its output; returns everything after the last match."""
        deadline = time.monotonic() + timeout
        while self._read(max(0.0, deadline - time.monotonic())):
            if time.monotonic() >= deadline:
                raise self._error(f"the output did not end in {timeout:g} s")
        return bytes(self.seen[self._at :])

    def wait(self, timeout: float) -> int:
        """Wait for the child's end; returns its status."""
        return self._process.wait(timeout)

    @property
    def running(self) -> bool:
        """Has it not ended?"""
        return self._process.poll() is None

    def close(self) -> None:
        """End the child."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _read(self, timeout: float) -> bool:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if not select.select([descriptor], [], [], timeout)[0]:
            return True
        data = os.read(descriptor, 1 << 16)
        self.seen += data
        return bool(data)

    def _error(self, what: str) -> ExpectError:
        return ExpectError(f"{what}; the last that was seen:\n{bytes(self.seen[-2000:]).decode(errors='replace')}")


def _bytes(pattern: bytes | str) -> bytes:
    return pattern.encode() if isinstance(pattern, str) else pattern
