"""One `[[alert]]`, and what is told about a line that matches it. Nothing of what is told acts on a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, Self

from oobconsole.config.alerts import AlertConfig
from oobconsole.patterns import Match, Pattern, compile_pattern
from oobconsole.words import as_json, harmless

#: How many characters of a line are told, and how many of these may stand before the match.
LINE_SHOWN: Final = 500
_BEFORE: Final = 100


@dataclass(frozen=True, slots=True)
class Rule:
    """An `[[alert]]` of the configuration, with its pattern compiled."""

    config: AlertConfig
    pattern: Pattern

    @classmethod
    def of(cls, config: AlertConfig) -> Self:
        """Make a rule of a configuration that has been checked, so that its pattern compiles."""
        return cls(config, compile_pattern(config.pattern))

    @property
    def name(self) -> str:
        """The alert's name in the configuration."""
        return self.config.name

    def is_for(self, console: str) -> bool:
        """Return whether the rule is for the console of that name."""
        return any(fnmatchcase(console, pattern) for pattern in self.config.consoles)


class Hit(NamedTuple):
    """A line that matches: its text as it may be told, and the absolute offset of its first byte."""

    line: str
    offset: int


def safe_line(line: str, match: Match) -> str:
    """Return at most LINE_SHOWN characters of the line around the match, with `?` for each that cannot be printed."""
    start = max(0, min(match.start() - _BEFORE, len(line) - LINE_SHOWN))
    return harmless(line[start : start + LINE_SHOWN])


@dataclass(frozen=True, slots=True)
class Alert:
    """What is told of one line that matched.

    Attributes:
        at: when the line was found, in seconds since 1970.
        suppressed: matching lines at this console that were not told since the last alert of this name.
        skipped: bytes that the console printed since then and that were not looked at.
    """

    name: str
    console: str
    line: str
    offset: int
    at: float
    suppressed: int = 0
    skipped: int = 0

    def as_json(self) -> bytes:
        """Return what a program gets on its standard input, and a URL as its body: a JSON object (docs/alerts.md) in
        UTF-8, with a line feed behind it."""
        more = f" (and {self.suppressed:,} more)" if self.suppressed else ""
        value = {
            "alert": self.name,
            "console": self.console,
            "line": self.line,
            "offset": self.offset,
            "time": self._time(),
            "suppressed": self.suppressed,
            "skipped": self.skipped,
            "text": f"{self.console}: {self.line}{more}",
        }
        return as_json(value).encode() + b"\n"

    def as_environment(self) -> dict[bytes, bytes]:
        """Return the alert as variables of an environment, `OOB_ALERT_…`, in UTF-8 whatever the server's locale
        is."""
        value = {
            "NAME": self.name,
            "CONSOLE": self.console,
            "LINE": self.line,
            "OFFSET": str(self.offset),
            "TIME": self._time(),
            "SUPPRESSED": str(self.suppressed),
            "SKIPPED": str(self.skipped),
        }
        return {b"OOB_ALERT_" + key.encode(): text.encode() for key, text in value.items()}

    def _time(self) -> str:
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
