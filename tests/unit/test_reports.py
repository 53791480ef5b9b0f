"""Each finding of the three reviews that this project was mended by is named in a test, by its number.

"faults.md N" is the Nth of 36 public reports against other tools, which were tried on this product; "security.md N"
is the Nth of 30 findings of a review of its security (docs/security-tests.md); "real-guests.md FN" is the Nth of five
findings from installers, firmware and hypervisors as they are, at a console of ours. The test that names a finding
fails when it comes back.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
_NAMED = re.compile(r"(faults|security|real-guests)\.md ((?:F?\d+(?:, | and )?)+)")


def named(review: str) -> set[int]:
    """The numbers of a review's findings that tests name."""
    texts = (re.sub(r"\s+", " ", path.read_text()) for path in TESTS.rglob("test_*.py") if path != Path(__file__))
    found = [match[2] for text in texts for match in _NAMED.finditer(text) if match[1] == review]
    return {int(number) for numbers in found for number in re.findall(r"\d+", numbers)}


@pytest.mark.parametrize(("review", "findings"), [("faults", 36), ("security", 30), ("real-guests", 5)])
def test_every_finding_is_named_in_a_test(review: str, findings: int) -> None:
    assert set(range(1, findings + 1)) - named(review) == set()
