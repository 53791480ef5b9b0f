"""Fixtures that several folders share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pytest_timeout
from hypothesis import settings

from tests.support.needs import Needs
from tests.support.pace import WHOLE_TEST, scaled
from tests.support.server import Server

# Hypothesis would have each example take no more than 0.2 s, on machines that others use as well.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without-missing",
        action="store_true",
        help="leave out the tests that need something that is not on this machine, and say at the end what that is",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Needs())


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: pytest_timeout.Settings) -> object:
    """A test's own limit ends what hangs, on whatever machine: what it waits for has its limits, and says more."""
    patient = settings._replace(timeout=scaled(settings.timeout) * WHOLE_TEST)
    return pytest_timeout.pytest_timeout_set_timer(item, patient)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the tests (pytest-xdist), the files that take minutes come first: else one of
    them would be left to the end, and only one process would work."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: "vm" not in item.path.parent.parts)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A real server with two echoing guests in memory."""
    with Server() as running:
        yield running
