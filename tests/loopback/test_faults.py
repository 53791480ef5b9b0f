"""Some seeded runs over a file system that fails; `make faults` does many."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.faulty import HANGS, Faulty


@pytest.mark.timeout(600)
def test_whatever_call_fails_the_server_lives(tmp_path: Path) -> None:
    """faults.md 2's kind: logins and consoles work, the audit log verifies, the recording says what is missing."""
    chance = random.Random(12)
    with Faulty(tmp_path) as faulty:
        assert sum(faulty.run(chance) for _ in range(4)) > 0
        faulty.check()


@pytest.mark.timeout(300)
def test_a_file_system_that_hangs_does_not_keep_the_server(tmp_path: Path) -> None:
    """faults.md 2's kind: Python waits for its threads, so SIGTERM ended the server only when the disk answered."""
    with Faulty(tmp_path, below="state") as faulty:
        faulty.arm(1, 1 << 30, HANGS)
        faulty.works("on a disk that hangs")
        assert faulty.server.stop(40) == 1
        log = faulty.server.log.read_text()
        assert "although a part of it has not ended" in log, log[-3000:]
