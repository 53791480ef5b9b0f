"""A guest, and what concerns all of its consoles."""

from __future__ import annotations

from pathlib import Path

from oobconsole.config.guests import ConsoleConfig
from oobconsole.console.console import Console
from oobconsole.console.reader import Notice, Reader
from oobconsole.guests.line import Line, Lines
from oobconsole.power.qmp import Qmp
from tests.support.aio import soon
from tests.unit.guests.test_directory import guest
from tests.unit.guests.test_line import Carrier


async def told(reader: Reader) -> str:
    item = await soon(reader.next())
    assert isinstance(item, Notice)
    return item.text


async def test_what_happens_to_a_guest_is_told_at_each_of_its_consoles() -> None:
    web = guest("web", "web.port2")
    readers = [console.attach() for console in web.consoles]
    web.happened("the guest is reset")
    assert [await told(reader) for reader in readers] == ["web: the guest is reset", "web.port2: the guest is reset"]


async def test_what_a_monitor_says_is_told_at_each_console_of_the_guest(tmp_path: Path) -> None:
    """Only the first port of a card once heard that its guest was reset."""
    monitor = Qmp("web", tmp_path / "qmp")
    lines = [Line(name, Carrier(), scrollback=4096, monitor=monitor) for name in ("web", "web.port2")]
    Lines("web", lines, settings=ConsoleConfig(), monitor=monitor)
    readers = [line.console.attach() for line in lines]
    for listener in monitor.listeners:
        listener("the guest is paused")
    assert [await told(reader) for reader in readers] == [
        "web: the guest is paused",
        "web.port2: the guest is paused",
    ]


def test_settings_hold_for_all_consoles_and_for_those_that_come() -> None:
    web = guest("web", "web.port2")
    shared = ConsoleConfig(share=True)
    web.configure(shared)
    assert web.settings is shared
    assert all(console.settings is shared for console in web.consoles)


def test_each_line_of_a_guest_is_a_link() -> None:
    lines = [Line(name, Carrier(), scrollback=4096) for name in ("web", "web.port2")]
    of = Lines("web", lines, settings=ConsoleConfig())
    lines[1].up("keeper")
    assert of.links == {"web": False, "web.port2": True}


def test_a_console_may_be_taken_by_whoever_has_its_line_and_each_listener_hears_who_attends() -> None:
    """Both were one callback that another could overwrite."""
    console = Console("web", scrollback=4096)
    assert console.take() is False
    console.on_take(lambda: False)
    console.on_take(lambda: True)
    assert console.take() is True
    heard: list[tuple[str, bool]] = []
    console.on_attended(lambda attended: heard.append(("one", attended)))
    console.on_attended(lambda attended: heard.append(("other", attended)))
    console.attach().close()
    assert heard == [("one", True), ("other", True), ("one", False), ("other", False)]
