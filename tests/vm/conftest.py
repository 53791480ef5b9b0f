"""The nested stack is booted once for all tests of this folder that can share it."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.stack.nested import L2Console, NestedStack


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add both consoles and the server's log to the report of a test that fails."""
    report = yield
    running = item.funcargs.get("stack") if isinstance(item, pytest.Function) else None
    if report.failed and isinstance(running, NestedStack):
        report.sections.append(("nested stack", running.report()))
    return report


@pytest.fixture(scope="package")
def stack() -> Iterator[NestedStack]:
    """L0, L1 and one L2 that is intercepted. They end with the tests of this folder, even if tests of other folders
    follow."""
    with NestedStack(l1_append="oob.com2=1", settings="tail_lines = 10000") as running:
        yield running


@pytest.fixture
def console(stack: NestedStack) -> Iterator[L2Console]:
    """A script that is attached to a shell in L2."""
    with stack.console() as attached:
        yield attached
