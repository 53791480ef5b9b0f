"""What one user sees, kept and searched. What it costs is counted in consoles that are looked at."""

from __future__ import annotations

from typing import Any

import pytest

from oobconsole.access import ALL, Access, Grant, Principal
from oobconsole.console.console import Console, ConsoleState
from oobconsole.session.services import Services
from oobconsole.session.tui.catalogue import Catalogue
from oobconsole.session.view import VIEWS_MAX, Found, View
from tests.unit.session.fakes import ALICE, consoles, machine_of, vanish

MANY = 10_000
#: Guests that one machine can have.
A_MACHINE = 1000


def names(found: Found) -> list[str]:
    return [console.name for console in found]


def console(settings: Services, name: str) -> Console:
    found = settings.directory.find(name)
    assert found is not None
    return found


@pytest.fixture
def many() -> Services:
    """Ten thousand consoles, of ten machines."""
    settings = consoles(*(f"web{number:05}" for number in range(A_MACHINE)))
    for begin in range(A_MACHINE, MANY, A_MACHINE):
        settings.directory.add(machine_of(consoles(*(f"web{begin + n:05}" for n in range(A_MACHINE)))))
    return settings


class Rights:
    """Counts how often a user's rights are looked up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looked_up = 0
        real = Access.sees

        def sees(access: Access, who: Principal, console: str) -> bool:
            self.looked_up += 1
            return real(access, who, console)

        monkeypatch.setattr(Access, "sees", sees)


async def test_consoles_are_found_by_name_machine_state_and_holder() -> None:
    settings = consoles("web1", "web2", "db1")
    view = await settings.views.of(ALICE)
    console(settings, "web2").set_state(ConsoleState.LIVE)
    held = {console(settings, "db1"): "alice"}
    for text, found in (
        ("", ["db1", "web1", "web2"]),
        ("web", ["web1", "web2"]),
        ("WEB 2", ["web2"]),
        ("rack7", ["db1", "web1", "web2"]),
        ("live", ["web2"]),
        ("waiting", ["db1", "web1"]),
        ("alic", ["db1"]),
        ("web alice", []),
        ("i", ["db1", "web1", "web2"]),  # live, waiting, alice
    ):
        assert names(view.search(text, held)) == found, text


async def test_an_answer_is_kept_as_long_as_it_is_true() -> None:
    settings = consoles("web1", "web2")
    view = await settings.views.of(ALICE)
    assert names(view.search("live", {})) == []
    console(settings, "web1").set_state(ConsoleState.LIVE)
    assert names(view.search("live", {})) == ["web1"]
    assert names(view.search("live w", {})) == ["web1"]
    console(settings, "web2").set_state(ConsoleState.LIVE)
    assert names(view.search("live we", {})) == ["web1", "web2"]
    assert names(view.search("bob", {})) == []
    assert names(view.search("bob", {console(settings, "web2"): "bob"})) == ["web2"]
    assert names(view.search("bob", {})) == []
    vanish(settings, "web1")
    assert names(view.search("live we", {})) == ["web2"]


async def test_what_appears_and_vanishes_is_pushed_into_a_view(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = consoles("web1", "web3")
    settings.access.grants = (Grant(("alice",), ("web*",), ALL),)
    view = await settings.views.of(ALICE)
    rights = Rights(monkeypatch)
    settings.directory.add(machine_of(consoles("web2", "db1")))
    assert names(view.everything) == ["web1", "web2", "web3"]
    vanish(settings, "web3")
    vanish(settings, "db1")
    assert (names(view.everything), view.longest) == (["web1", "web2"], 4)
    assert rights.looked_up == 2
    assert await settings.views.of(ALICE) is view


async def test_other_grants_are_another_view() -> None:
    settings = consoles("web1", "db1")
    view = await settings.views.of(ALICE)
    settings.access.grants = (Grant(("alice",), ("db*",), ALL),)
    assert settings.views.is_old(view)
    assert names((await settings.views.of(ALICE)).everything) == ["db1"]


async def test_nobody_sees_through_another_ones_view() -> None:
    settings = consoles("web1")
    assert names(await settings.visible(ALICE)) == ["web1"]
    assert names(await settings.visible(Principal("bob"))) == []
    assert names(await settings.visible(Principal("bob", local=True))) == ["web1"]
    assert names(await settings.visible(Principal("bob"))) == []


async def test_a_console_that_comes_or_goes_while_rights_are_looked_up_is_seen_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = consoles("web1", "web2")
    real = Access.sees

    def sees(access: Access, who: Principal, name: str) -> bool:
        if name == "web1":
            monkeypatch.undo()
            vanish(settings, "web1")
            settings.directory.add(machine_of(consoles("web3")))
        return real(access, who, name)

    monkeypatch.setattr(Access, "sees", sees)
    view = await settings.views.of(ALICE)
    assert names(view.everything) == ["web2", "web3"]


async def test_views_are_bounded_and_one_that_somebody_has_stays_right() -> None:
    settings = consoles("web1")
    view = await settings.views.of(ALICE)
    for number in range(VIEWS_MAX):
        await settings.views.of(Principal(f"user{number}"))
    settings.directory.add(machine_of(consoles("web2")))
    assert names(view.everything) == ["web1", "web2"]
    assert await settings.views.of(ALICE) is not view


async def test_a_key_in_a_menu_of_ten_thousand_consoles_looks_at_few_of_them(many: Services) -> None:
    """At each key all of them were once listed, compared with what was known before, and searched."""
    catalogue = Catalogue(many, ALICE)
    await catalogue.refresh()
    view = await many.views.of(ALICE)
    assert len(catalogue.find("")) == MANY
    assert view.looked_at == 0
    for text, found, looked_at in (("w", MANY, MANY), ("web0777", 10, MANY), ("web07777", 1, 10)):
        before = view.looked_at
        assert len(catalogue.find(text)) == found
        assert view.looked_at - before == looked_at
        assert len(catalogue.find(text)) == found  # as the next drawing asks, or a key that moves the cursor
        assert view.looked_at - before == looked_at


async def test_where_a_console_stands_is_found_without_looking_at_the_others(
    many: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await many.visible(ALICE)
    asked: list[str] = []

    def name(item: Any) -> str:
        asked.append(item.name)
        return str(item.name)

    monkeypatch.setattr("oobconsole.session.view._name", name)
    assert (found.position("web07777"), found.position("web"), found.position("zzz")) == (7777, None, None)
    assert len(asked) < 50


async def test_rights_at_ten_thousand_consoles_are_looked_up_once(
    many: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    rights = Rights(monkeypatch)
    for _ in range(3):
        assert len(await many.visible(ALICE)) == MANY
    assert rights.looked_up == MANY


def test_a_view_that_was_not_made_yet_is_empty() -> None:
    settings = consoles("web1")
    assert names(View(ALICE, settings.access, settings.directory).search("web", {})) == []
