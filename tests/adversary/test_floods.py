"""L1 and its L2s do too much of something: the server stays up, its memory bounded, and others go on (the fixture's
`boot` sees that another machine's console still echoes)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.adversary.lab import Adversary

#: On a machine with other things to do, 100,000 answers of the server take minutes.
FLOOD_SECONDS = 300.0
pytestmark = pytest.mark.timeout(FLOOD_SECONDS + 60)
#: What a flood may add to the server's memory, and to its log.
MEMORY_KIB = 8192
LOG_BYTES = 40000


def _memory_kib(adversary: Adversary) -> int:
    """The server's resident memory (proc(5))."""
    status = Path(f"/proc/{adversary.server.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("attack", "times"), [("flood_reads", 100000), ("flood_interrupts", 50000), ("flood_contexts", 100000)]
)
def test_flood(adversary: Adversary, attack: str, times: int) -> None:
    """Reads that must each be answered; an interrupt switched on and off; L2s that come and go."""
    before = _memory_kib(adversary)
    with adversary.boot(attack, times=times) as l1:
        l1.expect(rb"attack=", timeout=20)
        adversary.see_that_others_go_on()
        report = l1.finish(FLOOD_SECONDS)
    assert _memory_kib(adversary) - before < MEMORY_KIB
    assert len(report.log) < LOG_BYTES
    if attack != "flood_contexts":
        assert "exit=81" in report.lines


def test_more_vcpus_than_are_tracked(adversary: Adversary) -> None:
    """An L2 of 1100 vCPUs, then another L2. Gained: nothing; the other has its console."""
    report = adversary.run("flood_vcpus")
    assert set(report.consoles["a"]) == set(b"x")
    assert report.consoles["b"] == b"another L2\n"
