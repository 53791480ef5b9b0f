"""One boot of the nested stack for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.nested import L2Console, NestedStack


@pytest.fixture(scope="session")
def stack() -> Iterator[NestedStack]:
    """L0, L1 and one L2, intercepted."""
    with NestedStack() as running:
        yield running


@pytest.fixture
def console(stack: NestedStack) -> Iterator[L2Console]:
    """A script at a shell in L2."""
    with stack.console() as attached:
        yield attached
