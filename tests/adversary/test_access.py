"""Every way in which L2 can reach its serial port reaches the console, and L1 is told of none of them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.adversary.cases import Case, Ended, Mode, run_cases
from tests.adversary.lab import Adversary

ALL_ONES = 0xFFFFFFFFFFFFFFFF
PATTERN = 0x1122334455667788

CASES = [
    Case("out8", Mode.LONG, "outb %al, %dx", {"rdx": 0x3F8, "rax": ord("Q")}, prints=b"Q"),
]


@pytest.fixture(scope="module")
def ended(adversary: Adversary, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Ended]:
    """All cases, run in one boot."""
    return run_cases(adversary, CASES, tmp_path_factory.mktemp("access"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_access(case: Case, ended: Mapping[str, Ended]) -> None:
    ended[case.name].check(case)
