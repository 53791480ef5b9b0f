"""One server for all attacks: whatever one of them does to it, the next ones notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adversary.lab import Adversary

pytest.register_assert_rewrite("tests.adversary.cases")


@pytest.fixture(scope="session")
def adversary() -> Iterator[Adversary]:
    """The server, and the payload built."""
    with Adversary() as running:
        yield running
