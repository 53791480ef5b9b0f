"""Fixtures that several folders share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A real server with two echoing guests in memory."""
    with Server() as running:
        yield running
