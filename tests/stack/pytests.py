"""Runs pytest as a process of its own. What it prints goes into a file, and it ends with all that it has started."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.expect import wait_for

#: If this program is killed, pytest is told to end as well.
WITH_US: Final = ("setpriv", "--pdeathsig", "TERM")
#: How long pytest may take to undo what its fixtures have done, and then to end at all, in seconds.
UNDO_S, END_S = 30.0, 5.0
#: pytest prints this when it has found its tests. After it, pytest runs them.
_BEGUN: Final = re.compile(rb"^collected \d+ item", re.MULTILINE)
SHOWN_LINES: Final = 20


class NoResultError(Exception):
    """pytest has not run the tests, so nothing can be said about them. The message says what pytest printed last."""


@dataclass(frozen=True)
class Counts:
    """How the tests of one run ended."""

    passed: int
    failed: int
    skipped: int


class PytestRun:
    """One process of pytest, which ends with the block. It is in a session of its own. So a Ctrl-C at our terminal
    reaches only this program, which decides how pytest ends.

    Args:
        folder: the folder in which pytest runs.
        words: pytest's arguments.
        log: the file that gets what pytest prints.
        environment: variables of the environment that pytest gets besides ours.
    """

    def __init__(
        self, folder: Path, words: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._report = log.with_suffix(".xml")
        self._report.unlink(missing_ok=True)
        self._log = log
        # Does a shell run this in the background? Then the signal is ignored, and pytest would ignore it as well.
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [*WITH_US, sys.executable, "-m", "pytest", *words, f"--junitxml={self._report}"],
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pidfd = os.pidfd_open(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """A descriptor that becomes readable when pytest has ended (pidfd_open(2)), until `close`."""
        return self._pidfd

    def close(self) -> None:
        """End pytest if it still runs. Nothing is left of it but its log."""
        self.end()
        os.close(self._pidfd)
        self._report.unlink(missing_ok=True)

    def wait(self, seconds: float | None) -> bool:
        """Wait until pytest has ended, for so many seconds at most. Returns whether it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self) -> None:
        """End pytest, and whatever is left of its process group. At first it is interrupted, as by Ctrl-C, because
        its fixtures may have started programs outside of its process group, of which only they know."""
        for number, seconds in ((signal.SIGINT, UNDO_S), (signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
            if self._process.poll() is None:
                self._process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    wait_for(self._process, seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)

    def counts(self) -> Counts:
        """Return how the tests have ended, after pytest has ended by itself. A pytest that has crashed while it ran
        the tests counts as a test that failed, and so does one that has found no test.

        Raises:
            NoResultError: pytest has not begun to run the tests.
        """
        if not self._report.exists():
            if not _BEGUN.search(self._log.read_bytes()):
                raise NoResultError(f"pytest did not start (status {self._process.returncode}):\n{self.last_lines()}")
            return Counts(passed=0, failed=1, skipped=0)
        total = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
        for suite in ElementTree.parse(self._report).iter("testsuite"):
            total = {name: had + int(suite.get(name, 0)) for name, had in total.items()}
        bad = total["failures"] + total["errors"]
        passed = max(0, total["tests"] - bad - total["skipped"])
        return Counts(passed, bad or int(self._process.returncode != 0), total["skipped"])

    def last_lines(self) -> str:
        """Return the end of what pytest has printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-SHOWN_LINES:])
