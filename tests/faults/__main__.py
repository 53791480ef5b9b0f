"""`make faults`: so many runs over a file system that fails, a server for each ten, some of them at the same time."""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.faulty import Faulty

EACH = 10


class Runs:
    """What was done so far.

    Attributes:
        findings: servers at which something was not as it should be.
    """

    def __init__(self, seed: int) -> None:
        self.findings = 0
        self._seed = seed
        self._done = self._failed = 0
        self._began = time.monotonic()
        self._one_at_a_time = threading.Lock()

    def group(self, number: int) -> None:
        """Ten runs with one server. What they are depends on the seed and the number alone."""
        chance, failed = random.Random(self._seed * 1_000_000 + number), 0
        try:
            with tempfile.TemporaryDirectory(prefix="oob-") as folder, Faulty(Path(folder)) as faulty:
                for _ in range(EACH):
                    failed += faulty.run(chance)
                faulty.check()
        except Exception:  # it is shown, it is counted, and the others go on
            with self._one_at_a_time:
                self.findings += 1
                print(f"group {number} of seed {self._seed}:\n{traceback.format_exc()}", flush=True)
        with self._one_at_a_time:
            self._done += EACH
            self._failed += failed
            print(self.summary(), flush=True)

    def summary(self) -> str:
        """In one line."""
        load = os.getloadavg()[0]
        return (
            f"{self._done} runs, {self._failed} failed calls, {self.findings} findings, "
            f"{time.monotonic() - self._began:.0f} s, load {load:.1f}"
        )


def main() -> int:
    """Prints what was done; the status is 1 when something was found."""
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("runs", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("jobs", type=int, help="servers at the same time: mostly they wait")
    asked = parser.parse_args()
    runs = Runs(asked.seed)
    with ThreadPoolExecutor(asked.jobs) as pool:
        for _ in pool.map(runs.group, range(-(-asked.runs // EACH))):
            pass
    return 1 if runs.findings else 0


if __name__ == "__main__":
    sys.exit(main())
