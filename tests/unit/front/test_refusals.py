"""Logins that were refused: listed up to a number, counted beyond."""

from __future__ import annotations

from structlog.testing import capture_logs

from oobconsole.access import Principal
from oobconsole.events import Event, Events, Kind
from oobconsole.front.refusals import LISTED_MAX, Refusals


async def test_are_counted_not_listed() -> None:
    events, seen = Events(), list[Event]()
    events.add_sink(seen.append)
    refusals = Refusals(events)
    with capture_logs() as logs:
        for number in range(LISTED_MAX + 20):
            refusals.add(Principal("alice", address=f"192.0.2.{number}"), "no such key")
        assert len(seen) == len(logs) == LISTED_MAX
        refusals.flush()
    assert seen[0].kind is Kind.LOGIN_REFUSED
    assert seen[0].as_dict()["reason"] == "no such key"
    assert seen[-1].detail["more"] == 20
    assert len(seen) == len(logs) == LISTED_MAX + 1
    refusals.flush()
    refusals.add(Principal("alice"), "no such key")
    assert len(seen) == LISTED_MAX + 2
    refusals.flush()


async def test_who_only_looks_is_no_login() -> None:
    events, seen = Events(), list[Event]()
    events.add_sink(seen.append)
    refusals = Refusals(events)
    with capture_logs() as logs:
        refusals.add(Principal("", address="192.0.2.1"), "connected without trying to log in")
        refusals.flush()
    assert (len(seen), len(logs)) == (0, 1)
