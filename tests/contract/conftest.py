"""Fixtures of the tests of the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.logged import Output
from tests.contract.rigs import TcgRig


@pytest.fixture(params=[0, 500], ids=["sleeping", "spinning"])
async def tcg(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TcgRig]:
    """The server's half of the wire, with a native half that is connected. The server sleeps between frames, or
    spins."""
    made = TcgRig(tmp_path, spin_us=request.param)
    await made.start()
    yield made
    await made.interceptor.stop()


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    """What is logged during the test."""
    return Output(capsys)
