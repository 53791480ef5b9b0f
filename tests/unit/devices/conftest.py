"""A UART after power-on, and one as a driver leaves it."""

from __future__ import annotations

import pytest

from tests.unit.devices.bench import Bench, in_use


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def live() -> Bench:
    return in_use()
