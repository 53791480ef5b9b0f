"""Times of day mean what the zone's rules say at that moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from oobconsole.session import when as module
from oobconsole.session.when import when

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Central European time by POSIX rules, which need no database."""
    monkeypatch.setenv("TZ", BERLIN)
    time.tzset()
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def at(zone: pytest.MonkeyPatch, now: str, text: str) -> str:
    """What `text` means at that moment, in UTC."""
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp()

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Clock:
            return cls.fromtimestamp(moment)

    zone.setattr(module, "datetime", Clock)
    zone.setattr(time, "time", lambda: moment)
    meant = when(text).at
    assert meant is not None
    return datetime.fromtimestamp(meant, UTC).strftime("%m-%dT%H:%M")


@pytest.mark.parametrize(
    ("now", "text", "meant"),
    [
        ("2026-10-25T18:29", "08:00", "10-25T07:00"),  # summer time ended that night: CET
        ("2026-10-25T18:29", "01:00", "10-24T23:00"),  # before it ended: CEST
        ("2026-10-26T05:00", "20:00", "10-25T19:00"),  # yesterday had 25 hours
        ("2026-10-25T08:00", "22:00", "10-24T20:00"),
        ("2026-10-25T18:29", "02:30", "10-25T01:30"),  # comes twice: the later one
        ("2026-10-25T01:00", "02:30", "10-25T00:30"),  # it is 02:00 for the second time: the later one is to come
        ("2026-03-29T18:29", "08:00", "03-29T06:00"),  # summer time began that night
        ("2026-03-29T18:29", "01:30", "03-29T00:30"),
        ("2026-03-30T05:00", "08:00", "03-29T06:00"),  # yesterday had 23 hours
        ("2026-03-29T18:29", "02:30", "03-29T00:30"),  # there is none: rather too early than too late
        ("2026-11-26T08:00", "08:00", "11-26T07:00"),
    ],
)
def test_a_time_of_day_around_a_change_of_the_clocks(
    zone: pytest.MonkeyPatch, now: str, text: str, meant: str
) -> None:
    """faults.md 15: an hour off, as now's offset was taken for that moment's."""
    assert at(zone, now, text) == meant
    day = datetime.fromisoformat(meant.replace("T", " ").join(("2026-", ""))).replace(tzinfo=UTC).astimezone()
    if "02:30" not in text:
        assert at(zone, now, f"{day:%Y-%m-%d}T{text}") == meant  # with the date it is the same moment


def test_a_machine_whose_clock_is_in_1970(zone: pytest.MonkeyPatch) -> None:
    assert at(zone, "1970-01-01T00:05", "23:00") == "12-31T22:00"


def test_a_zone_that_nobody_knows_is_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "No/Such\x01Zone")
        time.tzset()
        assert at(patched, "2026-11-26T09:00", "08:00") == "11-26T08:00"
    time.tzset()
