"""`make soak`: runs the tests while other programs keep every processor busy.

Everything that `make test` runs is run once, and the folders whose tests wait for real processes are run five times.

The tests are run piece by piece. What has been done is kept in `build/soak/`, for the state of the code that was
tested. A run that was stopped, by `MINUTES` or by hand, is continued by the next call. A piece that was stopped has
no result, and is begun anew. A piece that has failed stays failed until its own file of tests changes, or a file on
which all tests depend. Its output is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

from tests.stack.nested import ROOT
from tests.stack.pieces import Piece, Progress, Result, chosen, code_under_test, in_words, pieces
from tests.stack.pytests import WITH_US, NoResultError, PytestRun

#: The program that keeps processors busy while the tests run.
LOAD: Final = ("stress-ng", "--cpu", "4", "--vm", "1", "--vm-bytes", "512M")
#: Variables of the environment for the first round. The server is then late 500 times, for up to 2 s
#: (tests/contract/test_late_server.py).
THOROUGH: Final = {"OOB_LATE": "500"}
#: The longest time to wait, in seconds. epoll(7) refuses to wait for more than 24 days.
_LONGEST_WAIT: Final = 86400.0
#: Exit statuses: everything has passed; something has failed; there is no result; there is more to do.
PASSED, FAILED, NO_RESULT, MORE = range(4)


@contextlib.contextmanager
def busy_machine() -> Iterator[subprocess.Popen[bytes]]:
    """Keep the processors busy for as long as the block lasts."""
    with subprocess.Popen([*WITH_US, *LOAD], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        try:
            yield load
        finally:
            load.terminate()


@dataclass(frozen=True)
class _Working:
    piece: Piece
    tested: PytestRun
    log: Path
    since: float
    tests: str  # as they were at the beginning


class Crew:
    """The pieces that are being tested, each by a pytest of its own. Those that still run end with the block.

    Args:
        progress: its folder keeps the output of pieces in which something has failed.
    """

    def __init__(self, progress: Progress, tests: Path = ROOT / "tests") -> None:
        self._progress = progress
        self._tests = tests
        self._working: dict[int, _Working] = {}
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        for working in self._working.values():
            print(f"{working.piece.name} was not done in time and is ended: it has no result", flush=True)
            working.tested.close()
        self._selector.close()

    def __len__(self) -> int:
        return len(self._working)

    def begin(self, piece: Piece) -> None:
        """Start a pytest for a piece."""
        log = self._progress.folder / f"{piece.name.replace('/', '.').replace(' ', '.')}.log"
        environment = THOROUGH if piece.round == 1 else {}
        tested = PytestRun(self._tests.parent, [str(self._tests / piece.path)], log, environment)
        self._working[tested.fileno()] = _Working(piece, tested, log, time.monotonic(), piece.digest(self._tests))
        self._selector.register(tested, selectors.EVENT_READ)

    def ended(self, seconds: float | None) -> Iterator[tuple[Piece, Result]]:
        """Wait until one or more pieces have ended, for so many seconds at most. Returns their results.

        Raises:
            NoResultError: pytest did not start.
        """
        for key, _ in self._selector.select(None if seconds is None else min(seconds, _LONGEST_WAIT)):
            self._selector.unregister(key.fileobj)
            working = self._working.pop(key.fd)
            try:
                yield working.piece, _result(working)
            finally:
                working.tested.close()


def _result(working: _Working) -> Result:
    """Return the result of a piece that has ended. Its output is kept if any test has failed."""
    working.tested.wait(None)
    counts = working.tested.counts()
    seconds = time.monotonic() - working.since
    if counts.failed:
        print(working.tested.last_lines())
    else:
        working.log.unlink()
    load = os.getloadavg()[0]
    return Result(counts.passed, counts.failed, counts.skipped, round(seconds, 1), round(load, 1), working.tests)


def soak(progress: Progress, wanted: Sequence[Piece], minutes: float, jobs: int) -> None:
    """Run the pieces that have not been done yet, for so many minutes, so many pieces at the same time. A piece that
    is known to take longer than the time that is left is not begun.

    Raises:
        NoResultError: pytest did not start, or the load has ended.
    """
    deadline = time.monotonic() + 60 * minutes
    waiting = deque(piece for piece in wanted if piece.name not in progress.done)
    print(progress.durations.estimate(list(waiting)) if waiting else "everything has been done already", flush=True)
    with busy_machine() as load, Crew(progress) as crew:
        while waiting or crew:
            while waiting and len(crew) < jobs and deadline > time.monotonic():
                _begin_in_time(waiting.popleft(), progress, crew, deadline - time.monotonic())
            if not crew or deadline <= time.monotonic():
                break
            for piece, result in crew.ended(None if deadline == float("inf") else deadline - time.monotonic()):
                if load.poll() is not None:
                    raise NoResultError(f"{LOAD[0]} has ended (status {load.returncode})")
                progress.add(piece, result)
                print(f"{piece.name}: {result}", flush=True)


def _begin_in_time(piece: Piece, progress: Progress, crew: Crew, seconds: float) -> None:
    expected = progress.durations.of(piece)
    if expected is not None and expected > seconds:
        print(f"{piece.name} takes about {in_words(expected)}, and there is less time left: not begun", flush=True)
        return
    print(f"{piece.name} …", flush=True)
    crew.begin(piece)


def table(done: dict[str, Result], every: Sequence[Piece]) -> str:
    """Return the results as a table, like the one in `docs/testing.md`."""
    lines = [
        "| round | folder | passed | skipped | failed | time | load |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, folder in dict.fromkeys((piece.round, piece.folder) for piece in every):
        ours = [piece for piece in every if (piece.round, piece.folder) == (number, folder)]
        results = [done[piece.name] for piece in ours if piece.name in done]
        if not results:
            continue
        part = "" if len(results) == len(ours) else f" ({len(results)} of {len(ours)} files)"
        passed, failed, skipped = (sum(getattr(r, what) for r in results) for what in ("passed", "failed", "skipped"))
        loads = f"{min(r.load for r in results):g} to {max(r.load for r in results):g}"
        took = in_words(sum(r.seconds for r in results))
        lines.append(f"| {number} | {folder}{part} | {passed} | {skipped} | {failed} | {took} | {loads} |")
    return "\n".join(lines)


def summary(progress: Progress, every: Sequence[Piece]) -> int:
    """Print all results so far, also of pieces that were not wanted now. Returns the exit status."""
    left = [piece for piece in every if piece.name not in progress.done]
    failed = [name for name, result in progress.done.items() if result.failed]
    head = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    print(f"\ncommit {head}, files {progress.folder.name}; {os.cpu_count()} processors, {platform.machine()};")
    print(f"beside it {' '.join(LOAD)}\n")
    print(table(progress.done, every))
    for name in failed:
        print(f"failed: {name}: {progress.folder.relative_to(ROOT)}/")
    if left:
        print(f"{len(left)} of {len(every)} pieces are left: 'make soak' goes on with {left[0].name};")
        print(progress.durations.estimate(left))
    return FAILED if failed else MORE if left else PASSED


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End the tests in good order when this program is to end. A second signal is ignored, because make passes on
    each signal that it gets itself."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Run what is wanted. Returns the exit status: 0 when everything has passed, 1 when something has failed, 2 when
    there is no result, and 3 when there is more to do."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end after so long")
    parser.add_argument("--jobs", type=int, default=1, help="so many pieces at a time")
    parser.add_argument("only", nargs="*", help="rounds (1 to 5), folders (vm) and files (vm/test_qmp.py) to run")
    options = parser.parse_args()
    every = pieces()
    try:
        wanted = chosen(every, options.only)
    except ValueError as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Progress(ROOT / "build" / "soak", code_under_test(), every)
    try:
        soak(progress, wanted, options.minutes, options.jobs)
    except NoResultError as error:
        print(f"this is no result: {error}", file=sys.stderr)
        return NO_RESULT
    except KeyboardInterrupt:
        print("\nstopped: what was running has no result")
    return summary(progress, every)


if __name__ == "__main__":
    sys.exit(main())
