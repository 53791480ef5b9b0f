"""The native half's own C, compiled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.native.half import Half, build


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled."""
    return build(tmp_path_factory.mktemp("half"))


@pytest.fixture
def half(library: Path, tmp_path: Path) -> Half:
    """With nobody to talk to."""
    return Half(library, tmp_path)
