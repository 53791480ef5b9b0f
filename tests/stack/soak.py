"""`make soak`: the tests while other programs keep every processor busy.

Once everything that `make test` runs, and `ROUNDS` times in all the folders whose tests wait for real processes. It
goes piece by piece, and what has been done is kept in `build/soak/`, by commit: a run that was stopped, by `MINUTES`
or by hand, goes on with the next call. A piece that failed stays failed for its commit, with its output kept.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.stack.nested import ROOT

#: What runs beside the tests.
LOAD: Final = ("stress-ng", "--cpu", "4", "--vm", "1", "--vm-bytes", "512M")
#: Whatever becomes of us, what we started ends with us.
WITH_US: Final = ("setpriv", "--pdeathsig", "TERM")
ROUNDS: Final = 5
#: In the first round the server is late 500 times, for up to 2 s (tests/contract/test_late_server.py).
THOROUGH: Final = {"OOB_LATE": "500"}
#: Folders that are run `ROUNDS` times, file by file.
AGAIN: Final = ("vm", "contract", "loopback")
#: Folders that are run once, and whose files are pieces of their own, since each takes long.
BY_FILE: Final = ("adversary",)
SIGNS_OF_LIFE: Final = 10  # lines of a failed piece that are shown


@dataclass(frozen=True)
class Result:
    """How one piece ended."""

    passed: int
    failed: int
    skipped: int
    seconds: float
    load: float


@dataclass(frozen=True)
class Piece:
    """Some tests, in one of the rounds."""

    round: int
    path: Path

    @property
    def name(self) -> str:
        return f"{self.round} {self.path.relative_to(ROOT)}"

    @property
    def folder(self) -> str:
        return self.path.relative_to(ROOT / "tests").parts[0]


def pieces() -> list[Piece]:
    """All of them, in the order in which they are run."""
    folders = sorted({path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")})
    found = []
    for number in range(1, ROUNDS + 1):
        for folder in folders if number == 1 else AGAIN:
            path = ROOT / "tests" / folder
            by_file = folder in (*AGAIN, *BY_FILE)
            found += [Piece(number, one) for one in (sorted(path.rglob("test_*.py")) if by_file else [path])]
    return found


def commit() -> str:
    """What is tested: a commit, and what was changed since, if anything was."""

    def git(*words: str) -> bytes:
        return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True).stdout

    head = git("rev-parse", "--short=12", "HEAD").decode().strip()
    changed = git("diff", "HEAD")
    return f"{head}-{hashlib.sha256(changed).hexdigest()[:8]}" if changed else head


@contextlib.contextmanager
def busy_machine() -> Iterator[subprocess.Popen[bytes]]:
    """The load, for as long as the block lasts."""
    with subprocess.Popen([*WITH_US, *LOAD], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as load:
        try:
            yield load
        finally:
            load.terminate()


def run(piece: Piece, folder: Path) -> Result:
    """Run the tests of a piece; their output stays in `folder` if any failed."""
    output = folder / f"{piece.name.replace('/', '.').replace(' ', '.')}.log"
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    with output.open("wb") as log:
        command = [*WITH_US, sys.executable, "-m", "pytest", str(piece.path), f"--junitxml={report}"]
        environment = {**os.environ, **(THOROUGH if piece.round == 1 else {})}
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    seconds = time.monotonic() - started
    counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    if report.exists():
        for suite in ElementTree.parse(report).iter("testsuite"):
            counts = {name: had + int(suite.get(name, 0)) for name, had in counts.items()}
    bad = counts["failures"] + counts["errors"]
    failed = bad or int(done.returncode != 0)
    if failed:
        print("\n".join(output.read_text(errors="replace").splitlines()[-SIGNS_OF_LIFE:]))
    else:
        output.unlink()
    passed = counts["tests"] - bad - counts["skipped"]
    return Result(passed, failed, counts["skipped"], round(seconds, 1), round(os.getloadavg()[0], 1))


def table(done: dict[str, Result], wanted: list[Piece]) -> str:
    """The result, as docs/testing.md has it."""
    lines = [
        "| round | folder | passed | skipped | failed | time | load |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, folder in dict.fromkeys((piece.round, piece.folder) for piece in wanted):
        ours = [piece for piece in wanted if (piece.round, piece.folder) == (number, folder)]
        results = [done[piece.name] for piece in ours if piece.name in done]
        if not results:
            continue
        part = "" if len(results) == len(ours) else f" ({len(results)} of {len(ours)} files)"
        passed, failed, skipped = (sum(getattr(r, what) for r in results) for what in ("passed", "failed", "skipped"))
        seconds = round(sum(r.seconds for r in results))
        loads = f"{min(r.load for r in results):g} to {max(r.load for r in results):g}"
        took = f"{seconds // 60} min {seconds % 60:02} s"
        lines.append(f"| {number} | {folder}{part} | {passed} | {skipped} | {failed} | {took} | {loads} |")
    return "\n".join(lines)


class Progress:
    """What has been done for a commit, on disk."""

    def __init__(self) -> None:
        self.commit = commit()
        self.folder = ROOT / "build" / "soak" / self.commit
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self.folder / "done.json"
        kept = json.loads(self._file.read_text()) if self._file.exists() else {}
        self.done = {name: Result(**result) for name, result in kept.items()}

    def add(self, piece: Piece, result: Result) -> None:
        """Keep a result, so that it survives whatever comes."""
        self.done[piece.name] = result
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({name: asdict(one) for name, one in self.done.items()}, indent=1))
        fresh.replace(self._file)


def main() -> int:
    """Returns 0 when everything passed, 1 when something failed, 3 when there is more to do."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no piece after so long")
    parser.add_argument("only", nargs="*", help="pieces whose name contains one of these; all others are left")
    options = parser.parse_args()
    progress, wanted = Progress(), pieces()
    mine = [piece for piece in wanted if not options.only or any(word in piece.name for word in options.only)]
    deadline = time.monotonic() + 60 * options.minutes
    with busy_machine() as load:
        for piece in mine:
            if piece.name in progress.done or time.monotonic() >= deadline:
                continue
            print(f"{piece.name} …", flush=True)
            result = run(piece, progress.folder)
            if load.poll() is not None:
                sys.exit(f"{LOAD[0]} has ended (status {load.returncode}): this is no result")
            progress.add(piece, result)
            print(f"{piece.name}: {result}", flush=True)
    return summary(progress, wanted)


def summary(progress: Progress, wanted: list[Piece]) -> int:
    """Print what there is of a result; returns the status."""
    done = progress.done
    left = [piece for piece in wanted if piece.name not in done]
    failed = [name for name, result in done.items() if result.failed]
    beside = " ".join(LOAD)
    print(f"\n{progress.commit}, {os.cpu_count()} processors, {platform.machine()}; beside it {beside}\n")
    print(table(done, wanted))
    for name in failed:
        print(f"failed: {name}: {progress.folder.relative_to(ROOT)}/")
    if left:
        print(f"{len(left)} of {len(wanted)} pieces are left: 'make soak' goes on with {left[0].name}")
    return 1 if failed else 3 if left else 0


if __name__ == "__main__":
    sys.exit(main())
