"""Times as users say them: `10m`, `02:13`, `2026-03-01T02:13`. Without a time zone they are the server's."""

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
    """A moment, or how long before or after another one.

    Attributes:
        at: since 1970, in seconds; None: `duration` says it.
        duration: in seconds.
    """

    at: float | None
    duration: float = 0.0

    def before(self, now: float) -> float:
        """A duration is meant backwards from now. Since 1970, in seconds."""
        return now - self.duration if self.at is None else self.at

    def after(self, begin: float) -> float:
        """A duration is meant from there on. Since 1970, in seconds."""
        return begin + self.duration if self.at is None else self.at


def when(text: str) -> When:
    """Understand it; raises `argparse.ArgumentTypeError`. A time of day is the last one, today's or yesterday's."""
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
    """Since 1970, in seconds. Days are counted on the calendar, because not all of them have 24 hours."""
    today = datetime.now().replace(hour=hour, minute=minute, second=second, microsecond=0, fold=0)
    at = _moment(today)
    return at if at <= time.time() else _moment(today - timedelta(days=1))


def _moment(local: datetime) -> float:
    """When the server's clocks showed that, by the zone's rules at that moment: the last time that is not in the
    future, in an hour that comes twice; in an hour that is left out the earlier reading, which leaves nothing out."""
    first, second = local.replace(fold=0).timestamp(), local.replace(fold=1).timestamp()
    if second < first:  # PEP 495: left out
        return second
    return second if second <= time.time() else first


def begins(at: float) -> str:
    """The line between two guests' output."""
    return f"-- a new guest appeared at {shown(at)} --"


def shown(at: float) -> str:
    """Return a time, given in seconds since 1970, in ISO 8601 with milliseconds and the local zone's offset."""
    try:
        return datetime.fromtimestamp(at).astimezone().isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return "unknown"  # an index may say anything
