"""Servers that several modules use, each its own. A module that needs a laboratory with other settings has a fixture
`lab` of its own, and `client` connects to that one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from tests.loopback.access import grant
from tests.loopback.lab import Lab
from tests.support.aio import soon
from tests.support.server import Server


@pytest.fixture(scope="module")
def plain() -> Iterator[Server]:
    """A server for keys with options; bob may do everything."""
    server = Server()
    grant(server, "bob")
    with server:
        yield server


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """A server in the process of the test."""
    async with Lab(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def client(lab: Lab) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to that server."""
    async with await soon(lab.connect()) as connected:
        yield connected
