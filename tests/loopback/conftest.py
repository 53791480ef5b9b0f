"""Servers that several modules use, each its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.loopback.access import grant
from tests.support.server import Server


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    """A server for keys with options; bob may do everything."""
    server = Server()
    grant(server, "bob")
    with server:
        yield server
