"""`make faults`: so many runs over a file system that fails, a server for each ten."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.faulty import Faulty

EACH = 10


def main(runs: int, seed: int) -> None:
    """Prints what was done."""
    chance, failed, began = random.Random(seed), 0, time.monotonic()
    for done in range(0, runs, EACH):
        with tempfile.TemporaryDirectory(prefix="oob-") as folder, Faulty(Path(folder)) as faulty:
            for _ in range(min(EACH, runs - done)):
                failed += faulty.run(chance)
            faulty.check()
        print(f"{min(runs, done + EACH)} runs, {failed} failed calls, {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
