"""Fixtures that several folders share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support.server import Server

# Hypothesis would have each example take no more than 0.2 s, on machines that others use as well.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A real server with two echoing guests in memory."""
    with Server() as running:
        yield running
