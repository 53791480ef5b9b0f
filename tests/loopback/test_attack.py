"""`make attack` is not part of the tests. One short attack is, so that the script does not rot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attack.run import ATTACKS, MACHINES

ROOT = Path(__file__).parents[2]
#: How long the echo and the vCPU's wait may take at the median: far more than on any machine, and far less than a
#: server that hangs needs.
ECHO_MS = 5_000
WAIT_US = 1_000_000
TRIPLE = re.compile(r"(\d+) / (\d+) / (\d+)")


@pytest.mark.needs("cc")
def test_one_attack_is_measured() -> None:
    """By a stranger who floods the server: the echo goes on, and the server says whom it has blamed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.attack"],
        cwd=ROOT,
        env={**os.environ, "ONLY": "clear_ignore", "ATTACK_SECONDS": "2", "SHOW_ERRORS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *_, titles, _, row = done.stdout.splitlines()
    about, *cells = (cell.strip() for cell in row.strip("|").split(" | "))
    assert len(cells) == titles.count(" | "), row
    assert about == "security.md 1: IGNORE in clear, 3 connections", done.stderr
    *figures, memory, _, _, blamed = cells
    for cell, bound in zip(figures, (ECHO_MS, ECHO_MS, WAIT_US, WAIT_US), strict=True):
        found = TRIPLE.fullmatch(cell)
        assert found is not None, row
        assert int(found[1]) < bound, row
    assert re.fullmatch(r"[1-9]\d* / [1-9]\d*", memory), row
    assert blamed != "nothing", row


def test_each_attack_can_be_named_and_says_what_it_does() -> None:
    names = [getattr(attack, "__name__", "") for attack in ATTACKS]
    assert len(set(names)) == len(names)
    assert [name for name, attack in zip(names, ATTACKS, strict=True) if not attack.__doc__] == []
    assert set(MACHINES) <= set(names)
