"""A machine with many guests: one that appears concerns few of the others."""

from __future__ import annotations

import pytest

from oobconsole.guests.nestedguest import NestedGuest
from tests.support.rack import Rack


async def test_a_guest_that_appears_is_told_only_where_somebody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each of a thousand guests it was looked whether anybody waited there, for each that appeared: a second for
    every ten of them that were started."""
    guests: list[dict[str, object]] = [{"name": f"web{number}"} for number in range(100)]
    rack = await Rack(*guests).started()
    asked: list[str] = []
    monkeypatch.setattr(NestedGuest, "tell_elsewhere", lambda guest, _: asked.append(guest.name))
    readers = [rack.console("web7").attach(), rack.console("web8").attach()]
    rack.appear(1)
    assert asked == ["web7", "web8"]
    readers[0].close()
    rack.appear(2)
    assert asked == ["web7", "web8", "web8"]
