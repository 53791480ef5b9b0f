"""A plugin of pytest. Its fixture `console` is attached to a guest's console, and a test that fails shows its output.

    @pytest.mark.console("web1")
    def test_boots(console):
        console.expect("login: ", timeout=120)

Where the server is, say `oobconsole_target`, `oobconsole_keys`, `oobconsole_known_hosts` of pytest's configuration.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from oobconsole.client.sync import Console

#: How much of a transcript a failed test shows, in characters.
SHOWN = 20_000
_CONSOLE = pytest.StashKey["Console"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Tell pytest which settings of its configuration are ours."""
    parser.addini("oobconsole_target", "[USER@]HOST[:PORT], or unix:PATH of a server's admin socket", default="")
    parser.addini("oobconsole_keys", "private key files", type="args", default=[])
    parser.addini("oobconsole_known_hosts", "file of host keys; 'none': any will do", default="default")


def pytest_configure(config: pytest.Config) -> None:
    """Tell pytest that the marker `console` is ours."""
    config.addinivalue_line("markers", "console(name): the console that the fixture `console` attaches to")


@pytest.fixture
def console(request: pytest.FixtureRequest) -> Iterator[Console]:
    """Attach to the console that the test's marker names, for the time of the test."""
    from oobconsole.client.sync import connect

    marker = request.node.get_closest_marker("console")
    target = request.config.getini("oobconsole_target")
    if marker is None or len(marker.args) != 1 or not target:
        pytest.fail(
            "the fixture `console` needs @pytest.mark.console(NAME) and oobconsole_target in pytest's settings"
        )
    known_hosts = request.config.getini("oobconsole_known_hosts")
    keys = request.config.getini("oobconsole_keys")
    hosts = None if known_hosts == "none" else known_hosts
    with connect(target, keys=keys, known_hosts=hosts) as server, server.attach(marker.args[0]) as attached:
        request.node.stash[_CONSOLE] = attached
        yield attached


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    """Add what the console printed to the report of a test that failed."""
    report = yield
    attached = item.stash.get(_CONSOLE, None)
    if attached is not None and report.failed:
        report.sections.append((f"console {attached.console.name}", attached.transcript[-SHOWN:]))
    return report
