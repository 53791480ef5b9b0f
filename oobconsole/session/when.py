"""Times as users write them: `10m`, `02:13`, `2026-03-01T02:13`. A time without a zone is one of the server's
zone."""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from oobconsole.session.request import echo

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(\d{1,9})([smhd])")
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?")


@dataclass(frozen=True)
class When:
    """A moment, or a duration before or after another moment.

    Attributes:
        at: the moment, in seconds since 1970; None: `duration` counts.
        duration: in seconds.
    """

    at: float | None
    duration: float = 0.0

    def before(self, now: float) -> float:
        """Return the moment, in seconds since 1970. A duration is taken backwards from `now`."""
        return now - self.duration if self.at is None else self.at

    def after(self, begin: float) -> float:
        """Return the moment, in seconds since 1970. A duration is taken forwards from `begin`."""
        return begin + self.duration if self.at is None else self.at


def when(text: str) -> When:
    """Return what a text means. A time of day is the last one that has passed, so it is today's or yesterday's.

    Raises:
        - argparse.ArgumentTypeError: the text is no time.
    """
    if match := _DURATION.fullmatch(text):
        return When(None, float(match[1]) * _UNITS[match[2]])
    try:
        if match := _CLOCK.fullmatch(text):
            return When(_last(int(match[1]), int(match[2]), int(match[3] or 0)))
        said = datetime.fromisoformat(text)
        return When(said.timestamp() if said.tzinfo else _moment(said))
    except (ValueError, OverflowError, OSError) as error:
        raise argparse.ArgumentTypeError(
            f"{echo(text)} is no time: say 90s, 10m, 2h or 3d, 02:13, or 2026-03-01T02:13"
        ) from error


def _last(hour: int, minute: int, second: int) -> float:
    """Return when it was that time of day last, in seconds since 1970. Days are counted on the calendar, because not
    every day has 24 hours."""
    today = datetime.now().replace(hour=hour, minute=minute, second=second, microsecond=0, fold=0)
    at = _moment(today)
    return at if at <= time.time() else _moment(today - timedelta(days=1))


def _moment(local: datetime) -> float:
    """Return when the server's clocks showed that time, in seconds since 1970, by the zone's rules for that moment.

    What if an hour comes twice (the end of summer time)? Then the later moment counts, unless it is in the future.
    What if an hour is left out (its beginning)? Then the earlier reading counts, so that no output is left out.
    """
    first, second = local.replace(fold=0).timestamp(), local.replace(fold=1).timestamp()
    if second < first:  # PEP 495: this time of day is left out
        return second
    return second if second <= time.time() else first


def begins(at: float) -> str:
    """Return the line that is shown between the output of two guests. `at`: in seconds since 1970."""
    return f"-- a new guest appeared at {shown(at)} --"


def shown(at: float) -> str:
    """Return a time, given in seconds since 1970, in ISO 8601 with milliseconds and the local zone's offset."""
    try:
        return datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return "unknown"  # a damaged index may have any number
