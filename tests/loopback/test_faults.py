"""Some seeded runs over a file system that fails; `make faults` does many."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.faulty import Faulty


@pytest.mark.timeout(600)
def test_whatever_call_fails_the_server_lives(tmp_path: Path) -> None:
    """faults.md 2's kind: logins and consoles work, the audit log verifies, the recording says what is missing."""
    chance = random.Random(12)
    with Faulty(tmp_path) as faulty:
        assert sum(faulty.run(chance) for _ in range(4)) > 0
        faulty.check()
