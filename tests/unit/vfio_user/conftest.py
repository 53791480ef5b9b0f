"""A keeper in a thread of the test's process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.vfio import RunningKeeper, running_keeper


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[RunningKeeper]:
    with running_keeper(tmp_path) as running:
        yield running
