"""The native half's own C, compiled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.native.half import COM1, COM2, MCR, Half, build


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled."""
    return build(tmp_path_factory.mktemp("half"))


@pytest.fixture
def half(library: Path, tmp_path: Path) -> Half:
    """With nobody to talk to."""
    return Half(library, tmp_path)


@pytest.fixture(params=[COM1, COM2], ids=["com1", "com2"])
def live(half: Half, request: pytest.FixtureRequest) -> Half:
    """Connected, the first guest known and programmed, nothing under way."""
    half.base, half.other = (request.param, COM1 + COM2 - request.param)
    half.begin()
    half.write(MCR, 0x0B)
    half.take()
    return half
